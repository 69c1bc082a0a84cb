"""Where and how strongly a latent fires in the windows that are kept: ragged rows in two flat arrays."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int64, UInt16

from sas_core.atlas.firing import Fired


def ragged(start: Int64[np.ndarray, " n"], count: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " total"]:
    """Indices of the rows `start[i] : start[i] + count[i]`, one after the other."""
    before = np.cumsum(count) - count
    return np.repeat(start - before, count) + np.arange(int(count.sum()))


@dataclass(eq=False)
class Traces:
    """Rows are only added; `keep` drops those that nothing refers to any more and renumbers the rest."""

    count: Int64[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, np.int64))
    positions: UInt16[np.ndarray, " total"] = field(default_factory=lambda: np.zeros(0, np.uint16))
    values: Float32[np.ndarray, " total"] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        # joined only in `keep`, since joining copies everything there is
        self._added: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._rows = len(self.count)
        self.start = np.cumsum(self.count) - self.count

    def __len__(self) -> int:
        return self._rows

    def put(self, fired: Fired, start: np.ndarray, count: np.ndarray) -> Int64[np.ndarray, " n"]:
        """Copy slices of a batch; returns their numbers."""
        at = ragged(start, count)
        self._added.append((count, fired.positions[at].astype(np.uint16), fired.values[at]))
        first, self._rows = self._rows, self._rows + len(count)
        return np.arange(first, self._rows)

    def get(self, row: int) -> tuple[UInt16[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """Positions and values of a row that `keep` has kept."""
        at = slice(int(self.start[row]), int(self.start[row] + self.count[row]))
        return self.positions[at], self.values[at]

    def keep(self, rows: Int64[np.ndarray, " kept"]) -> Int64[np.ndarray, " n"]:
        """Keep these (ascending, distinct) and return the new number of each old row, -1 for the dropped."""
        parts = [(self.count, self.positions, self.values), *self._added]
        count, positions, values = (np.concatenate([part[i] for part in parts]) for i in range(3))
        at = ragged((np.cumsum(count) - count)[rows], count[rows])
        renumbered = np.full(len(count), -1, np.int64)
        renumbered[rows] = np.arange(len(rows))
        self.count, self.positions, self.values = count[rows], positions[at], values[at]
        self.__post_init__()
        return renumbered
