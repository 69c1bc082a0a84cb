"""Which saved vectors use a latent, and how much of it."""

import sqlite3

import pytest

from sas_core.vectors.shelf import Shelf
from sas_core.vectors.uses import Use, uses_of

SHA = "a" * 64


@pytest.fixture
def shelf(tmp_path, make_vector) -> Shelf:
    shelf = Shelf(tmp_path / "shelf.db")
    latents = [{"index": 7, "value": -4.0}, {"index": 2, "value": 1.0}]
    other = make_vector(name="handmade", method="latents", features=latents, tau=None, position=None)
    for vector in (make_vector(name="the sea"), other):
        shelf.save(vector, "built")
    return shelf


def test_each_vector_that_holds_it_is_listed_with_its_value_the_largest_first(shelf: Shelf) -> None:
    assert uses_of(shelf, 7, SHA) == (Use("handmade", -4.0, 1, 2), Use("the sea", 0.5, 3, 3))
    assert uses_of(shelf, 2, SHA) == (Use("handmade", 1.0, 2, 2),)
    assert uses_of(shelf, 5, SHA) == ()


def test_the_same_number_in_another_sae_is_another_latent(shelf: Shelf) -> None:
    assert uses_of(shelf, 7, "d" * 64) == ()


def test_a_damaged_vector_does_not_hide_the_others(shelf: Shelf) -> None:
    with sqlite3.connect(shelf.path) as db:
        db.execute("UPDATE vectors SET file = '{' WHERE name = 'handmade'")
    assert uses_of(shelf, 7, SHA) == (Use("the sea", 0.5, 3, 3),)
