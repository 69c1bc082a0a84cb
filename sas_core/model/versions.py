"""Versions of the libraries that decide numbers, for the files that record what made them."""

from importlib.metadata import version

_DECIDING = ("torch", "transformers", "transformer-lens", "sae-lens")


def library_versions() -> dict[str, str]:
    return {name: version(name) for name in _DECIDING}
