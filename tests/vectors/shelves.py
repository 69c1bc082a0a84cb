"""What the tests of the shelf ask it."""

from sas_core.vectors.shelf import Shelf


def names(shelf: Shelf) -> list[str]:
    return [item.name for item in shelf.list()]
