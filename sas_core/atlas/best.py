"""A running top-k for every latent at once: of windows by their maximum, or by a seeded random priority.

What is kept does not depend on the order in which candidates come: ties go to the earlier window, and of
candidates that share a key the best is kept. (A key that fell out cannot come back, since the k that
displaced it only get better; so the running result is the top k of all, without duplicates.)
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt64


@dataclass(frozen=True, eq=False)
class Entries:
    """Candidates or winners, one a row. `trace` is their row in `Traces`."""

    latent: Int32[np.ndarray, " n"]
    window: Int64[np.ndarray, " n"]
    score: Float64[np.ndarray, " n"]
    key: UInt64[np.ndarray, " n"]
    maximum: Float32[np.ndarray, " n"]
    peak: Int32[np.ndarray, " n"]
    trace: Int64[np.ndarray, " n"]

    @classmethod
    def none(cls) -> "Entries":
        kinds = (np.int32, np.int64, np.float64, np.uint64, np.float32, np.int32, np.int64)
        return cls(*(np.zeros(0, kind) for kind in kinds))

    def __len__(self) -> int:
        return len(self.latent)

    def __getitem__(self, at: np.ndarray) -> "Entries":
        return Entries(*(getattr(self, f.name)[at] for f in fields(self)))

    def joined(self, other: "Entries") -> "Entries":
        return Entries(
            *(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self))
        )


class Best:
    """The `k` best of each latent. With `distinct`, no two share a key."""

    def __init__(self, d_sae: int, k: int, *, distinct: bool, entries: Entries | None = None) -> None:
        self.k, self.distinct = k, distinct
        self.entries = Entries.none()
        self._least = np.full(d_sae, -np.inf)
        if entries is not None:
            self.offer(entries)

    def wanted(self, latent: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Which candidates may still get in: cheap, before anything is copied for them."""
        return score >= self._least[latent]

    def offer(self, candidates: Entries) -> None:
        """Merge; only latents that have a candidate are sorted again."""
        touched = np.zeros(len(self._least), bool)
        touched[candidates.latent] = True
        mine = touched[self.entries.latent]
        merged = self._ranked(self.entries[mine].joined(candidates))
        self.entries = self.entries[~mine].joined(merged)
        full = _rank_in_group(merged.latent) == self.k - 1
        self._least[merged.latent[full]] = merged.score[full]

    def ranked(self) -> Entries:
        """All winners, by latent and from the best down."""
        return self._ranked(self.entries)

    def _ranked(self, entries: Entries) -> Entries:
        entries = entries[np.lexsort((entries.window, -entries.score, entries.latent))]
        if self.distinct:
            entries = entries[_first_of_each(entries.latent, entries.key)]
        return entries[_rank_in_group(entries.latent) < self.k]


def _rank_in_group(groups: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each run of equal values."""
    here = np.arange(len(groups))
    starts = np.ones(len(groups), bool)
    starts[1:] = groups[1:] != groups[:-1]
    return here - np.maximum.accumulate(np.where(starts, here, 0))


def _first_of_each(latent: np.ndarray, key: np.ndarray) -> np.ndarray:
    """True at the first row of each (latent, key), in the order given."""
    order = np.lexsort((key, latent))
    same = (latent[order][1:] == latent[order][:-1]) & (key[order][1:] == key[order][:-1])
    first = np.ones(len(latent), bool)
    first[order[1:][same]] = False
    return first
