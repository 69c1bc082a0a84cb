"""The passages an atlas has for and against a rule about a latent: to make it from, and to test it on.

Everything comes from the file: the windows of a latent's contexts in which it fires strongly, and the windows
sampled for co-firing in which it never fires.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int64

from sas_core.atlas.autolabel.features import Features, read_features
from sas_core.atlas.autolabel.spelling import read_spelling
from sas_core.atlas.decode import read_blob
from sas_core.atlas.priority import priority, splitmix64

LENGTH, BEFORE_PEAK = 32, 24
"""Tokens of a passage, and how many of them come before the peak where the window allows."""

AGAINST_AT_MOST = 128
"""Passages without the latent that a rule is made with; it is tested on as many as it fires in."""

STRONG = 0.5
"""A latent fires strongly from this share of the median of its strongest contexts on. In most windows a
latent fires at a fraction of that, at all sorts of tokens, and no label can speak of both."""

_FEW_DOCUMENTS = 100
_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Passages:
    """Positions in `Features`: of the passages in which a latent fires (and its peaks), and of others."""

    firing: Int64[np.ndarray, "n length"]
    peaks: Int64[np.ndarray, " n"]
    silent: Int64[np.ndarray, "m length"]


@dataclass(frozen=True, eq=False)
class Contexts:
    """Where a latent fires, the strongest first; `top` are its strongest contexts, the others a sample."""

    latent: int
    top: Bool[np.ndarray, " n"]
    windows: Int64[np.ndarray, " n"]
    peaks: Int64[np.ndarray, " n"]
    maxima: Float64[np.ndarray, " n"]

    def strong(self) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
        """Windows in which it fires strongly, each once, and the peaks in them."""
        if not self.top.any():
            return self.windows[:0], self.peaks[:0]
        least = STRONG * np.median(self.maxima[self.top])
        order = np.argsort(-self.maxima, kind="stable")
        _, first = np.unique(self.windows[order], return_index=True)
        kept = order[np.sort(first)]
        kept = kept[self.maxima[kept] >= least]
        return self.windows[kept], self.peaks[kept]


class Corpus:
    """The windows of an atlas in one row, and where which latent fires."""

    def __init__(self, connection: sqlite3.Connection, seed: int, documents: int) -> None:
        self._seed = seed
        pieces = [row[0] for row in connection.execute("SELECT piece FROM vocabulary ORDER BY id")]
        rows = connection.execute(
            "SELECT id, document, token_ids, excluded FROM windows ORDER BY id"
        ).fetchall()
        self._ids = np.array([row[0] for row in rows], np.int64)
        tokens = [read_blob(row[2], "<u4").astype(np.int64) for row in rows]
        self._lengths = np.array([len(each) for each in tokens], np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths
        row = np.concatenate([np.zeros(0, np.int64), *tokens])
        counted = np.ones(len(row), bool)
        for start, (*_, excluded) in zip(self._starts.tolist(), rows, strict=True):
            counted[start + read_blob(excluded, "<u2").astype(np.int64)] = False
        self.features: Features = read_features(read_spelling(pieces), row, self._starts, counted)
        documents_of = np.array([row[1] for row in rows], np.int64)
        self._unit = documents_of if documents >= _FEW_DOCUMENTS else self._ids
        drawn = splitmix64(self._ids.astype(np.uint64) ^ np.uint64(seed))
        self._held_out = (drawn & np.uint64(1)) > 0
        self._pool, self._where = _pool(connection, self._ids)

    def of(self, contexts: Contexts) -> tuple[Passages, Passages]:
        """To make a rule from, and to test it on.

        Ordered by strength, the documents with strong contexts go to one and the other half by turns, so that
        no document is in both; the windows without the latent are split once for the whole atlas.
        """
        windows, peaks = contexts.strong()
        rows = self._rows(windows, peaks)
        held_out = _by_turns(self._unit[rows])
        silent = self._silent(contexts.latent)
        return tuple(
            self._half(rows[mine], peaks[mine], silent[self._held_out[silent] == half], most)
            for half, mine, most in ((False, ~held_out, AGAINST_AT_MOST), (True, held_out, held_out.sum()))
        )

    def _rows(
        self, windows: Int64[np.ndarray, " n"], peaks: Int64[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " n"]:
        """Where these windows are. Raises sqlite3.DatabaseError for what the file does not hold."""
        rows = np.searchsorted(self._ids, windows)
        if not np.isin(windows, self._ids).all() or (peaks >= self._lengths[rows]).any():
            raise sqlite3.DatabaseError("a context does not fit its window")
        return rows

    def _silent(self, latent: int) -> Int64[np.ndarray, " m"]:
        """Rows of the sampled windows in which the latent never fires, in an order drawn for it; windows
        shorter than a passage come last, so that no rule is right because there is little to name."""
        fires = np.zeros(len(self._pool), bool)
        fires[self._where.windows_of(latent)] = True
        rows = self._pool[~fires]
        drawn = priority(self._seed, self._ids[rows], latent)
        return rows[np.lexsort((drawn, self._lengths[rows] < LENGTH))]

    def _half(
        self,
        rows: Int64[np.ndarray, " n"],
        peaks: Int64[np.ndarray, " n"],
        silent: Int64[np.ndarray, " m"],
        most: int,
    ) -> Passages:
        others = silent[:most]
        first = np.clip(peaks - BEFORE_PEAK, 0, self._room(rows))
        # which part of a window: as good as drawn, and the same every time
        drawn = splitmix64(self._ids[others].astype(np.uint64)) >> np.uint64(32)
        return Passages(
            self._positions(rows, first),
            self._starts[rows] + peaks,
            self._positions(others, drawn.astype(np.int64) % (self._room(others) + 1)),
        )

    def _room(self, rows: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """How many tokens later than the window a passage can begin."""
        return np.maximum(self._lengths[rows] - LENGTH, 0)

    def _positions(self, rows: np.ndarray, first: np.ndarray) -> Int64[np.ndarray, "n length"]:
        within = first[:, None] + np.arange(LENGTH)
        return np.where(
            within < self._lengths[rows][:, None], self._starts[rows][:, None] + within, self.features.nowhere
        )


@dataclass(frozen=True, eq=False)
class _Where:
    """Latent -> the sampled windows in which it fires, by place in the sample."""

    latents: Int64[np.ndarray, " entries"]
    windows: Int64[np.ndarray, " entries"]

    def windows_of(self, latent: int) -> Int64[np.ndarray, " n"]:
        first, end = np.searchsorted(self.latents, [latent, latent + 1])
        return self.windows[first:end]


def _pool(
    connection: sqlite3.Connection, ids: Int64[np.ndarray, " windows"]
) -> tuple[Int64[np.ndarray, " pool"], _Where]:
    """Rows of the sampled windows whose text the atlas holds, and the latents that fire in them."""
    rows = connection.execute(
        "SELECT window, latents FROM cofiring WHERE window IN (SELECT id FROM windows) ORDER BY window"
    ).fetchall()
    fired = [read_blob(row[1], "<u4") for row in rows]
    latents = np.concatenate([np.zeros(0, np.uint32), *fired])
    windows = np.repeat(np.arange(len(rows)), [len(each) for each in fired])
    order = np.argsort(latents, kind="stable")
    pool = np.searchsorted(ids, np.array([row[0] for row in rows], np.int64))
    return pool, _Where(latents[order].astype(np.int64), windows[order])


def _by_turns(units: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether each belongs to the second half: units in the order in which they are met, by turns."""
    _, first, which = np.unique(units, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which] % 2 == 1


def contexts_of(connection: sqlite3.Connection, d_sae: int) -> Iterator[Contexts]:
    """The contexts of each latent, none for a dead one."""
    for start in range(0, d_sae, _AT_ONCE):
        rows = connection.execute(
            "SELECT latent, band, window, peak, max FROM contexts WHERE latent >= ? AND latent < ? "
            "ORDER BY latent, band, rank", [start, start + _AT_ONCE],
        ).fetchall()  # fmt: skip
        table = np.array([tuple(row) for row in rows], np.float64).reshape(-1, 5)
        whole = table[:, :4].astype(np.int64)
        edges = np.searchsorted(whole[:, 0], np.arange(start, min(start + _AT_ONCE, d_sae) + 1))
        for latent, (first, end) in enumerate(pairwise(edges.tolist()), start):
            mine = whole[first:end]
            yield Contexts(latent, mine[:, 1] == 0, mine[:, 2], mine[:, 3], table[first:end, 4])
