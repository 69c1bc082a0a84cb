"""Sums of vectors against dense arithmetic, their overlap against sets, and the tray as a sum."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sas_core.errors import BadInput, Mismatch
from sas_core.steering.gates import AnswerOnly, FirstTokens
from sas_core.steering.tray import Tray, latent_item, vector_item
from sas_core.vectors.compose import (
    Part,
    compose,
    composed_name,
    contributions,
    odd_settings,
    overlap,
    recipe,
    tray_recipe,
    tray_values,
)
from sas_core.vectors.fields import MAX_NAME_CHARS, name_fault


@pytest.fixture
def make(make_vector):
    """A vector of hand-picked latents: name, {index: value}, decoded sum."""

    def build(name, values, dense=(1.0, 0.0, 0.0, 0.0), labels=None, **changes):
        features = [{"index": i, "value": v, "label": (labels or {}).get(i)} for i, v in values.items()]
        return make_vector(name=name, method="latents", features=features, dense=list(dense), **changes)

    return build


def slow_sum(parts):
    total = np.zeros(8)
    for part in parts:
        for feature in part.vector.features:
            total[feature.index] += part.weight * feature.value
    return total


def test_the_sum_is_that_of_the_weighted_dense_vectors(make):
    parts = [
        Part(make("a", {0: 1.5, 3: -2.0, 7: 0.25}, (1.0, 2.0, 0.0, -1.0)), 0.5),
        Part(make("b", {3: 4.0, 5: 1.0}, (0.0, 1.0, 1.0, 1.0)), -2.0),
        Part(make("c", {0: 0.125}, (0.5, 0.0, 0.0, 0.0)), 3.0),
    ]
    composed = compose(parts)
    expected = slow_sum(parts)
    assert composed.values == {i: v for i, v in enumerate(expected) if v}
    np.testing.assert_allclose(composed.dense, [2.0, -1.0, -2.0, -2.5])
    assert composed.norm == pytest.approx(math.sqrt(4 + 1 + 4 + 6.25))


def test_latents_that_cancel_are_dropped_and_counted(make):
    composed = compose([Part(make("a", {1: 2.0, 2: 1.0}), 1.0), Part(make("b", {1: 4.0}), -0.5)])
    assert composed.values == {2: 1.0}
    assert composed.cancelled == 1


def test_the_largest_latent_comes_first(make):
    composed = compose([Part(make("a", {1: 1.0, 2: -5.0, 3: 2.0}), 1.0)])
    assert list(composed.values) == [2, 3, 1]


def test_a_sum_of_zero_is_refused(make):
    parts = [Part(make("a", {1: 2.0}), 1.0), Part(make("b", {1: 2.0}), -1.0)]
    with pytest.raises(BadInput, match="add up to zero"):
        compose(parts)


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_refused_with_the_name(make, weight):
    with pytest.raises(BadInput, match="weight of a "):
        compose([Part(make("a", {1: 2.0}), weight)])


def test_nothing_chosen_is_refused():
    with pytest.raises(BadInput, match="at least one"):
        compose([])


def test_vectors_of_different_saes_are_not_added(make, make_vector):
    other = make_vector().sae.model_copy(update={"sha256": "e" * 64})
    stranger = make("b", {1: 1.0}).model_copy(update={"sae": other})
    with pytest.raises(Mismatch, match="different SAEs"):
        compose([Part(make("a", {1: 1.0}), 1.0), Part(stranger, 1.0)])


def test_the_first_label_of_a_latent_is_kept(make):
    parts = [Part(make("a", {1: 1.0, 2: 1.0}, labels={1: "ships"}), 1.0),
             Part(make("b", {1: 1.0, 2: 1.0}, labels={1: "boats", 2: "desks"}), 1.0)]  # fmt: skip
    assert compose(parts).labels == {1: "ships", 2: "desks"}


def test_overlap_counts_signs_as_weighted(make):
    a = make("a", {0: 1.0, 1: 1.0, 2: -1.0}, (1.0, 0.0, 0.0, 0.0))
    b = make("b", {1: 2.0, 2: 2.0, 3: 1.0, 4: 1.0}, (1.0, 1.0, 0.0, 0.0))
    plain = overlap(Part(a, 1.0), Part(b, 1.0))
    assert (plain.shared_same, plain.shared_opposite) == (1, 1)
    assert plain.jaccard == pytest.approx(2 / 5)
    assert plain.cosine == pytest.approx(1 / math.sqrt(2))
    doubled = overlap(Part(make("c", {1: 1.0}), 1.0), Part(b, -3.0))
    assert (doubled.shared_same, doubled.shared_opposite) == (0, 1)
    assert overlap(Part(a, 1.0), Part(b, -3.0)).cosine == pytest.approx(-1 / math.sqrt(2))


def test_a_part_of_weight_zero_shares_nothing_and_has_no_direction(make):
    nothing = overlap(Part(make("a", {1: 1.0}), 0.0), Part(make("b", {1: 1.0}), 0.0))
    assert (nothing.shared_same, nothing.shared_opposite, nothing.jaccard) == (0, 0, 0.0)
    assert math.isnan(nothing.cosine)


def test_the_overlap_reads_as_a_sentence(make):
    said = overlap(Part(make("sea", {1: 1.0}), 1.0), Part(make("office", {1: -1.0}), 1.0)).sentence()
    assert said.startswith("sea and office share 1 latent: 0 pull the same way, 1 against each other")


def test_every_pair_of_three_is_compared_once(make):
    parts = [Part(make(name, {1: 1.0}), 1.0) for name in "abc"]
    assert [(o.left, o.right) for o in compose(parts).overlaps] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_contributions_add_up_to_the_sum(make):
    parts = [Part(make("a", {1: 1.0, 2: 3.0}), 2.0), Part(make("b", {2: 1.0}), -1.0)]
    rows = contributions(parts, compose(parts).values, top=1)
    assert rows == [(2, [6.0, -1.0])]


def test_the_recipe_keeps_signs_and_leaves_zeros_out(make):
    parts = [Part(make(n, {1: 1.0}), w) for n, w in (("the sea", 2.0), ("formal", -0.5), ("x", 0.0))]
    assert recipe(parts) == "Composed: 2 x the sea - 0.5 x formal."


def test_a_proposed_name_is_always_a_valid_one():
    assert name_fault(composed_name(["a" * MAX_NAME_CHARS, "b"])) is None
    assert name_fault(composed_name(["a" * (MAX_NAME_CHARS - 1), "b"])) is None


def test_settings_that_the_sum_does_not_keep_are_told(make):
    odd = make("b", {1: 1.0}, nonlinearity="none")
    (said,) = odd_settings([Part(make("a", {1: 1.0}), 1.0), Part(odd, 1.0)])
    assert said.startswith("b was made for nonlinearity none")


def test_a_tray_adds_up_over_what_is_on_and_keeps_latent_labels():
    tray = Tray().put(vector_item("sea", (1, 2), (1.0, -4.0), 2.0)).put(latent_item(1, 3.0, "ships"))
    tray = tray.put(latent_item(5, 1.0)).put(latent_item(6, 9.0)).switch("latent:6", False)
    values, labels = tray_values(tray)
    assert values == {2: -8.0, 1: 5.0, 5: 1.0}
    assert list(values) == [2, 1, 5]
    assert labels == {1: "ships"}
    assert tray_recipe(tray) == "Saved from the tray: sea at 2, ships at 1, latent 5 at 1."


@pytest.mark.parametrize("tray", [Tray(), Tray().put(latent_item(1, 2.0, strength=0.0))])
def test_a_tray_that_does_nothing_is_not_saved(tray):
    with pytest.raises(BadInput, match="steers with nothing"):
        tray_values(tray)


@pytest.mark.parametrize(
    ("change", "how"),
    [({"mode": "clamp"}, "clamp"), ({"gate": FirstTokens(8)}, "first8"),
     ({"mode": "scale", "gate": AnswerOnly()}, "scale answer")],
)  # fmt: skip
def test_a_tray_that_does_not_just_add_cannot_be_a_vector(change, how):
    tray = Tray().put(latent_item(1, 3.0)).put(replace(latent_item(2, 1.0, "ships"), **change))
    with pytest.raises(BadInput, match=f"ships is steered with {how}, which a vector file cannot say"):
        tray_values(tray)
    assert tray_values(tray.switch("latent:2", False))[0] == {1: 3.0}
