"""Which latents fire in the same windows: Jaccard similarity over the sampled windows, kept in memory."""

import numpy as np
from jaxtyping import Int64, UInt32


class CoFiring:
    """The latents of each sampled window, one window after the other; `ends[w]` is where window `w` ends."""

    def __init__(self, windows: list[UInt32[np.ndarray, " n"]], d_sae: int) -> None:
        self._latents = np.concatenate([np.zeros(0, np.uint32), *windows])
        self._ends: Int64[np.ndarray, " w"] = np.cumsum([len(latents) for latents in windows], dtype=np.int64)
        self._windows_of = np.bincount(self._latents, minlength=d_sae)

    def nearest(self, index: int, k: int) -> tuple[tuple[int, float], ...]:
        """The `k` latents most similar to `index` with |both| / |either|, by index where equal.

        Those that share no window are left out.
        """
        both = self._shared_with(index)
        others = np.flatnonzero(both)
        others = others[others != index]
        either = self._windows_of[others] + self._windows_of[index] - both[others]
        jaccard = both[others] / either
        order = np.lexsort((others, -jaccard))[:k]
        return tuple(zip(others[order].tolist(), jaccard[order].tolist(), strict=True))

    def _shared_with(self, index: int) -> Int64[np.ndarray, " d_sae"]:
        """How many of the windows of `index` each latent fires in."""
        places = np.flatnonzero(self._latents == index)
        windows = np.searchsorted(self._ends, places, side="right").tolist()
        bounds = [0, *self._ends.tolist()]
        parts = [self._latents[bounds[w] : bounds[w + 1]] for w in windows]
        return np.bincount(np.concatenate([self._latents[:0], *parts]), minlength=len(self._windows_of))
