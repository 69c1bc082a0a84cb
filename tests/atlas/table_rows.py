"""What an atlas file says, row by row, and whether that is what brute force expects."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.atlas.tiny_atlas import Expected, index_words

_ORDER = {
    "made_of": "key", "latents": '"index"', "contexts": "latent, band, rank", "windows": "id",
    "cofiring": "window", "vocabulary": "id", "state": "name",
    "auto_labels": "latent",
}  # fmt: skip
_WHEN = {"started", "finished", "versions"}
_LATENT = (
    "index", "fired", "total", "squares", "max", "mean", "density_class", "histogram", "token", "token_share",
    "token_phi",
)  # fmt: skip
_ROUNDED = ("total", "squares", "mean", "token_share", "token_phi")


def everything(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables with their blobs, and of the word index every word with its place."""
    with closing(sqlite3.connect(path)) as db:
        rows = {
            table: db.execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall()
            for table, key in _ORDER.items()
        }
        rows["words"] = [(doc, col, at, term) for term, doc, col, at in _words(db)]
    rows["made_of"] = [row for row in rows["made_of"] if row[0] not in _WHEN]
    return rows | {"words": sorted(rows["words"])}


def _words(db: sqlite3.Connection) -> list[tuple[str, int, str, int]]:
    db.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'latents_fts', 'instance')")
    return db.execute("SELECT term, doc, col, offset FROM temp.words").fetchall()


def check_says(path: Path, expected: Expected, pieces: Sequence[str]) -> None:
    """Counts, maxima and activations exactly; float64 sums within their rounding."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        assert _latents(db) == [
            {**row, **{name: _about(row[name]) for name in _ROUNDED}} for row in expected.latents
        ]
        assert _contexts(db) == expected.contexts
        assert _windows(db) == expected.windows
        assert _cofiring(db) == expected.cofiring
        found = sorted((doc, col, at, term) for term, doc, col, at in _words(db))
    assert found == _indexed(index_words(expected, pieces))


def _about(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-12, abs=1e-12)


def _latents(db: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = [dict(row) for row in db.execute('SELECT * FROM latents ORDER BY "index"')]
    histograms = [np.frombuffer(row["histogram"], "<u4").tolist() for row in rows]
    return [
        {**{name: row[name] for name in _LATENT}, "histogram": counts}
        for row, counts in zip(rows, histograms, strict=True)
    ]


def _contexts(db: sqlite3.Connection) -> list[dict[str, Any]]:
    return [
        {
            **dict(row),
            "positions": np.frombuffer(row["positions"], "<u2").tolist(),
            "activations": np.frombuffer(row["activations"], "<f4").tolist(),
        }
        for row in db.execute("SELECT * FROM contexts ORDER BY latent, band, rank")
    ]


def _windows(db: sqlite3.Connection) -> list[dict[str, Any]]:
    return [
        {
            **dict(row),
            "token_ids": np.frombuffer(row["token_ids"], "<u4").tolist(),
            "excluded": np.frombuffer(row["excluded"], "<u2").tolist(),
        }
        for row in db.execute("SELECT * FROM windows ORDER BY id")
    ]


def _cofiring(db: sqlite3.Connection) -> dict[int, list[int]]:
    return {
        row["window"]: np.frombuffer(row["latents"], "<u4").tolist()
        for row in db.execute("SELECT * FROM cofiring ORDER BY window")
    }


def _indexed(words: dict[int, tuple[str, str]]) -> list[tuple[int, str, int, str]]:
    """The same texts in an index of SQLite's own, read the same way."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE VIRTUAL TABLE latents_fts USING fts5(peaks, nearby)")
        db.executemany(
            "INSERT INTO latents_fts (rowid, peaks, nearby) VALUES (?, ?, ?)",
            [(latent, *texts) for latent, texts in words.items()],
        )
        return sorted((doc, col, at, term) for term, doc, col, at in _words(db))
