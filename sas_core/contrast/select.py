"""The SAS rule (arXiv 2503.00177): from counts and sums to a sparse vector, for any tau, in milliseconds.

Knows nothing of pairs, models or strength; a vector is a list of latents with a value each.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int64

from sas_core.contrast.statistics import Tally
from sas_core.errors import BadInput

Sides = Literal["both", "positive", "negative"]

# sliders and ranges give 0.7000000000000001 for 0.7, which 7 of 10 pairs would miss; frequencies of up to
# a million pairs lie further apart than this
_TAU_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class SasVector:
    """The support of v = v+ - v-, by falling size of the value; positive values promote the behaviour."""

    indices: Int64[np.ndarray, " k"]
    values: Float[np.ndarray, " k"]
    freq_pos: Float[np.ndarray, " k"]
    freq_neg: Float[np.ndarray, " k"]
    mean_pos: Float[np.ndarray, " k"]
    mean_neg: Float[np.ndarray, " k"]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Funnel:
    """How many latents each step of the rule left.

    `active` fire in any pair, `above_tau` reach tau on a side at least, `shared` reach it on both;
    `kept_positive` and `kept_negative` are the vector's latents by the sign of their value.
    """

    active: int
    above_tau: int
    shared: int
    kept_positive: int
    kept_negative: int
    tau: float
    shared_dropped: bool = True

    @property
    def kept(self) -> int:
        """Latents in the vector."""
        return self.kept_positive + self.kept_negative

    @property
    def left_out(self) -> int:
        """Latents that pass the rule and were left out by the choice of side or by top-k."""
        return self.above_tau - (self.shared if self.shared_dropped else 0) - self.kept

    def sentence(self) -> str:
        """The steps in words, for the page and the command line."""
        verb = "latent fires" if self.active == 1 else "latents fire"
        fate = "dropped" if self.shared_dropped else "taken as a difference"
        steps = [
            f"{self.active:,} {verb}",
            f"{self.above_tau:,} in at least {100 * self.tau:.6g} % of a side",
            f"{self.shared:,} on both sides {fate}",
            *([f"{self.left_out:,} left out by side or top-k"] if self.left_out else []),
            f"{self.kept:,} kept ({self.kept_positive:,} +, {self.kept_negative:,} -)",
        ]
        return "; ".join(steps) + "."


def build_vector(
    tally: Tally,
    tau: float,
    *,
    sides: Sides = "both",
    top_k: int | None = None,
    drop_shared: bool = True,
) -> tuple[SasVector, Funnel]:
    """Steps 2 to 6 of SAS: v = v+ - v-, where a side counts if the frequency of the latent is >= tau.

    v+ and v- hold the mean of the non-zero entries. `drop_shared` zeroes latents in both of them, `sides`
    then keeps one or both, `top_k` the k largest means of each. An empty vector is a valid result.
    Raises BadInput for a tau outside 0..1, an unknown side, a top_k below 1, or no pairs.
    """
    _check(tally, tau, sides, top_k)
    found = _above_tau(tally, tau)
    shared = found.in_pos & found.in_neg
    keep = ~shared if drop_shared else np.ones_like(shared)
    in_pos = _largest(found.in_pos & keep & (sides != "negative"), found.mean_pos, top_k)
    in_neg = _largest(found.in_neg & keep & (sides != "positive"), found.mean_neg, top_k)
    values = np.where(in_pos, found.mean_pos, 0.0) - np.where(in_neg, found.mean_neg, 0.0)
    funnel = Funnel(
        active=int(np.count_nonzero(tally.count_pos | tally.count_neg)),
        above_tau=len(found.indices),
        shared=int(shared.sum()),
        kept_positive=int((values > 0).sum()),
        kept_negative=int((values < 0).sum()),
        tau=float(tau),
        shared_dropped=drop_shared,
    )
    return _vector(found, values), funnel


def _check(tally: Tally, tau: float, sides: str, top_k: int | None) -> None:
    # written so that NaN is refused too
    if not 0 <= tau <= 1:
        raise BadInput(f"tau is {tau}, but it is a share of pairs: choose a number from 0 to 1.")
    if sides not in get_args(Sides):
        raise BadInput(f"There is no side {sides!r}: choose one of {', '.join(get_args(Sides))}.")
    if top_k is not None and top_k < 1:
        raise BadInput(f"top-k is {top_k}; choose 1 or more, or none to keep every latent.")
    if tally.n < 1:
        raise BadInput("There are no pairs to build a vector from. Add pairs and compute again.")


def least_count(n: int, tau: float) -> int:
    """The fewest of `n` pairs in which a latent must fire to reach `tau`; 1 or more.

    As a count, so that a million latents cost one comparison a side; a latent that never fires has no mean.
    """
    return max(1, math.ceil(n * (tau - _TAU_SLACK)))


@dataclass(frozen=True, eq=False)
class _Found:
    """Latents that reach tau on one side at least, ascending; `in_pos` is where v+ is non-zero."""

    indices: Int64[np.ndarray, " m"]
    in_pos: Bool[np.ndarray, " m"]
    in_neg: Bool[np.ndarray, " m"]
    freq_pos: Float[np.ndarray, " m"]
    freq_neg: Float[np.ndarray, " m"]
    mean_pos: Float[np.ndarray, " m"]
    mean_neg: Float[np.ndarray, " m"]


def _above_tau(tally: Tally, tau: float) -> _Found:
    enough = least_count(tally.n, tau)
    at = np.flatnonzero((tally.count_pos >= enough) | (tally.count_neg >= enough))
    count_pos, count_neg = tally.count_pos[at], tally.count_neg[at]
    mean_pos = tally.sum_pos[at] / np.maximum(count_pos, 1)
    mean_neg = tally.sum_neg[at] / np.maximum(count_neg, 1)
    return _Found(
        indices=at,
        in_pos=(count_pos >= enough) & (mean_pos != 0),
        in_neg=(count_neg >= enough) & (mean_neg != 0),
        freq_pos=count_pos / tally.n,
        freq_neg=count_neg / tally.n,
        mean_pos=mean_pos,
        mean_neg=mean_neg,
    )


def _largest(
    inside: Bool[np.ndarray, " m"], means: Float[np.ndarray, " m"], top_k: int | None
) -> Bool[np.ndarray, " m"]:
    """`inside` narrowed to the `top_k` largest |mean|; of equal ones the lower index wins."""
    if top_k is None or inside.sum() <= top_k:
        return inside
    candidates = np.flatnonzero(inside)
    order = np.argsort(-np.abs(means[candidates]), kind="stable")
    narrowed = np.zeros_like(inside)
    narrowed[candidates[order[:top_k]]] = True
    return narrowed


def _vector(found: _Found, values: Float[np.ndarray, " m"]) -> SasVector:
    kept = np.flatnonzero(values)
    at = kept[np.argsort(-np.abs(values[kept]), kind="stable")]
    return SasVector(
        indices=found.indices[at],
        values=values[at],
        freq_pos=found.freq_pos[at],
        freq_neg=found.freq_neg[at],
        mean_pos=found.mean_pos[at],
        mean_neg=found.mean_neg[at],
    )
