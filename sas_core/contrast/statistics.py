"""Sparse codes of a contrast, their counts and sums, and the evidence for each latent.

Counts and sums alone give the SAS vector of every tau (see `select`); the evidence says how far a latent
can be trusted. Knows nothing of the model or the positions the codes were read at.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int, Int8, Int32, Int64

from sas_core.contrast.scores import (
    auroc,
    benjamini_hochberg,
    fold_auroc,
    oriented,
    sign_flip_p,
    sign_flips,
)
from sas_core.errors import BadInput, Mismatch

FOLDS = 5
_LATENTS_AT_ONCE = 1024

AurocSource = Literal["held-out", "5-fold"]


@dataclass(frozen=True, eq=False)
class SideCodes:
    """SAE codes of one side of `n` pairs, non-zero entries only, each (row, latent) at most once."""

    rows: Int32[np.ndarray, " nnz"]
    latents: Int32[np.ndarray, " nnz"]
    values: Float32[np.ndarray, " nnz"]
    n: int
    d_sae: int

    def counts(self) -> Int64[np.ndarray, " d_sae"]:
        """For each latent, the pairs in which it is active."""
        return np.bincount(self.latents, minlength=self.d_sae)

    def sums(self) -> Float[np.ndarray, " d_sae"]:
        """For each latent, the sum of its values over the pairs (float64)."""
        return np.bincount(self.latents, weights=self.values, minlength=self.d_sae)

    def dense(self, latents: Int[np.ndarray, " k"]) -> Float32[np.ndarray, "n k"]:
        """The columns of the given latents, zeros filled in, in the order they are given."""
        chosen, back = np.unique(latents, return_inverse=True)
        column = np.full(self.d_sae, -1, dtype=np.int64)
        column[chosen] = np.arange(len(chosen))
        at = column[self.latents]
        out = np.zeros((self.n, len(chosen)), dtype=np.float32)
        out[self.rows[at >= 0], at[at >= 0]] = self.values[at >= 0]
        return out[:, back]


@dataclass(frozen=True, eq=False)
class Codes:
    """Both sides of the same pairs: row i of either side belongs to pair i."""

    positive: SideCodes
    negative: SideCodes

    def __post_init__(self) -> None:
        if (self.positive.n, self.positive.d_sae) != (self.negative.n, self.negative.d_sae):
            raise ValueError("the two sides differ in pairs or in d_sae")

    @property
    def n(self) -> int:
        """Number of pairs."""
        return self.positive.n

    @property
    def d_sae(self) -> int:
        """Width of the dictionary."""
        return self.positive.d_sae

    def active(self) -> Int64[np.ndarray, " k"]:
        """Latents active in at least one completion of either side, ascending."""
        return np.unique(np.concatenate([self.positive.latents, self.negative.latents])).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of non-zero entries and sums of values, by latent and side, over `n` pairs."""

    count_pos: Int64[np.ndarray, " d_sae"]
    sum_pos: Float[np.ndarray, " d_sae"]
    count_neg: Int64[np.ndarray, " d_sae"]
    sum_neg: Float[np.ndarray, " d_sae"]
    n: int


