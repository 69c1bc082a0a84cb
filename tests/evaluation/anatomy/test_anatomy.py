"""Anatomy against cases worked out by hand and against plain loops."""

import math

import numpy as np
import pytest
import torch

from sas_core.contrast.choice import Choice
from sas_core.contrast.collect import Collected, Progress
from sas_core.contrast.dense import mean_difference
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.ranking import Ranking, rank
from sas_core.contrast.statistics import Codes, SideCodes
from sas_core.errors import BadInput, Mismatch
from sas_core.evaluation.anatomy.measures import Sparsity, explained, meetings, over_taus, sparsity
from sas_core.evaluation.anatomy.pairs import PairsRead, anatomy_of, read_both_ways
from sas_core.vectors.build import latents_file, sas_vector_file
from sas_core.vectors.fields import VectorFile

UNIT = np.eye(4)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((3.0, -4.0), Sparsity(1, 1, 49 / 25)),
        ((0.5,), Sparsity(1, 0, 1.0)),
        ((-2.0, -2.0, -2.0), Sparsity(0, 3, 3.0)),
        ((0.0, 1.0, 1.0, 2.0, 0.0), Sparsity(3, 0, 16 / 6)),
        ((0.0, 0.0), Sparsity(0, 0, 0.0)),
        ((3e200, -4e200), Sparsity(1, 1, 49 / 25)),
    ],
)
def test_participation_is_the_square_of_the_sum_over_the_sum_of_squares(values, expected) -> None:
    found = sparsity(values)
    assert (found.positive, found.negative) == (expected.positive, expected.negative)
    assert found.participation == pytest.approx(expected.participation)
    assert found.nonzero == expected.positive + expected.negative


def side(dense: np.ndarray) -> SideCodes:
    rows, latents = np.nonzero(dense)
    values = dense[rows, latents].astype(np.float32)
    return SideCodes(rows.astype(np.int32), latents.astype(np.int32), values, *dense.shape)


def random_ranking(pairs: PairSet, n: int = 20, d_sae: int = 30) -> tuple[Ranking, list[np.ndarray]]:
    draw = np.random.default_rng(3)
    often = draw.random((2, 1, d_sae))
    both = [(draw.random((n, d_sae)) < often[s]) * draw.integers(1, 9, (n, d_sae)) / 4 for s in (0, 1)]
    none = np.array([], dtype=np.int32)
    codes = Codes(side(both[0]), side(both[1]))
    return Ranking(pairs, "last", Collected(codes, none, none, 0, 0)), both


def slow_values(both: list[np.ndarray], tau: float) -> list[float]:
    """The rule, latent by latent: a side counts where enough rows are on, shared latents go."""
    found = []
    for latent in range(both[0].shape[1]):
        on = [[v for v in codes[:, latent] if v != 0] for codes in both]
        reaches = [len(v) / len(both[0]) >= tau and len(v) > 0 for v in on]
        if reaches[0] != reaches[1]:
            found.append(sum(on[0]) / len(on[0]) if reaches[0] else -sum(on[1]) / len(on[1]))
    return found


def test_over_tau_it_is_the_sparsity_of_the_rule_worked_out_latent_by_latent(pairs: PairSet) -> None:
    ranking, both = random_ranking(pairs)
    taus = (0.0, 0.25, 0.5, 0.75, 0.9)
    found = over_taus(ranking, taus, Choice())
    assert [at.tau for at in found] == list(taus)
    for at in found:
        values = slow_values(both, at.tau)
        squares = sum(v * v for v in values)
        assert at.sparsity.positive == sum(v > 0 for v in values)
        assert at.sparsity.negative == sum(v < 0 for v in values)
        total = sum(abs(v) for v in values)
        assert at.sparsity.participation == pytest.approx(total * total / squares if values else 0.0)
    assert len({at.sparsity.nonzero for at in found}) > 2


def test_sides_and_shared_latents_are_as_the_choice_says_at_every_tau(pairs: PairSet) -> None:
    ranking, _ = random_ranking(pairs)
    both = over_taus(ranking, (0.3, 0.6), Choice())
    above = over_taus(ranking, (0.3, 0.6), Choice(sides="positive"))
    assert [at.sparsity.positive for at in above] == [at.sparsity.positive for at in both]
    assert [at.sparsity.negative for at in above] == [0, 0]
    kept = over_taus(ranking, (0.3,), Choice(drop_shared=False))
    assert kept[0].sparsity.nonzero > both[0].sparsity.nonzero


def test_a_tau_that_is_no_share_is_refused(pairs: PairSet) -> None:
    ranking, _ = random_ranking(pairs)
    with pytest.raises(BadInput, match=r"tau is 1\.5"):
        over_taus(ranking, (0.5, 1.5), Choice())


