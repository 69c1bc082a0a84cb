"""Which latents fire in the same windows, for a seeded uniform sample of windows of fixed size."""

import numpy as np

from sas_core.atlas.firing import Segments
from sas_core.atlas.priority import window_priority

SAMPLED_WINDOWS = 2_048


class Together:
    """Keeps, for the windows with the smallest priorities, the latents that fire there."""

    def __init__(self, seed: int, most: int = SAMPLED_WINDOWS) -> None:
        self.seed, self.most = seed, most
        self._kept: dict[int, tuple[int, np.ndarray]] = {}

    def add(self, numbers: np.ndarray, found: Segments) -> None:
        """Windows of a batch, `numbers[row]` the number of each row."""
        priorities = window_priority(self.seed, numbers)
        for row, (number, drawn) in enumerate(zip(numbers.tolist(), priorities.tolist(), strict=True)):
            self._kept[number] = (drawn, found.latents[found.rows == row].astype(np.uint32))
        if len(self._kept) > 2 * self.most:
            self._prune()

    def windows(self) -> dict[int, np.ndarray]:
        """Window -> its latents, ascending; in the order of window numbers."""
        self._prune()
        return {number: latents for number, (_, latents) in sorted(self._kept.items())}

    def _prune(self) -> None:
        order = sorted(self._kept, key=lambda number: (self._kept[number][0], number))
        self._kept = {number: self._kept[number] for number in order[: self.most]}

    def arrays(self) -> dict[str, np.ndarray]:
        kept = self.windows()
        return {
            "together.windows": np.array(list(kept), np.int64),
            "together.counts": np.array([len(latents) for latents in kept.values()], np.int64),
            "together.latents": np.concatenate([np.zeros(0, np.uint32), *kept.values()]),
        }

    @classmethod
    def restore(cls, seed: int, arrays: dict[str, np.ndarray]) -> "Together":
        made = cls(seed)
        numbers = arrays["together.windows"]
        parts = np.split(arrays["together.latents"], np.cumsum(arrays["together.counts"])[:-1])
        drawn = window_priority(seed, numbers).tolist()
        made._kept = dict(zip(numbers.tolist(), zip(drawn, parts, strict=False), strict=False))
        return made
