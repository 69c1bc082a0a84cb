"""The shelf of saved vectors: kept, listed, renamed, replaced, deleted and brought back."""

import json

import pytest
from sqlite_utils import Database

from sas_core.errors import BadInput
from sas_core.vectors.shelf import Shelf
from tests.vectors.shelves import names


def test_a_saved_vector_comes_back_as_it_was(shelf, make_vector):
    vector = make_vector(name="größe 海")
    shelf.save(vector, "built")
    assert shelf.get("größe 海") == vector


def test_a_fresh_shelf_is_empty(shelf):
    assert shelf.list() == () and shelf.deleted() == ()


def test_a_saved_vector_is_there_after_reopening(path, make_vector):
    first = Shelf(path)
    first.save(make_vector(), "imported")
    first.close()
    again = Shelf(path)
    assert again.get("the sea") == make_vector()
    again.close()


def test_the_list_shows_what_a_row_needs(shelf, make_vector):
    shelf.save(make_vector(), "composed")
    (item,) = shelf.list()
    assert (item.name, item.origin, item.model_name) == ("the sea", "composed", "tiny-llama")
    assert (item.hook_name, item.d_sae, item.sae_sha256) == ("blocks.1.hook_resid_post", 8, "a" * 64)
    assert (item.n_features, item.strength, item.created_at) == (3, 1.5, "2026-01-31T12:00:00Z")
    assert item.values == (2.5, -1.25, 0.5) and item.last_used is None


def test_the_preview_holds_the_64_largest_values_with_their_signs(shelf, make_vector):
    values = [(-1) ** i * (i + 1) / 10 for i in range(100)]
    features = [{"index": i, "value": value} for i, value in enumerate(values)]
    sae = make_vector().sae.model_copy(update={"d_sae": 100})
    shelf.save(make_vector(method="latents", features=features, sae=sae), "built")
    (item,) = shelf.list()
    assert item.values == tuple(reversed(values[36:])) and item.n_features == 100


def test_the_last_used_or_saved_vector_comes_first(shelf, make_vector):
    for name in "abc":
        shelf.save(make_vector(name=name), "built")
    shelf.touch("a")
    assert names(shelf) == ["a", "c", "b"]
    assert [item.last_used is None for item in shelf.list()] == [False, True, True]


def test_a_taken_name_is_refused_with_a_free_one_and_nothing_changes(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.save(make_vector(name="the sea-2"), "built")
    with pytest.raises(BadInput, match=r"already a vector named 'the sea'.*'the sea-3'"):
        shelf.save(make_vector(note="other"), "built")
    assert shelf.get("the sea").note == make_vector().note
    assert shelf.free_name("the sea") == "the sea-3" and shelf.free_name("the lake") == "the lake"


def test_a_free_name_of_a_long_name_is_still_a_valid_name(shelf, make_vector):
    shelf.save(make_vector(name="x" * 80), "built")
    free = shelf.free_name("x" * 80)
    assert free == "x" * 78 + "-2"
    shelf.save(make_vector(name=free), "built")


def test_replacing_keeps_the_older_vector_among_the_deleted(shelf, make_vector):
    shelf.save(make_vector(note="old"), "built")
    shelf.save(make_vector(note="new"), "built", replace=True)
    assert shelf.get("the sea").note == "new" and names(shelf) == ["the sea"]
    (gone,) = shelf.deleted()
    assert shelf.undo_delete(gone.token) == "the sea-2"
    assert shelf.get("the sea-2").note == "old" and shelf.get("the sea-2").name == "the sea-2"


def test_a_renamed_vector_carries_its_new_name_in_its_file(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.rename("the sea", "the ocean")
    assert names(shelf) == ["the ocean"] and shelf.get("the ocean").name == "the ocean"
    with pytest.raises(BadInput, match="no saved vector named 'the sea'"):
        shelf.get("the sea")


@pytest.mark.parametrize("new", ["", "  ", " x", "x" * 81, "a\nb", "a\x00b"])
def test_an_unusable_new_name_is_refused(shelf, make_vector, new):
    shelf.save(make_vector(), "built")
    with pytest.raises(BadInput, match="cannot be renamed: the new name"):
        shelf.rename("the sea", new)
    assert names(shelf) == ["the sea"]


def test_renaming_onto_another_vector_is_refused_and_onto_itself_is_nothing(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.save(make_vector(name="b"), "built")
    with pytest.raises(BadInput, match="already a vector named 'b'"):
        shelf.rename("the sea", "b")
    shelf.rename("b", "b")
    assert sorted(names(shelf)) == ["b", "the sea"]


def test_a_deleted_vector_can_be_brought_back_once(shelf, make_vector):
    shelf.save(make_vector(), "built")
    token = shelf.delete("the sea")
    assert shelf.list() == () and [gone.token for gone in shelf.deleted()] == [token]
    assert shelf.undo_delete(token) == "the sea"
    assert shelf.get("the sea") == make_vector() and shelf.deleted() == ()
    with pytest.raises(BadInput, match="cannot be brought back"):
        shelf.undo_delete(token)


def test_the_name_of_a_deleted_vector_is_free_again(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.delete("the sea")
    shelf.save(make_vector(note="second"), "built")
    shelf.delete("the sea")
    assert len(shelf.deleted()) == 2 and shelf.list() == ()


def test_purging_removes_the_deleted_and_only_them(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.save(make_vector(name="b"), "built")
    token = shelf.delete("the sea")
    assert shelf.purge() == 1 and shelf.purge() == 0
    assert names(shelf) == ["b"]
    with pytest.raises(BadInput, match="cannot be brought back"):
        shelf.undo_delete(token)


def test_what_could_not_be_read_again_is_not_saved(shelf, make_vector):
    unchecked = make_vector().model_copy(update={"dense": (1.0,)})
    with pytest.raises(BadInput, match=r"dense holds 1 numbers where sae\.d_in is 4"):
        shelf.save(unchecked, "composed")
    with pytest.raises(BadInput, match="cannot be saved: its name holds a control character"):
        shelf.save(make_vector().model_copy(update={"name": "a\ud800"}), "composed")
    assert shelf.list() == ()


@pytest.mark.parametrize("name", ["", "\ud800", "x" * 500, "a\nb"])
def test_a_name_that_could_never_be_saved_is_simply_not_found(shelf, name):
    with pytest.raises(BadInput, match="no saved vector named"):
        shelf.get(name)


@pytest.mark.parametrize("act", [Shelf.get, Shelf.delete, Shelf.touch])
def test_an_unknown_name_is_answered_with_near_matches(shelf, make_vector, act):
    shelf.save(make_vector(), "built")
    with pytest.raises(BadInput, match=r"no saved vector named 'the see'. Near matches: 'the sea'."):
        act(shelf, "the see")


def test_names_are_data_and_never_sql(shelf, make_vector):
    hostile = "'; DROP TABLE vectors; --"
    shelf.save(make_vector(name=hostile), "built")
    shelf.rename(hostile, hostile + "%_")
    assert names(shelf) == [hostile + "%_"]


def test_the_columns_of_the_list_agree_with_the_stored_file(path, make_vector):
    shelf = Shelf(path)
    shelf.save(make_vector(), "built")
    shelf.rename("the sea", "lake")
    shelf.close()
    (row,) = Database(path)["vectors"].rows
    stored = json.loads(row["file"])
    assert (row["name"], row["d_sae"], row["strength"]) == (
        stored["name"],
        stored["sae"]["d_sae"],
        stored["strength"],
    )
