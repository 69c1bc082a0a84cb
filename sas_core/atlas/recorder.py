"""Everything a build knows while it reads, fed batch by batch: counts, winners, their traces and windows.

Memory is O(d_sae x k), whatever the corpus. Knows no model and no file.
"""

from dataclasses import dataclass, fields

import numpy as np

from sas_core.atlas.best import Best, Entries
from sas_core.atlas.firing import Fired, Segments, segments
from sas_core.atlas.made_of import DEDUPE_TOKENS
from sas_core.atlas.priority import priority, splitmix64
from sas_core.atlas.tally import Tally
from sas_core.atlas.together import Together
from sas_core.atlas.traces import Traces
from sas_core.atlas.windows import Batch

_MOST_WINDOWS_WAITING = 2_048


@dataclass(frozen=True, eq=False)
class StoredWindow:
    """A window that some context shows; `excluded` are its positions that are never counted."""

    document: int
    offset: int
    ids: np.ndarray
    excluded: np.ndarray


@dataclass
class Counts:
    """What was read and what of it was counted."""

    windows: int = 0
    tokens_read: int = 0
    tokens_seen: int = 0
    special_excluded: int = 0
    sinks_excluded: int = 0


class Recorder:
    """`add` batches, `end_block` after each block, `settle` before the winners are read."""

    def __init__(self, d_sae: int, k: int, seed: int) -> None:
        self.d_sae, self.k, self.seed = d_sae, k, seed
        self.tally = Tally.empty(d_sae)
        self.top = Best(d_sae, k, distinct=True)
        self.sample = Best(d_sae, k, distinct=False)
        self.traces = Traces()
        self.together = Together(seed)
        self.windows: dict[int, StoredWindow] = {}
        self.counts = Counts()
        self._for_top: list[Entries] = []
        self._for_sample: list[Entries] = []
        self._windows_kept = 0

    def add(self, batch: Batch, fired: Fired, sinks: np.ndarray) -> None:
        """Count a batch and remember what may be among the best."""
        self.tally.add(fired)
        self._count(batch, sinks)
        found = segments(fired)
        numbers = np.array([w.number for w in batch.windows], np.int64)
        self.together.add(numbers, found)
        self._collect(batch, fired, found, numbers)
        for row, window in enumerate(batch.windows):
            out = ~window.keep | sinks[row, : len(window.keep)]
            excluded = out.nonzero()[0].astype(np.uint16)
            self.windows[window.number] = StoredWindow(window.document, window.offset, window.ids, excluded)

    def end_block(self) -> None:
        """Let the candidates compete once they are many, since that costs as much as all that is kept."""
        waiting = sum(map(len, self._for_top)) + sum(map(len, self._for_sample))
        kept = len(self.top.entries) + len(self.sample.entries)
        if 4 * waiting >= kept or len(self.windows) - self._windows_kept >= _MOST_WINDOWS_WAITING:
            self.settle()

    def settle(self) -> None:
        """Let all candidates compete and forget what lost. The winners do not depend on when this is done."""
        for best, waiting in ((self.top, self._for_top), (self.sample, self._for_sample)):
            joined = Entries.none()
            if waiting:
                joined = Entries(
                    *(np.concatenate([getattr(e, f.name) for e in waiting]) for f in fields(Entries))
                )
            best.offer(joined)
            waiting.clear()
        self._forget_losers()

    def _count(self, batch: Batch, sinks: np.ndarray) -> None:
        kept = sum(int(w.keep.sum()) for w in batch.windows)
        read, sunk = sum(len(w.ids) for w in batch.windows), int(sinks.sum())
        self.counts.windows += len(batch.windows)
        self.counts.tokens_read += read
        self.counts.tokens_seen += kept - sunk
        self.counts.special_excluded += read - kept
        self.counts.sinks_excluded += sunk

    def _collect(self, batch: Batch, fired: Fired, found: Segments, numbers: np.ndarray) -> None:
        window = numbers[found.rows]
        drawn = priority(self.seed, window, found.latents)
        by_max = found.maximum.astype(np.float64)
        # 53 bits are exact in a float; a smaller priority is a better one
        by_draw = -(drawn >> np.uint64(11)).astype(np.float64)
        tops, draws = self.top.wanted(found.latents, by_max), self.sample.wanted(found.latents, by_draw)
        either = (tops | draws).nonzero()[0]
        trace = np.full(len(found.latents), -1, np.int64)
        trace[either] = self.traces.put(fired, found.start[either], found.count[either])
        keys = _keys(batch, found)
        for waiting, chosen, score in (
            (self._for_top, tops, by_max),
            (self._for_sample, draws, by_draw),
        ):
            waiting.append(
                Entries(found.latents, window, score, keys, found.maximum, found.peak, trace)[chosen]
            )

    def _forget_losers(self) -> None:
        # marks, not numpy's `unique`, which took two thirds of a block's time
        used = np.zeros(len(self.traces), bool)
        numbers = np.array(sorted(self.windows), np.int64)
        shown = np.zeros(len(numbers), bool)
        for best in (self.top, self.sample):
            used[best.entries.trace] = True
            shown[np.searchsorted(numbers, best.entries.window)] = True
        renumbered = self.traces.keep(used.nonzero()[0])
        for best in (self.top, self.sample):
            best.entries.trace[:] = renumbered[best.entries.trace]
        self.windows = {number: self.windows[number] for number in numbers[shown].tolist()}
        self._windows_kept = len(self.windows)

    def arrays(self) -> dict[str, np.ndarray]:
        """The state between two blocks, by name."""
        self.settle()
        made = {f"tally.{f.name}": getattr(self.tally, f.name) for f in fields(Tally)}
        made |= {f"traces.{f.name}": getattr(self.traces, f.name) for f in fields(Traces)}
        for name, best in (("top", self.top), ("sample", self.sample)):
            made |= {f"{name}.{f.name}": getattr(best.entries, f.name) for f in fields(Entries)}
        made["counts"] = np.array([getattr(self.counts, f.name) for f in fields(Counts)], np.int64)
        return made | self.together.arrays() | _pack(self.windows)

    @classmethod
    def restore(cls, d_sae: int, k: int, seed: int, arrays: dict[str, np.ndarray]) -> "Recorder":
        """The recorder that `arrays` was taken from."""

        def part(kind: type, name: str) -> list[np.ndarray]:
            return [arrays[f"{name}.{f.name}"] for f in fields(kind)]

        made = cls(d_sae, k, seed)
        made.tally, made.traces = Tally(*part(Tally, "tally")), Traces(*part(Traces, "traces"))
        made.top = Best(d_sae, k, distinct=True, entries=Entries(*part(Entries, "top")))
        made.sample = Best(d_sae, k, distinct=False, entries=Entries(*part(Entries, "sample")))
        made.counts = Counts(*arrays["counts"].tolist())
        made.together = Together.restore(seed, arrays)
        made.windows = _unpack(arrays)
        made._windows_kept = len(made.windows)
        return made


