"""The regression against plain gradient descent, scipy's own minimiser and cases by hand."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sas_core.evaluation.scorers.logistic import FOLDS, STRENGTHS, Fitted, best_strength, fit


def rows(n: int, d: int, seed: int = 0, apart: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """n rows of each kind, shifted in two columns; columns of very different sizes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2 * n, d)) * np.geomspace(0.01, 100.0, d) + 5.0
    positive = np.arange(2 * n) < n
    x[positive, :2] += apart * x[:, :2].std(axis=0)
    return x, positive


def fitted(x: np.ndarray, positive: np.ndarray, l2: float) -> Fitted:
    (found,) = fit(x, positive, (l2,))
    return found


def slow_log_odds(x: np.ndarray, positive: np.ndarray, l2: float) -> np.ndarray:
    """Gradient descent on the objective as it is written, with the step its curvature allows."""
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    s = np.where(positive, 1.0, -1.0)
    w, b = np.zeros(z.shape[1]), 0.0
    step = 1.0 / (0.25 * np.linalg.norm(np.c_[z, np.ones(len(z))], 2) ** 2 / len(z) + l2)
    for _ in range(6_000):
        pull = -s / (1.0 + np.exp(s * (z @ w + b)))
        w, b = w - step * (z.T @ pull / len(z) + l2 * w), b - step * pull.mean()
    return z @ w + b


@pytest.mark.parametrize(("n", "d"), [(30, 4), (6, 40)], ids=["more rows", "more columns"])
@pytest.mark.parametrize("l2", [1.0, 0.03])
def test_it_is_the_minimum_that_gradient_descent_finds(n, d, l2) -> None:
    x, positive = rows(n, d)
    np.testing.assert_allclose(fitted(x, positive, l2).log_odds(x), slow_log_odds(x, positive, l2), atol=1e-6)


def test_unbalanced_kinds_and_the_free_intercept_agree_with_scipy() -> None:
    x, positive = rows(20, 5)
    x, positive = x[:27], positive[:27]
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    s = np.where(positive, 1.0, -1.0)

    def loss(at: np.ndarray) -> float:
        return np.logaddexp(0.0, -s * (z @ at[:-1] + at[-1])).mean() + 0.05 * at[:-1] @ at[:-1]

    best = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(fitted(x, positive, 0.1).log_odds(x), z @ best[:-1] + best[-1], atol=1e-4)


def test_one_separable_column_has_the_solution_of_its_own_equation() -> None:
    x, positive = np.array([[3.0], [3.0], [1.0], [1.0]]), np.array([True, True, False, False])
    (weight,), bias = fitted(x, positive, 0.5).weights, fitted(x, positive, 0.5).bias
    # standardised the rows are +1 and -1, so the minimum is where sigma(-w) = l2 w, halfway between the sides
    assert 1.0 / (1.0 + np.exp(weight)) == pytest.approx(0.5 * weight, abs=1e-9)
    assert bias == pytest.approx(-2.0 * weight)


def test_a_path_of_strengths_ends_where_each_strength_alone_does() -> None:
    x, positive = rows(10, 30)
    for strength, found in zip(STRENGTHS, fit(x, positive, STRENGTHS), strict=True):
        alone = fitted(x, positive, strength)
        np.testing.assert_allclose(found.log_odds(x), alone.log_odds(x), atol=1e-6)


def test_columns_that_never_change_say_nothing() -> None:
    x, positive = rows(10, 3)
    wide = np.c_[np.full(20, 0.1), x, np.zeros(20)]
    found = fitted(wide, positive, 0.1)
    assert found.weights[0] == found.weights[-1] == 0.0
    np.testing.assert_allclose(found.log_odds(wide), fitted(x, positive, 0.1).log_odds(x), atol=1e-9)
    assert fitted(np.ones((4, 2)), positive[8:12], 0.1).log_odds(np.ones((1, 2)))[0] == 0.0


def test_the_weakest_penalty_that_pays_is_chosen_where_the_sides_are_clear_and_the_strongest_for_noise() -> (
    None
):
    groups = np.arange(40) % 20
    clear, positive = rows(20, 4, apart=20.0)
    noise, _ = rows(20, 60, apart=0.0)
    assert best_strength(clear, positive, groups) == STRENGTHS[-1]
    assert best_strength(noise, positive, groups) == STRENGTHS[0]


def test_the_strength_has_the_least_log_loss_over_folds_of_whole_groups() -> None:
    x, positive = rows(12, 20, seed=3, apart=1.5)
    groups = np.arange(24) % 12
    folds = (np.random.default_rng(0).permutation(12) % FOLDS)[groups]
    losses = []
    for strength in STRENGTHS:
        total = 0.0
        for fold in range(FOLDS):
            out = folds == fold
            odds = fitted(x[~out], positive[~out], strength).log_odds(x[out])
            chance = 1.0 / (1.0 + np.exp(-odds))
            total -= np.log(np.where(positive[out], chance, 1.0 - chance)).sum()
        losses.append(total)
    chosen = STRENGTHS[int(np.argmin(losses))]
    assert best_strength(x, positive, groups) == chosen
    assert chosen not in (STRENGTHS[0], STRENGTHS[-1]), "the case says nothing"


def test_two_groups_are_enough() -> None:
    x, positive = rows(2, 3, apart=5.0)
    assert best_strength(x, positive, np.arange(4) % 2) in STRENGTHS
