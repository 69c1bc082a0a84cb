"""Effects at one price: where a curve of prices passes a price, and how two arms differ there.

Numbers only: knows no model, no files and no page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sas_core.evaluation.bootstrap import bootstrap


@dataclass(frozen=True)
class Match:
    """The strength at which an arm has a price.

    `reached` is False where no strength that was tried costs so much: `scale` is then the strongest.
    """

    scale: float
    reached: bool = True


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` units (pairs, prompts, texts) with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def verdict(self) -> int:
        """1 or -1 where the interval lies above or below 0, else 0."""
        return (self.low > 0) - (self.high < 0)


def strength_at(scales: Sequence[float], prices: Sequence[float], target: float) -> Match:
    """Where the prices first pass `target`, going outwards from strength 0, which costs nothing.

    `scales` have one sign and grow in size. Between two of them the price is taken as a power of the
    strength; from 0, or from a strength that costs nothing, as growing with the square of the strength.
    """
    strength, paid = 0.0, 0.0
    for scale, price in zip(scales, prices, strict=True):
        if price >= target:
            size = _between(abs(strength), paid, abs(scale), price, target)
            return Match(math.copysign(size, scale))
        strength, paid = scale, price
    return Match(scales[-1], reached=False)


def _between(weak: float, cheap: float, strong: float, dear: float, target: float) -> float:
    if weak and 0 < cheap < target:
        return weak * (strong / weak) ** (math.log(target / cheap) / math.log(dear / cheap))
    return math.sqrt(weak**2 + (target - cheap) / (dear - cheap) * (strong**2 - weak**2))


def estimate(values: Float[np.ndarray, " unit"]) -> Estimate | None:
    """Of the units that have a number; None with fewer than two of them."""
    there = values[np.isfinite(values)]
    if len(there) < 2:
        return None
    interval = bootstrap(there)
    return Estimate(float(there.mean()), interval.low, interval.high, len(there))


def lead(own: Float[np.ndarray, " unit"], other: Float[np.ndarray, " unit"], sign: float) -> Estimate | None:
    """How much further `own` moved in the direction of `sign` than `other`, unit by unit."""
    return estimate(math.copysign(1.0, sign) * (own - other))
