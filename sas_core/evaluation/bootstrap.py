"""95 % bootstrap intervals of means over pairs, texts or questions. Plain arrays, whatever they count."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A figure over texts and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def exp(self) -> "Estimate":
        """Nats per token as a perplexity; infinite beyond what a float can hold."""
        return Estimate(*(math.exp(x) if x < 700.0 else math.inf for x in (self.value, self.low, self.high)))


def bootstrap(values: Float[np.ndarray, " n"], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean, 95 %; the same resamples for equal n, so differences are paired."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return Interval(float(low), float(high))


def estimate(values: Sequence[float], weights: Sequence[float] | None = None, *, seed: int = 0) -> Estimate:
    """`sum w x / sum w` and its 95 % percentile bootstrap over the texts, values and weights together.

    The same resamples for equal numbers of texts, so that rows can be compared.
    """
    x = np.asarray(values, dtype=np.float64)
    w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(x), size=(RESAMPLES, len(x)))
    means = (x * w)[drawn].sum(axis=1) / w[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(x @ w / w.sum()), float(low), float(high))
