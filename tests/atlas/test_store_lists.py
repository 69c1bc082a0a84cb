"""Rows of an atlas: in the order and on the page asked for, and what filters and labels let through."""

import itertools

import pytest

from sas_core.atlas import store as store_module
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import Filter
from sas_core.errors import BadInput
from tests.atlas.tiny_atlas import DEAD

SHA = "a" * 64


def test_rows_come_in_the_order_asked_for(atlas, read):
    assert [row.index for row in atlas.rows([9, DEAD, 47, 9])] == [9, DEAD, 47, 9]
    assert atlas.rows([]) == []
    (row,) = atlas.rows([9])
    card = atlas.latent(9)
    assert row.positive == tuple(token for token, _ in card.positive[:4])
    for name in ("fired", "density", "density_class", "max", "mean_nonzero", "peak_token", "token_share"):
        assert getattr(row, name) == getattr(card, name)


KEYS = {
    "index": lambda card: 0,
    "max": lambda card: card.max,
    "density": lambda card: card.fired,
    "mean": lambda card: -1.0 if card.mean_nonzero is None else card.mean_nonzero,
    "token_share": lambda card: -1.0 if card.token_share is None else card.token_share,
}


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", KEYS)
def test_pages_in_any_order_together_are_the_whole_list(atlas, order, descending):
    cards = sorted(map(atlas.latent, range(48)), key=lambda c: (KEYS[order](c), c.index), reverse=descending)
    pages = [atlas.page(order=order, descending=descending, limit=7, offset=o) for o in range(0, 56, 7)]
    assert [row.index for row in itertools.chain(*pages)] == [card.index for card in cards]
    assert pages[-1] == []


def passes(card, wanted: Filter, labels: dict[int, str]) -> bool:
    """The filter, one condition after the other."""
    label = labels.get(card.index)
    return all(
        [
            wanted.density_class in (None, card.density_class),
            wanted.min_max is None or card.max >= wanted.min_max,
            wanted.max_max is None or card.max <= wanted.max_max,
            wanted.min_density is None or card.density >= wanted.min_density,
            wanted.max_density is None or card.density <= wanted.max_density,
            wanted.label != "labelled" or label is not None,
            wanted.label != "unlabelled" or label is None,
            wanted.label_text is None or (label is not None and wanted.label_text.lower() in label.lower()),
            wanted.only is None or card.index in wanted.only,
        ]
    )


LABELS = {3: "the sea", 9: "Ship or SEA", 20: "numbers", 21: "100 %_ of it"}

FILTERS = [
    Filter(density_class="dead"),
    Filter(density_class="dense", label="unlabelled"),
    Filter(density_class="rare"),
    Filter(min_max=3.0, max_max=12.25),
    Filter(min_density=10 / 113, max_density=20 / 113),
    Filter(label="labelled"),
    Filter(label="unlabelled", min_max=3.0),
    Filter(label_text="sea"),
    Filter(label_text="%_"),
    Filter(label_text="sea", label="unlabelled"),
    Filter(only=(3, 3, 21, 40, 1_000)),
    Filter(only=()),
    Filter(only=(3, 9, 10), label="labelled", density_class="normal"),
]


@pytest.mark.parametrize("wanted", FILTERS)
def test_a_filter_lets_through_exactly_what_meets_all_its_conditions(atlas, book, wanted):
    for index, label in LABELS.items():
        book.put(SHA, index, label)
    expected = [i for i in range(48) if passes(atlas.latent(i), wanted, LABELS)]
    assert [row.index for row in atlas.page(wanted)] == expected
    assert atlas.count(wanted) == len(expected)
    by_max = sorted(expected, key=lambda i: (atlas.latent(i).max, i), reverse=True)
    shown = atlas.page(wanted, "max", descending=True, limit=3, offset=1)
    assert [row.index for row in shown] == by_max[1:4]


def test_the_bounds_tried_above_leave_some_in_and_some_out(atlas):
    counts = [atlas.count(wanted) for wanted in FILTERS[:5]]
    assert [0 < count < 48 for count in counts] == [True, True, False, True, True]


def test_rows_show_labels_and_a_new_one_at_once(atlas, book):
    book.put("b" * 64, 5, "of another SAE")
    assert atlas.rows([5])[0].label is None and atlas.count(Filter(label="labelled")) == 0
    book.put(SHA, 5, "the harbour")
    assert atlas.rows([5])[0].label == "the harbour" and atlas.count(Filter(label="labelled")) == 1
    book.delete(SHA, 5)
    assert atlas.rows([5])[0].label is None and atlas.count(Filter(label="labelled")) == 0


def test_without_a_book_nothing_is_labelled(path):
    atlas = Atlas.open(path)
    assert atlas.page(Filter(label="labelled")) == [] and atlas.count(Filter(label="unlabelled")) == 48
    assert atlas.page(Filter(label_text="sea")) == []
    atlas.close()


def test_limits_never_load_the_list_whole(atlas):
    assert atlas.page(limit=-1) == [] and atlas.page(order="max", limit=-1) == []
    assert atlas.page(offset=10**30) == [] and atlas.page(order="max", offset=10**30) == []
    assert [row.index for row in atlas.page(limit=2, offset=-5)] == [0, 1]


def test_an_order_or_a_class_that_does_not_exist_is_refused_with_those_that_do(atlas):
    with pytest.raises(BadInput, match="no order 'index; DROP TABLE latents'; choose index, max"):
        atlas.page(order="index; DROP TABLE latents")
    with pytest.raises(BadInput, match="no density class 'some'; choose dead, rare"):
        atlas.count(Filter(density_class="some"))


def test_a_count_is_remembered_and_the_memory_bounded(atlas, monkeypatch):
    monkeypatch.setattr(store_module, "_COUNTS_KEPT", 2)
    for bound in (1.0, 2.0, 3.0, 1.0):
        assert atlas.count(Filter(min_max=bound)) == sum(atlas.latent(i).max >= bound for i in range(48))
    assert len(atlas._counts) == 2
