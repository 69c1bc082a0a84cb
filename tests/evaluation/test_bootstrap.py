"""Bootstrap intervals against hand cases and full enumeration."""

import itertools
import math

import numpy as np
import pytest

from sas_core.evaluation.bootstrap import Estimate, Interval, bootstrap, estimate


def test_two_pairs_give_the_interval_that_one_can_count() -> None:
    # the mean of a resample is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4: both 2.5 % tails lie on the ends
    assert bootstrap(np.array([0.0, 1.0])) == Interval(0.0, 1.0)


def test_a_single_pair_gives_no_width() -> None:
    assert bootstrap(np.array([0.3])) == Interval(0.3, 0.3)


def test_equal_changes_give_no_width() -> None:
    found = bootstrap(np.full(20, -0.25))
    assert (found.low, found.high) == (-0.25, -0.25)


def test_the_interval_is_that_of_all_resamples_counted_one_by_one() -> None:
    values = np.array([-1.0, 0.2, 0.9, 2.0, 3.5])
    means = sorted(sum(values[list(draw)]) / 5 for draw in itertools.product(range(5), repeat=5))
    low, high = np.quantile(means, (0.025, 0.975))
    found = bootstrap(values)
    assert found.low == pytest.approx(low, abs=0.1)
    assert found.high == pytest.approx(high, abs=0.1)


def test_the_interval_is_the_same_each_time_and_depends_on_the_seed() -> None:
    values = np.random.default_rng(1).normal(size=30)
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values) != bootstrap(values, seed=1)


def test_intervals_of_equal_length_are_paired() -> None:
    values = np.random.default_rng(1).normal(size=30)
    a, b = bootstrap(values), bootstrap(values + 2.0)
    assert b.low - a.low == pytest.approx(2.0)
    assert b.high - a.high == pytest.approx(2.0)


def test_an_estimate_is_weighted_and_its_interval_resamples_value_and_weight_together() -> None:
    # of two texts a quarter of the resamples hold the first alone, a quarter the second alone
    assert estimate([1.0, 3.0], [1.0, 3.0]) == Estimate(2.5, 1.0, 3.0)
    assert estimate([1.0, 3.0]) == Estimate(2.0, 1.0, 3.0)
    assert estimate([4.0]) == Estimate(4.0, 4.0, 4.0)


def test_the_interval_is_near_that_of_the_normal_distribution() -> None:
    x = np.random.default_rng(1).normal(size=400)
    found = estimate(x.tolist(), [2.0] * 400)
    half = 1.96 * x.std() / 20
    assert found.value == pytest.approx(x.mean())
    assert [found.low, found.high] == pytest.approx([x.mean() - half, x.mean() + half], abs=0.015)


def test_a_perplexity_beyond_what_a_float_holds_is_infinite() -> None:
    assert Estimate(0.0, -math.log(2), 800.0).exp() == Estimate(1.0, pytest.approx(0.5), math.inf)
