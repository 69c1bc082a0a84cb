"""Rows of the shelf's list: fit, age, and which names may be taken."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sas_core.errors import BadInput
from sas_core.vectors.compare import LoadedIdentity
from sas_core.vectors.listing import ago, damaged_row, require_free_name, shelf_row
from sas_core.vectors.shelf import Shelf

HERE = LoadedIdentity(
    model_name="tiny-llama", revision="abc123", dtype="float32", d_model=4, processing={},
    hook_name="blocks.1.hook_resid_post", d_in=4, d_sae=8, sae_sha256="a" * 64,
)  # fmt: skip


@pytest.fixture
def shelf(tmp_path):
    opened = Shelf(tmp_path / "shelf.db")
    yield opened
    opened.close()


def row_of(shelf, vector, loaded):
    shelf.save(vector, "built")
    (item,) = shelf.list()
    return shelf_row(item, vector, loaded)


def test_a_vector_of_what_is_loaded_fits_without_a_reason(shelf, make_vector):
    row = row_of(shelf, make_vector(), HERE)
    assert (row.usable, row.fits, row.reason, row.tau) == (True, "yes", "", 0.7)


@pytest.mark.parametrize(
    ("changes", "usable", "fits"),
    [
        ({"dtype": "bfloat16"}, True, "yes, other dtype"),
        ({"dtype": "bfloat16", "revision": "def"}, True, "yes, other revision, other dtype"),
        ({"sae_sha256": "d" * 64}, False, "no: another SAE"),
        ({"hook_name": "blocks.0.hook_resid_post", "sae_sha256": "d" * 64}, False, "no: another hook"),
        ({"d_model": 8, "d_in": 8, "hook_name": "blocks.0.hook_resid_post"}, False, "no: another model"),
    ],
)  # fmt: skip
def test_the_fit_is_named_by_the_most_telling_difference(shelf, make_vector, changes, usable, fits):
    row = row_of(shelf, make_vector(), replace(HERE, **changes))
    assert (row.usable, row.fits) == (usable, fits)
    assert row.reason.endswith(".")


def test_of_many_fatal_differences_one_is_told_and_the_others_are_counted(shelf, make_vector):
    row = row_of(shelf, make_vector(), replace(HERE, model_name="big", d_model=8, d_in=8, dtype="float16"))
    assert row.reason == (
        "The vector was built on tiny-llama, and big, a model of another width, is loaded. "
        "3 more things differ too."
    )


def test_an_unreadable_vector_is_a_row_that_says_why_and_cannot_be_used(shelf, make_vector):
    shelf.save(make_vector(), "built")
    (item,) = shelf.list()
    row = damaged_row(item, "It is torn.")
    assert (row.usable, row.fits, row.reason) == (False, "no: unreadable", "It is torn.")


def test_a_free_name_is_accepted(shelf, make_vector):
    shelf.save(make_vector(), "built")
    require_free_name(shelf, "another")


@pytest.mark.parametrize(("name", "said"), [("the sea", "'the sea-2'"), ("", "is empty"), (" x", "space")])
def test_a_taken_or_unusable_name_is_refused_with_what_to_do(shelf, make_vector, name, said):
    shelf.save(make_vector(), "built")
    with pytest.raises(BadInput, match=said):
        require_free_name(shelf, name)


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 min ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=400), "400 d ago"),
    ],
)
def test_age_is_told_in_its_largest_unit(passed, said):
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert ago((now - passed).isoformat(), now) == said


def test_what_was_never_used_says_so():
    assert ago(None) == "never"
