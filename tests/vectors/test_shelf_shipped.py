"""Shipped vectors on the shelf: put there once, renewed, and never over what is the user's."""

import pytest

from sas_core.errors import BadInput
from sas_core.vectors.schema import dump_vector
from sas_core.vectors.shelf import Shelf
from tests.vectors.shelves import names


def seed_folder(tmp_path, *vectors):
    folder = tmp_path / "shipped"
    folder.mkdir(exist_ok=True)
    for number, vector in enumerate(vectors):
        (folder / f"{number}.json").write_text(dump_vector(vector), encoding="utf-8")
    return folder


def test_shipped_vectors_are_put_on_the_shelf_once(shelf, make_vector, tmp_path):
    folder = seed_folder(tmp_path, make_vector(), make_vector(name="b"))
    assert shelf.seed(folder) == ("the sea", "b")
    assert shelf.seed(folder) == () and sorted(names(shelf)) == ["b", "the sea"]
    assert {item.origin for item in shelf.list()} == {"shipped"}


@pytest.mark.parametrize("purge", [False, True])
def test_a_shipped_vector_that_was_deleted_stays_deleted(path, make_vector, tmp_path, purge):
    folder = seed_folder(tmp_path, make_vector())
    shelf = Shelf(path)
    shelf.seed(folder)
    shelf.delete("the sea")
    if purge:
        shelf.purge()
    shelf.close()
    shelf = Shelf(path)
    assert shelf.seed(folder) == ()
    assert shelf.seed(seed_folder(tmp_path, make_vector(note="next release"))) == ()
    assert shelf.list() == ()
    shelf.close()


def test_a_shipped_vector_gives_way_to_a_user_vector_of_its_name(shelf, make_vector, tmp_path):
    shelf.save(make_vector(note="mine"), "built")
    assert shelf.seed(seed_folder(tmp_path, make_vector())) == ("the sea-2",)
    assert shelf.get("the sea").note == "mine"


def test_a_changed_shipped_vector_renews_itself_under_the_name_the_user_gave(shelf, make_vector, tmp_path):
    shelf.seed(seed_folder(tmp_path, make_vector()))
    shelf.rename("the sea", "mine")
    assert shelf.seed(seed_folder(tmp_path, make_vector(note="retrained", strength=3.0))) == ("mine",)
    (item,) = shelf.list()
    assert (item.name, item.strength, shelf.get("mine").note) == ("mine", 3.0, "retrained")


def test_a_shipped_vector_the_user_replaced_is_not_overwritten(shelf, make_vector, tmp_path):
    shelf.seed(seed_folder(tmp_path, make_vector()))
    shelf.save(make_vector(note="mine"), "built", replace=True)
    assert shelf.seed(seed_folder(tmp_path, make_vector(note="next release"))) == ()
    assert shelf.get("the sea").note == "mine"


def test_a_damaged_shipped_file_is_named(shelf, tmp_path, make_vector):
    folder = seed_folder(tmp_path, make_vector())
    (folder / "bad.json").write_text("{")
    with pytest.raises(BadInput, match=r"bad\.json is damaged"):
        shelf.seed(folder)
    assert names(shelf) == ["the sea"]