@pytest.fixture
def make(engine):
    return lambda name, values: latents_file(engine, name, values, verify=False)


def test_two_vectors_meet_as_worked_out_by_hand(make) -> None:
    a, b = make("a", {0: 1.0, 1: 2.0, 2: -1.0}), make("b", {1: 3.0, 2: 1.0, 5: 2.0})
    (found,) = meetings([a, b])
    assert (found.left, found.right) == ("a", "b")
    assert (found.shared_same, found.shared_opposite) == (1, 1)
    assert found.jaccard == pytest.approx(2 / 4)
    # {0+, 1+, 2-} and {1+, 2+, 5+}: one of five
    assert found.signed_jaccard == pytest.approx(1 / 5)
    assert found.latent_cosine == pytest.approx((2 * 3 - 1 * 1) / math.sqrt(6 * 14))


def test_the_decoded_cosine_is_that_of_the_sums_of_decoder_rows(make, engine) -> None:
    first, second = {0: 1.0, 1: 2.0}, {5: 3.0, 1: -1.0}
    (found,) = meetings([make("a", first), make("b", second)])
    W_dec = engine.dictionary.sae.W_dec
    left, right = (
        [sum(v * float(W_dec[i, d]) for i, v in values.items()) for d in range(W_dec.shape[1])]
        for values in (first, second)
    )
    dot = sum(x * y for x, y in zip(left, right, strict=True))
    assert found.decoded_cosine == pytest.approx(dot / math.hypot(*left) / math.hypot(*right), abs=1e-5)


def test_a_vector_meets_its_negative_everywhere_and_agrees_nowhere(make) -> None:
    a, b = make("a", {0: 1.0, 7: -2.0}), make("b", {0: -1.0, 7: 2.0})
    (found,) = meetings([a, b])
    assert (found.jaccard, found.signed_jaccard) == (1.0, 0.0)
    assert found.latent_cosine == pytest.approx(-1)
    assert found.decoded_cosine == pytest.approx(-1)


