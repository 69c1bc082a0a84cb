"""The SAS rule, against a transcription of its steps into plain Python."""

import math
import random
import time

import numpy as np
import pytest

from sas_core.contrast.select import build_vector
from sas_core.contrast.statistics import Tally
from sas_core.errors import BadInput

Rows = list[list[float]]


def tally_of(positive: Rows, negative: Rows) -> Tally:
    up, down = np.array(positive), np.array(negative)
    return Tally((up != 0).sum(0), up.sum(0), (down != 0).sum(0), down.sum(0), len(positive))


def one_side(rows: Rows, tau: float) -> list[float]:
    """Steps 2 to 4: the mean of the non-zero entries where the frequency reaches tau."""
    v = []
    for column in zip(*rows, strict=True):
        active = [value for value in column if value != 0]
        mean = sum(active) / len(active) if active else 0.0
        v.append(mean if len(active) / len(rows) >= tau else 0.0)
    return v


def top(v: list[float], k: int | None) -> list[float]:
    if k is None:
        return v
    best = sorted((c for c in range(len(v)) if v[c] != 0), key=lambda c: (-abs(v[c]), c))[:k]
    return [value if c in best else 0.0 for c, value in enumerate(v)]


def literal(positive: Rows, negative: Rows, tau: float, sides="both", top_k=None, drop=True) -> list[float]:
    """Steps 2 to 6, and the paper's variations in the order they are documented."""
    plus, minus = one_side(positive, tau), one_side(negative, tau)
    for c in range(len(plus)):
        if drop and plus[c] != 0 and minus[c] != 0:
            plus[c] = minus[c] = 0.0
    if sides == "negative":
        plus = [0.0] * len(plus)
    if sides == "positive":
        minus = [0.0] * len(minus)
    return [a - b for a, b in zip(top(plus, top_k), top(minus, top_k), strict=True)]


def random_rows(draw: random.Random, n: int, d_sae: int, lowest: int = 1) -> Rows:
    rates = [draw.choice([0.0, 0.2, 0.5, 0.7, 0.9, 1.0]) for _ in range(d_sae)]
    # eighths: sums are exact in any order, and equal means occur
    return [
        [draw.randint(lowest, 40) / 8 if draw.random() < rate else 0.0 for rate in rates] for _ in range(n)
    ]


@pytest.mark.parametrize("seed", range(60))
def test_the_vector_is_the_literal_rules_in_every_variation(seed):
    draw = random.Random(seed)
    n, d_sae = draw.randint(1, 24), draw.randint(1, 40)
    # some dictionaries have negative codes, whose mean can even be 0
    lowest = draw.choice([1, 1, -40])
    positive, negative = (random_rows(draw, n, d_sae, lowest) for _ in range(2))
    tau = draw.choice([0.0, 0.05, 0.5, 0.7, 0.9, 1.0, draw.randint(0, n) / n, draw.random()])
    options = {
        "sides": draw.choice(["both", "positive", "negative"]),
        "top_k": draw.choice([None, None, 1, 3, 10]),
    }
    drop = draw.random() < 0.7
    expected = literal(positive, negative, tau, **options, drop=drop)
    vector, funnel = build_vector(tally_of(positive, negative), tau, **options, drop_shared=drop)
    assert dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True)) == {
        c: value for c, value in enumerate(expected) if value != 0
    }
    assert funnel.kept == len(vector) == sum(value != 0 for value in expected)
    assert funnel.kept_positive == sum(value > 0 for value in expected)
    keys = list(zip(-np.abs(vector.values), vector.indices, strict=True))
    assert keys == sorted(keys)


@pytest.mark.parametrize("seed", range(20))
def test_the_funnel_counts_what_plain_counting_finds(seed):
    draw = random.Random(1000 + seed)
    positive, negative = random_rows(draw, 10, 30), random_rows(draw, 10, 30)
    _, funnel = build_vector(tally_of(positive, negative), 0.5)
    plus, minus = one_side(positive, 0.5), one_side(negative, 0.5)
    fires = [any(row[c] for row in positive + negative) for c in range(30)]
    assert funnel.active == sum(fires)
    assert funnel.above_tau == sum(a != 0 or b != 0 for a, b in zip(plus, minus, strict=True))
    assert funnel.shared == sum(a != 0 and b != 0 for a, b in zip(plus, minus, strict=True))
    assert funnel.kept == funnel.above_tau - funnel.shared
    assert funnel.left_out == 0