def tally(codes: Codes) -> Tally:
    """The four arrays that give the SAS vector of every tau without touching the model again."""
    positive, negative = codes.positive, codes.negative
    return Tally(positive.counts(), positive.sums(), negative.counts(), negative.sums(), codes.n)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Statistics of each latent in `latents`, all aligned with it.

    `mean_pos`, `mean_neg`: over non-zero entries, 0 where there are none. `difference`: mean over pairs of
    positive minus negative, zeros included. `sign_agreement`: share of the pairs that differ at all whose
    sign is the mean's. `auroc`: above 0.5 when the latent separates the sides in the direction found on
    training data. `p_value`: sign-flip permutation; `q_value`: after Benjamini-Hochberg over `latents`.
    """

    latents: Int64[np.ndarray, " k"]
    freq_pos: Float[np.ndarray, " k"]
    freq_neg: Float[np.ndarray, " k"]
    mean_pos: Float[np.ndarray, " k"]
    mean_neg: Float[np.ndarray, " k"]
    difference: Float[np.ndarray, " k"]
    sign_agreement: Float[np.ndarray, " k"]
    auroc: Float[np.ndarray, " k"]
    p_value: Float[np.ndarray, " k"]
    q_value: Float[np.ndarray, " k"]
    auroc_source: AurocSource


def evidence(
    codes: Codes,
    heldout: Codes | None,
    latents: Int[np.ndarray, " k"],
    *,
    permutations: int = 2000,
    seed: int = 0,
) -> Evidence:
    """Evidence for `latents` from `codes`; AUROC from `heldout` pairs, or over 5 folds without them.

    The same seed gives the same numbers, whatever else is among `latents` (q-values excepted). Memory is
    bounded by blocks of latents.
    Raises BadInput for no pairs, an unknown latent or a negative count of permutations, and Mismatch when
    the held-out codes are of another width.
    """
    latents = np.asarray(latents, dtype=np.int64)
    heldout = heldout if heldout is not None and heldout.n else None
    _check(codes, heldout, latents, permutations)
    signs = sign_flips(permutations, codes.n, np.random.default_rng([seed, 0]))
    folds = np.random.default_rng([seed, 1]).permutation(codes.n) % FOLDS
    starts = range(0, max(len(latents), 1), _LATENTS_AT_ONCE)
    blocks = [_block(codes, heldout, latents[s : s + _LATENTS_AT_ONCE], signs, folds) for s in starts]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    columns["q_value"] = benjamini_hochberg(columns["p_value"])
    return Evidence(latents=latents, auroc_source="held-out" if heldout else "5-fold", **columns)


def _check(codes: Codes, heldout: Codes | None, latents: np.ndarray, permutations: int) -> None:
    if codes.n < 1:
        raise BadInput("There are no pairs to take statistics of. Add pairs and compute again.")
    if permutations < 0:
        raise BadInput(f"{permutations} permutations cannot be drawn; give 0 or more.")
    outside = latents[(latents < 0) | (latents >= codes.d_sae)]
    if len(outside):
        raise BadInput(f"Latent {outside[0]} does not exist: this SAE has 0 to {codes.d_sae - 1}.")
    if heldout and heldout.d_sae != codes.d_sae:
        raise Mismatch(
            f"The held-out codes are of an SAE with {heldout.d_sae} latents, the training codes of one with "
            f"{codes.d_sae}. Compute both with the same SAE."
        )


def _block(
    codes: Codes,
    heldout: Codes | None,
    latents: Int64[np.ndarray, " k"],
    signs: Int8[np.ndarray, "permutations n"],
    folds: Int64[np.ndarray, " n"],
) -> dict[str, Float[np.ndarray, " k"]]:
    positive = codes.positive.dense(latents).astype(np.float64)
    negative = codes.negative.dense(latents).astype(np.float64)
    differences = positive - negative
    mean = differences.mean(axis=0)
    return {
        "freq_pos": (positive != 0).mean(axis=0),
        "freq_neg": (negative != 0).mean(axis=0),
        "mean_pos": _mean_of_active(positive),
        "mean_neg": _mean_of_active(negative),
        "difference": mean,
        "sign_agreement": _agreement(differences, mean),
        "auroc": _auroc(positive, negative, mean, heldout, latents, folds),
        "p_value": sign_flip_p(differences, signs),
    }


def _mean_of_active(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    return values.sum(axis=0) / np.maximum((values != 0).sum(axis=0), 1)


def _agreement(
    differences: Float[np.ndarray, "n k"], mean: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    differ = differences != 0
    agree = differ & (np.sign(differences) == np.sign(mean))
    return agree.sum(axis=0) / np.maximum(differ.sum(axis=0), 1)


def _auroc(
    positive: Float[np.ndarray, "n k"],
    negative: Float[np.ndarray, "n k"],
    mean: Float[np.ndarray, " k"],
    heldout: Codes | None,
    latents: Int64[np.ndarray, " k"],
    folds: Int64[np.ndarray, " n"],
) -> Float[np.ndarray, " k"]:
    if heldout is None:
        return fold_auroc(positive, negative, folds)
    area = auroc(heldout.positive.dense(latents), heldout.negative.dense(latents))
    return oriented(area, mean)