def test_disjoint_vectors_share_nothing_and_three_vectors_meet_three_times(make) -> None:
    found = meetings([make("a", {0: 1.0}), make("b", {1: 1.0}), make("c", {0: 2.0})])
    assert [(m.left, m.right) for m in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [m.jaccard for m in found] == [0.0, 1.0, 0.0]
    assert [m.signed_jaccard for m in found] == [0.0, 1.0, 0.0]
    assert found[0].latent_cosine == 0


def test_a_vector_of_zeros_has_no_cosine(make) -> None:
    a = make("a", {0: 1.0})
    zero = {"features": (a.features[0].model_copy(update={"value": 0.0}),), "dense": (0.0,) * len(a.dense)}
    (found,) = meetings([a, a.model_copy(update=zero)])
    assert (found.latent_cosine, found.decoded_cosine) == (None, None)
    assert (found.jaccard, found.signed_jaccard) == (0.0, 0.0)


def other_sae(vector: VectorFile) -> VectorFile:
    return vector.model_copy(update={"sae": vector.sae.model_copy(update={"sha256": "0" * 64})})


def test_vectors_of_different_dictionaries_are_not_compared(make) -> None:
    a = make("a", {0: 1.0})
    with pytest.raises(Mismatch, match="different SAEs"):
        meetings([a, other_sae(make("b", {0: 1.0}))])


def test_a_dense_direction_is_explained_as_worked_out_by_hand() -> None:
    found = explained(np.array([3.0, 4, 0, 0]), np.array([6.0, 0, 0, 0]), UNIT[:1])
    assert found.cosine == pytest.approx(0.6)
    assert found.length == pytest.approx(1.2)
    assert found.by_line == pytest.approx(0.36)
    assert found.by_sum == pytest.approx(1 - (9 + 16) / 25)
    assert found.by_span == pytest.approx(9 / 25)
    assert (found.rank, found.chance) == (1, 0.25)


def test_a_sum_that_points_away_explains_less_than_nothing() -> None:
    found = explained(np.array([1.0, 0, 0, 0]), np.array([-1.0, 0, 0, 0]), UNIT[:1])
    assert (found.cosine, found.by_sum) == (pytest.approx(-1), pytest.approx(-3))
    assert (found.by_line, found.by_span) == (pytest.approx(1), pytest.approx(1))


def test_rows_that_repeat_each_other_count_once() -> None:
    found = explained(np.array([3.0, 4, 0, 0]), UNIT[0], np.array([UNIT[0], 2 * UNIT[0]]))
    assert (found.rank, found.chance) == (1, 0.25)
    assert found.by_span == pytest.approx(9 / 25)


def slow_span_share(dense: np.ndarray, rows: np.ndarray) -> float:
    """Gram-Schmidt, twice over for accuracy; the share is the sum of squared coordinates."""
    basis: list[np.ndarray] = []
    for row in rows:
        left = row.astype(float)
        for _ in range(2):
            for axis in basis:
                left = left - (left @ axis) * axis
        if np.linalg.norm(left) > 1e-9 * np.linalg.norm(row):
            basis.append(left / np.linalg.norm(left))
    return sum(float(dense @ axis) ** 2 for axis in basis) / float(dense @ dense)


@pytest.mark.parametrize("k", [1, 5, 16, 40])
def test_the_span_explains_what_gram_schmidt_finds(k: int) -> None:
    draw = np.random.default_rng(k)
    dense, rows = draw.standard_normal(16), draw.standard_normal((k, 16))
    found = explained(dense, rows.sum(axis=0), rows)
    assert found.by_span == pytest.approx(slow_span_share(dense, rows), abs=1e-9)
    assert found.rank == min(k, 16)
    assert found.by_span >= found.by_line - 1e-12


def test_unrelated_rows_explain_the_chance_share_on_average() -> None:
    draw = np.random.default_rng(0)
    found = [explained(d, d, draw.standard_normal((6, 24))) for d in draw.standard_normal((400, 24))]
    assert np.mean([one.by_span for one in found]) == pytest.approx(found[0].chance, abs=0.02)


def test_what_has_no_direction_has_no_shares() -> None:
    found = explained(np.zeros(4), UNIT[0], UNIT[:2])
    assert (found.cosine, found.length, found.by_line, found.by_sum, found.by_span) == (None,) * 5
    nothing = explained(UNIT[0], np.zeros(4), np.zeros((0, 4)))
    assert (nothing.cosine, nothing.length, nothing.by_line) == (None, 0.0, None)
    assert (nothing.by_sum, nothing.by_span, nothing.rank) == (0.0, 0.0, 0)


def test_a_length_beyond_float64_is_said_not_to_be_known() -> None:
    found = explained(UNIT[0], 1e200 * UNIT[0], UNIT[:1])
    assert (found.cosine, found.length, found.by_sum) == (pytest.approx(1), None, None)


def test_the_pairs_are_read_for_both_the_codes_and_the_dense_direction(engine, pairs) -> None:
    *progress, found = read_both_ways(engine, pairs, "completion-mean")
    *_, ranking = rank(engine, pairs, "completion-mean")
    *_, dense = mean_difference(engine, pairs, "completion-mean")
    assert np.array_equal(found.ranking.tally.count_pos, ranking.tally.count_pos)
    assert found.dense == dense
    steps = [event.done / event.total for event in progress]
    assert steps == sorted(steps)
    assert progress[-1] == Progress(12, 12)


@pytest.fixture
def read(engine, pairs) -> PairsRead:
    *_, found = read_both_ways(engine, pairs, "completion-mean")
    return found


def test_a_vector_is_held_against_its_pairs(engine, read) -> None:
    vector = sas_vector_file(engine, "weather", read.ranking, Choice(1.0, sides="positive"), verify=False)
    found = anatomy_of(engine, vector, read, (1.0,))
    assert found.by_tau[0].sparsity == found.sparsity
    assert found.sparsity.negative == 0
    W_dec = engine.dictionary.sae.W_dec.double()
    s = sum(f.value * W_dec[f.index] for f in vector.features).numpy()
    d = np.array(read.dense)
    assert found.dense.cosine == pytest.approx(d @ s / math.sqrt((d @ d) * (s @ s)), abs=1e-5)
    assert found.dense.by_sum == pytest.approx(1 - ((d - s) @ (d - s)) / (d @ d), abs=1e-5)
    rows = W_dec[torch.tensor([f.index for f in vector.features])].numpy()
    assert found.dense.by_span == pytest.approx(slow_span_share(d, rows), abs=1e-6)


def test_a_latent_at_zero_lends_no_decoder_row(engine, read, make) -> None:
    vector = make("a", {0: 1.0, 3: 2.0})
    off = (vector.features[0], vector.features[1].model_copy(update={"value": 0.0}))
    found = anatomy_of(engine, vector.model_copy(update={"features": off}), read, (0.5,))
    assert found.dense.rank == 1


def test_a_vector_of_another_dictionary_is_refused(engine, read, make) -> None:
    with pytest.raises(Mismatch, match="other SAE weights"):
        anatomy_of(engine, other_sae(make("a", {0: 1.0})), read, (0.5,))
