"""What was measured of a dictionary on one kind of held-out text, as a value. Knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

DENSITY_EDGES = tuple(e / 2 for e in range(-12, 1))
"""log10 of the shares of positions between which a bin of the histogram lies: -6, -5.5, ... 0."""


@dataclass(frozen=True)
class Measures:
    """`l0` is the mean number of active latents; `dead` never fired in these `positions`.

    `mse`: squared length of the error, mean over positions. `kl`: KL(clean || spliced), mean over all
    positions, special tokens and sinks too, in nats. `density`: latents by the share of positions at which
    they fire, in the bins between `DENSITY_EDGES` (lower edge in, the last upper edge too, rarer ones in the
    first); with `dead` it counts every latent.
    """

    positions: int
    sinks: int
    fvu: float
    mse: float
    l0: float
    dead: int
    dead_share: float
    ce_clean: float
    ce_spliced: float
    ce_mean_ablated: float
    ce_zero_ablated: float
    kl: float
    density: tuple[int, ...]

    @property
    def ce_increase(self) -> float:
        """Nats per token that splicing the reconstruction in costs."""
        return self.ce_spliced - self.ce_clean

    @property
    def recovered_zero(self) -> float:
        return (self.ce_zero_ablated - self.ce_spliced) / (self.ce_zero_ablated - self.ce_clean)

    @property
    def recovered_mean(self) -> float:
        return (self.ce_mean_ablated - self.ce_spliced) / (self.ce_mean_ablated - self.ce_clean)

    def as_dict(self) -> dict[str, Any]:
        """Fields and derived figures, rounded for a card; `density` by lower edge, and `never`."""
        derived = ("ce_increase", "recovered_zero", "recovered_mean")
        figures = {name: getattr(self, name) for name in (*(f.name for f in fields(self)), *derived)}
        density = {
            "never": self.dead,
            **{f"{e:g}": n for e, n in zip(DENSITY_EDGES[:-1], self.density, strict=True)},
        }
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
        return {**rounded, "density": density}


def density_counts(fired: Sequence[int], positions: int) -> tuple[int, ...]:
    """How many latents fall into each bin, of the numbers of positions at which they fired; 0 in none."""
    shares = np.asarray([n for n in fired if n > 0], dtype=np.float64) / positions
    edges = np.power(10.0, DENSITY_EDGES)
    bins = np.searchsorted(edges, shares, side="right") - 1
    return tuple(np.bincount(bins.clip(0, len(edges) - 2), minlength=len(edges) - 1).tolist())