def _keys(batch: Batch, found: Segments) -> np.ndarray:
    """A hash of the tokens that end in the peak (fewer near a window's start): near duplicates share it."""
    tokens = batch.tokens.numpy().astype(np.uint64) + np.uint64(1)
    key = np.zeros(len(found.latents), np.uint64)
    for back in range(DEDUPE_TOKENS):
        at = found.peak - back
        token = np.where(at >= 0, tokens[found.rows, np.maximum(at, 0)], np.uint64(0))
        key = splitmix64(key ^ token)
    return key


def _pack(windows: dict[int, StoredWindow]) -> dict[str, np.ndarray]:
    def joined(name: str, kind: type) -> np.ndarray:
        return np.concatenate([np.zeros(0, kind), *(getattr(w, name) for w in windows.values())]).astype(kind)

    rows = [(n, w.document, w.offset, len(w.ids), len(w.excluded)) for n, w in windows.items()]
    return {
        "windows.rows": np.array(rows, np.int64).reshape(-1, 5),
        "windows.ids": joined("ids", np.uint32),
        "windows.excluded": joined("excluded", np.uint16),
    }


def _unpack(arrays: dict[str, np.ndarray]) -> dict[int, StoredWindow]:
    rows, ids, excluded = (arrays[f"windows.{name}"] for name in ("rows", "ids", "excluded"))
    id_ends, excluded_ends = np.cumsum(rows[:, 3]), np.cumsum(rows[:, 4])
    return {
        number: StoredWindow(document, offset, ids[id_end - n : id_end], excluded[out_end - out : out_end])
        for (number, document, offset, n, out), id_end, out_end in zip(
            rows.tolist(), id_ends.tolist(), excluded_ends.tolist(), strict=True
        )
    }