def test_the_vector_carries_each_latents_frequencies_and_means():
    positive = [[2.0, 0.0, 1.0], [4.0, 0.0, 1.0], [0.0, 0.0, 1.0], [6.0, 5.0, 1.0]]
    negative = [[0.0, 3.0, 1.0], [1.0, 3.0, 1.0], [0.0, 3.0, 1.0], [0.0, 1.0, 1.0]]
    vector, funnel = build_vector(tally_of(positive, negative), 0.7)
    assert vector.indices.tolist() == [0, 1]
    assert vector.values.tolist() == [4.0, -2.5]
    assert (vector.freq_pos.tolist(), vector.freq_neg.tolist()) == ([0.75, 0.25], [0.25, 1.0])
    assert (vector.mean_pos.tolist(), vector.mean_neg.tolist()) == ([4.0, 5.0], [1.0, 2.5])
    assert (funnel.active, funnel.above_tau, funnel.shared) == (3, 3, 1)


def with_counts(count_pos: int, count_neg: int, n: int) -> Tally:
    counts = [np.array([count_pos]), np.array([count_neg])]
    return Tally(counts[0], counts[0] * 2.0, counts[1], counts[1] * 3.0, n)


@pytest.mark.parametrize("n", [3, 7, 10, 64, 100, 4999])
def test_a_frequency_equal_to_tau_is_kept_for_every_count(n):
    for count in range(1, n + 1, max(1, n // 60)):
        assert len(build_vector(with_counts(count, 0, n), count / n)[0]) == 1
        if count > 1:
            assert len(build_vector(with_counts(count - 1, 0, n), count / n)[0]) == 0


def test_a_tau_with_a_sliders_rounding_noise_means_the_number_it_shows():
    for tau in (0.7, 0.1 * 7, 1 - 0.3, math.nextafter(0.7, 1)):
        assert len(build_vector(with_counts(7, 0, 10), tau)[0]) == 1
        assert len(build_vector(with_counts(6, 0, 10), tau)[0]) == 0


def test_just_below_tau_on_one_side_keeps_a_latent_whole_and_just_above_drops_it_whole():
    kept, _ = build_vector(with_counts(71, 69, 100), 0.7)
    assert kept.values.tolist() == [2.0]
    dropped, funnel = build_vector(with_counts(99, 71, 100), 0.7)
    assert len(dropped) == 0
    assert funnel.shared == 1


def test_at_tau_zero_a_latent_that_never_fires_is_still_not_in_the_vector():
    none = Tally(*[np.zeros(4, int), np.zeros(4)] * 2, n=5)
    vector, funnel = build_vector(none, 0.0)
    assert len(vector) == funnel.active == funnel.above_tau == 0


@pytest.mark.parametrize("tau", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_tau_that_is_no_share_is_refused(tau):
    with pytest.raises(BadInput, match="from 0 to 1"):
        build_vector(with_counts(1, 0, 2), tau)


def test_other_arguments_out_of_range_are_refused():
    with pytest.raises(BadInput, match="one of both, positive, negative"):
        build_vector(with_counts(1, 0, 2), 0.5, sides="left")
    with pytest.raises(BadInput, match="top-k is 0"):
        build_vector(with_counts(1, 0, 2), 0.5, top_k=0)
    with pytest.raises(BadInput, match="no pairs"):
        build_vector(with_counts(0, 0, 0), 0.5)


def test_the_sentence_tells_the_funnel():
    draw = random.Random(2)
    tally = tally_of(random_rows(draw, 10, 30), random_rows(draw, 10, 30))
    _, funnel = build_vector(tally, 0.7)
    assert funnel.sentence() == (
        f"{funnel.active} latents fire; {funnel.above_tau} in at least 70 % of a side; "
        f"{funnel.shared} on both sides dropped; "
        f"{funnel.kept} kept ({funnel.kept_positive} +, {funnel.kept_negative} -)."
    )
    _, narrowed = build_vector(tally, 0.725, sides="positive", top_k=2)
    assert "at least 72.5 % of a side" in narrowed.sentence()
    assert f"; {narrowed.left_out} left out by side or top-k; 2 kept (2 +, 0 -)." in narrowed.sentence()
    _, shared = build_vector(tally, 0.7, drop_shared=False)
    assert f"{shared.shared} on both sides taken as a difference" in shared.sentence()
    assert shared.kept == shared.above_tau - shared.left_out


def test_a_million_latents_take_milliseconds_and_leave_the_tally_as_it_was():
    rng = np.random.default_rng(0)
    counts = [rng.binomial(64, rng.beta(0.2, 3.0, 1_000_000)) for _ in range(2)]
    tally = Tally(counts[0], counts[0] * 1.5, counts[1], counts[1] * 0.5, 64)
    before = [array.copy() for array in (tally.count_pos, tally.sum_pos, tally.count_neg, tally.sum_neg)]
    times = []
    for tau in (0.9, 0.7, 0.5, 0.3, 0.1):
        start = time.perf_counter()
        build_vector(tally, tau)
        times.append(time.perf_counter() - start)
    # a bound for a loaded machine; idle it is near 10 ms
    assert min(times) < 0.1
    after = (tally.count_pos, tally.sum_pos, tally.count_neg, tally.sum_neg)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
