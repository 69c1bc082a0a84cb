"""Sparse codes, tallies and evidence, against dense arrays and plain loops."""

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sas_core.contrast import statistics
from sas_core.contrast.statistics import Codes, SideCodes, evidence, tally
from sas_core.errors import BadInput, Mismatch

D_SAE = 40


def side(dense: np.ndarray) -> SideCodes:
    rows, latents = np.nonzero(dense)
    order = np.random.default_rng(0).permutation(len(rows))
    rows, latents = rows[order].astype(np.int32), latents[order].astype(np.int32)
    return SideCodes(rows, latents, dense[rows, latents].astype(np.float32), *dense.shape)


def random_side(rng: np.random.Generator, n: int, shift: float = 0.0) -> np.ndarray:
    """Latents of every frequency; the first few fire more on a shifted side; the last never does."""
    rates = np.linspace(0, 1, D_SAE)[::-1] + np.where(np.arange(D_SAE) % 7 == 3, shift, 0)
    return np.where(rng.random((n, D_SAE)) < rates, rng.gamma(2.0, size=(n, D_SAE)), 0).astype(np.float32)


def contrast(seed: int, n: int) -> tuple[Codes, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive, negative = random_side(rng, n, 0.4), random_side(rng, n, -0.2)
    return Codes(side(positive), side(negative)), positive, negative


def test_counts_sums_and_columns_are_those_of_the_dense_array():
    dense = random_side(np.random.default_rng(1), 17)
    codes = side(dense)
    np.testing.assert_array_equal(codes.counts(), (dense != 0).sum(axis=0))
    np.testing.assert_allclose(codes.sums(), dense.astype(np.float64).sum(axis=0), rtol=1e-12)
    assert (codes.counts().dtype, codes.sums().dtype) == (np.int64, np.float64)
    for latents in ([5, 0, 39, 5], [], [12]):
        wanted = np.array(latents, dtype=np.int64)
        np.testing.assert_array_equal(codes.dense(wanted), dense[:, wanted])
        assert codes.dense(wanted).dtype == np.float32


def test_a_side_on_which_nothing_fires_has_zeros():
    codes = side(np.zeros((3, D_SAE), np.float32))
    assert codes.counts().sum() == codes.sums().sum() == 0
    np.testing.assert_array_equal(codes.dense(np.array([1, 2])), np.zeros((3, 2)))


def test_active_latents_are_those_that_fire_on_either_side():
    codes, positive, negative = contrast(2, 4)
    expected = [c for c in range(D_SAE) if positive[:, c].any() or negative[:, c].any()]
    assert codes.active().tolist() == expected


def test_sides_of_different_pairs_or_dictionaries_are_not_a_contrast():
    codes, positive, _ = contrast(0, 4)
    for other in (side(positive[:3]), side(positive[:, :30])):
        with pytest.raises(ValueError, match="differ"):
            Codes(codes.positive, other)


def test_the_tally_holds_both_sides():
    codes, positive, negative = contrast(3, 11)
    result = tally(codes)
    np.testing.assert_array_equal(result.count_pos, (positive != 0).sum(axis=0))
    np.testing.assert_array_equal(result.count_neg, (negative != 0).sum(axis=0))
    np.testing.assert_allclose(result.sum_pos, positive.astype(np.float64).sum(axis=0))
    np.testing.assert_allclose(result.sum_neg, negative.astype(np.float64).sum(axis=0))
    assert result.n == 11


def test_means_frequencies_and_agreement_equal_plain_loops():
    codes, positive, negative = contrast(4, 25)
    latents = np.array([39, 3, 17, 0, 10, 24, 38])
    result = evidence(codes, None, latents, permutations=10)
    for at, c in enumerate(latents):
        up, down = positive[:, c].astype(float).tolist(), negative[:, c].astype(float).tolist()
        differences = [a - b for a, b in zip(up, down, strict=True)]
        mean = sum(differences) / len(differences)
        differ = [d for d in differences if d != 0]
        agree = [d for d in differ if (d > 0) == (mean > 0)]
        assert result.freq_pos[at] == len([a for a in up if a]) / 25
        assert result.freq_neg[at] == len([b for b in down if b]) / 25
        assert result.mean_pos[at] == pytest.approx(sum(up) / max(len([a for a in up if a]), 1))
        assert result.mean_neg[at] == pytest.approx(sum(down) / max(len([b for b in down if b]), 1))
        assert result.difference[at] == pytest.approx(mean)
        assert result.sign_agreement[at] == pytest.approx(len(agree) / max(len(differ), 1))


def test_auroc_on_held_out_pairs_is_mann_whitney_in_the_direction_of_training():
    codes, positive, negative = contrast(5, 20)
    heldout, up, down = contrast(6, 13)
    result = evidence(codes, heldout, np.arange(D_SAE), permutations=10)
    assert result.auroc_source == "held-out"
    for c in range(D_SAE):
        area = stats.mannwhitneyu(up[:, c], down[:, c]).statistic / 13**2
        sign = np.sign((positive[:, c].astype(float) - negative[:, c]).sum())
        assert result.auroc[c] == pytest.approx(0.5 + sign * (area - 0.5))


def test_a_latent_that_reverses_on_held_out_pairs_scores_below_half():
    ones, zeros = np.ones((6, 1), np.float32), np.zeros((6, 1), np.float32)
    train, reversed_ = Codes(side(ones), side(zeros)), Codes(side(zeros), side(ones))
    assert evidence(train, reversed_, np.array([0]), permutations=10).auroc[0] == 0.0
    assert evidence(train, train, np.array([0]), permutations=10).auroc[0] == 1.0


def test_without_held_out_pairs_auroc_comes_from_folds():
    codes, _, _ = contrast(5, 20)
    empty = Codes(side(np.zeros((0, D_SAE), np.float32)), side(np.zeros((0, D_SAE), np.float32)))
    folded = evidence(codes, None, np.arange(D_SAE), permutations=10)
    assert (
        folded.auroc_source == evidence(codes, empty, np.arange(3), permutations=10).auroc_source == "5-fold"
    )
    perfect = Codes(side(np.ones((7, 1), np.float32)), side(np.zeros((7, 1), np.float32)))
    assert evidence(perfect, None, np.array([0]), permutations=10).auroc[0] == 1.0


def test_p_values_agree_with_scipys_permutation_test_and_q_values_with_its_fdr():
    codes, positive, negative = contrast(7, 30)
    result = evidence(codes, None, np.arange(D_SAE), permutations=4000)
    for c in (0, 3, 10, 24, 31):
        expected = stats.permutation_test(
            (positive[:, c].astype(float) - negative[:, c],),
            np.mean,
            permutation_type="samples",
            n_resamples=4000,
            rng=np.random.default_rng(c),
        ).pvalue
        assert result.p_value[c] == pytest.approx(expected, abs=0.03)
    assert result.p_value.min() == 1 / 4001
    assert result.p_value[39] == 1.0
    np.testing.assert_allclose(result.q_value, stats.false_discovery_control(result.p_value))


def test_null_latents_have_uniform_p_values():
    rng = np.random.default_rng(8)
    draw = lambda: side(rng.gamma(2.0, size=(24, 300)).astype(np.float32))  # noqa: E731
    p = evidence(Codes(draw(), draw()), None, np.arange(300), permutations=500).p_value
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_the_seed_decides_and_neither_neighbours_nor_blocks_do(monkeypatch):
    codes, _, _ = contrast(9, 16)
    whole = evidence(codes, None, np.arange(D_SAE), permutations=200, seed=4)
    other = evidence(codes, None, np.arange(D_SAE), permutations=200, seed=5)
    assert not np.array_equal(whole.p_value, other.p_value)
    monkeypatch.setattr(statistics, "_LATENTS_AT_ONCE", 3)
    blocked = evidence(codes, None, np.arange(D_SAE), permutations=200, seed=4)
    few = evidence(codes, None, np.array([21, 8]), permutations=200, seed=4)
    for name in ("p_value", "auroc", "difference", "mean_pos", "sign_agreement"):
        np.testing.assert_allclose(getattr(blocked, name), getattr(whole, name), rtol=1e-12)
        np.testing.assert_allclose(getattr(few, name), getattr(whole, name)[[21, 8]], rtol=1e-12)
    np.testing.assert_allclose(blocked.q_value, whole.q_value)
    assert few.latents.tolist() == [21, 8]


def test_no_latents_give_empty_evidence():
    codes, _, _ = contrast(1, 5)
    result = evidence(codes, None, np.array([], dtype=np.int64))
    assert result.auroc.shape == result.q_value.shape == result.freq_pos.shape == (0,)


def test_what_cannot_be_computed_is_refused_with_the_reason():
    codes, _, _ = contrast(1, 5)
    none = side(np.zeros((0, D_SAE), np.float32))
    with pytest.raises(BadInput, match="no pairs"):
        evidence(Codes(none, none), None, np.arange(2))
    with pytest.raises(BadInput, match="-1 permutations"):
        evidence(codes, None, np.arange(2), permutations=-1)
    for latent in (-1, D_SAE):
        with pytest.raises(BadInput, match=f"Latent {latent} does not exist: this SAE has 0 to 39"):
            evidence(codes, None, np.array([0, latent]))
    narrow = replace(none, n=4, d_sae=30)
    with pytest.raises(Mismatch, match="30 latents"):
        evidence(codes, Codes(narrow, narrow), np.arange(2))


def test_a_wide_dictionary_costs_only_its_active_latents():
    rng = np.random.default_rng(0)
    n, per_row, d_sae = 64, 200, 1_000_000

    def wide() -> SideCodes:
        latents = np.concatenate([rng.choice(3000, per_row, replace=False) * 333 for _ in range(n)])
        rows = np.repeat(np.arange(n), per_row)
        values = rng.random(n * per_row).astype(np.float32)
        return SideCodes(rows.astype(np.int32), latents.astype(np.int32), values, n, d_sae)

    codes = Codes(wide(), wide())
    start = time.perf_counter()
    result = evidence(codes, codes, codes.active(), permutations=200)
    assert time.perf_counter() - start < 20
    assert len(result.latents) > 2900
