"""Running counts and sums of every latent, and their histogram. O(d_sae), whatever the corpus."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt32

from sas_core.atlas.firing import Fired
from sas_core.atlas.made_of import EDGES, bins_of


@dataclass(eq=False)
class Tally:
    """Per latent: tokens at which it fires, sum, sum of squares, maximum, and counts in `EDGES`' bins."""

    fired: Int64[np.ndarray, " d_sae"]
    total: Float64[np.ndarray, " d_sae"]
    squares: Float64[np.ndarray, " d_sae"]
    maximum: Float32[np.ndarray, " d_sae"]
    histogram: UInt32[np.ndarray, "d_sae bins"]

    @classmethod
    def empty(cls, d_sae: int) -> "Tally":
        return cls(
            np.zeros(d_sae, np.int64), np.zeros(d_sae), np.zeros(d_sae), np.zeros(d_sae, np.float32),
            np.zeros((d_sae, len(EDGES) - 1), np.uint32),
        )  # fmt: skip

    def add(self, fired: Fired) -> None:
        """Count one batch. The order of summation is that of the batch, so that a resumed run is equal."""
        if not len(fired.latents):
            return
        start = np.concatenate([[0], np.diff(fired.latents).nonzero()[0] + 1])
        latents = fired.latents[start]
        values = fired.values.astype(np.float64)
        self.fired[latents] += np.diff(np.concatenate([start, [len(values)]]))
        self.total[latents] += np.add.reduceat(values, start)
        self.squares[latents] += np.add.reduceat(values * values, start)
        self.maximum[latents] = np.maximum(self.maximum[latents], np.maximum.reduceat(fired.values, start))
        np.add.at(self.histogram, (fired.latents, bins_of(fired.values)), 1)
