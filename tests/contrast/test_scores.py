"""The column statistics, against scipy and plain loops."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sas_core.contrast.scores import (
    auroc,
    benjamini_hochberg,
    fold_auroc,
    oriented,
    sign_flip_p,
    sign_flips,
)


def sparse_columns(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Few distinct values and many zeros, so that ties are everywhere."""
    return np.where(rng.random((n, k)) < 0.5, 0.0, rng.integers(1, 5, (n, k))).astype(np.float64)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 12), (30, 30)])
def test_auroc_is_mann_whitneys_u_over_all_comparisons(n, m):
    rng = np.random.default_rng(n)
    high, low = sparse_columns(rng, n, 20), sparse_columns(rng, m, 20)
    expected = [stats.mannwhitneyu(high[:, c], low[:, c]).statistic / (n * m) for c in range(20)]
    np.testing.assert_allclose(auroc(high, low), expected, rtol=0, atol=1e-12)


def test_auroc_counts_ties_half():
    high, low = np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    np.testing.assert_allclose(auroc(high, low), [(2.5 + 0.5) / 6, 0.5])


def test_an_area_is_mirrored_when_training_pointed_the_other_way():
    area = np.array([0.9, 0.9, 0.9])
    np.testing.assert_allclose(oriented(area, np.array([3.0, -0.1, 0.0])), [0.9, 0.1, 0.5])


def test_fold_auroc_scores_each_fold_in_the_direction_of_the_others():
    rng = np.random.default_rng(0)
    n, k = 23, 12
    high, low = sparse_columns(rng, n, k), sparse_columns(rng, n, k)
    folds = rng.permutation(n) % 5
    expected = np.zeros(k)
    for c, fold in itertools.product(range(k), range(5)):
        others = [i for i in range(n) if folds[i] != fold]
        inside = [i for i in range(n) if folds[i] == fold]
        sign = np.sign(sum(high[i, c] - low[i, c] for i in others))
        wins = [
            1.0 if high[i, c] > low[j, c] else 0.5 if high[i, c] == low[j, c] else 0.0
            for i in inside
            for j in inside
        ]
        expected[c] += len(inside) / n * (0.5 + sign * (np.mean(wins) - 0.5))
    np.testing.assert_allclose(fold_auroc(high, low, folds), expected, atol=1e-12)


def test_fold_auroc_of_a_single_pair_knows_no_direction():
    np.testing.assert_allclose(fold_auroc(np.ones((1, 2)), np.zeros((1, 2)), np.array([0])), [0.5, 0.5])


def test_fold_auroc_does_not_reward_a_direction_fitted_to_noise():
    rng = np.random.default_rng(3)
    high, low = rng.random((40, 400)), rng.random((40, 400))
    fitted = np.abs(auroc(high, low) - 0.5).mean()
    crossed = (fold_auroc(high, low, np.arange(40) % 5) - 0.5).mean()
    assert fitted > 0.04
    assert crossed < 0.01


def test_sign_flip_p_is_the_share_of_flips_at_least_as_extreme():
    rng = np.random.default_rng(1)
    differences = sparse_columns(rng, 9, 6) - sparse_columns(rng, 9, 6)
    signs = sign_flips(300, 9, rng)
    expected = []
    for c in range(6):
        seen = abs(sum(differences[:, c]))
        b = sum(abs(sum(s * d for s, d in zip(row, differences[:, c], strict=True))) >= seen for row in signs)
        expected.append((1 + b) / 301)
    np.testing.assert_allclose(sign_flip_p(differences, signs), expected)


def test_sign_flip_p_over_all_flips_is_the_exact_test():
    values = np.array([[0.31], [1.7], [0.02], [0.9], [-0.4], [1.1]])
    signs = np.array(list(itertools.product([-1, 1], repeat=6)), dtype=np.int8)
    exact = stats.permutation_test(
        (values[:, 0],), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ).pvalue
    ours = (sign_flip_p(values, signs)[0] * 65 - 1) / 64
    assert ours == pytest.approx(exact)


def test_sums_that_tie_up_to_rounding_count_as_ties():
    # 0.3 - 0.1 - 0.2 is not quite 0 in binary, so that flipping these three moves the sum by rounding alone
    column = np.array([[0.3], [-0.1], [-0.2], [0.1]])
    flip = np.array([-1, -1, -1, 1], dtype=np.int8)
    signs = np.stack([flip] * 20)
    assert sign_flip_p(column, signs)[0] == sign_flip_p(flip[:, None] * column, signs)[0] == 1.0


def test_a_column_that_never_differs_has_p_one():
    assert sign_flip_p(np.zeros((8, 1)), sign_flips(50, 8, np.random.default_rng(0)))[0] == 1.0


def test_sign_flips_are_fair_and_seeded():
    flips = sign_flips(4000, 10, np.random.default_rng(5))
    assert set(np.unique(flips)) == {-1, 1}
    assert np.abs(flips.mean(axis=0)).max() < 0.06
    np.testing.assert_array_equal(flips, sign_flips(4000, 10, np.random.default_rng(5)))


@pytest.mark.parametrize("k", [1, 2, 50])
def test_q_values_are_scipys_false_discovery_control(k):
    rng = np.random.default_rng(k)
    p = np.round(rng.random(k) ** 3, 2).clip(0.01)
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), atol=1e-15)


def test_no_tests_give_no_q_values():
    assert benjamini_hochberg(np.zeros(0)).shape == (0,)
