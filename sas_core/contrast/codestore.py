"""SQLite store of sparse codes, one row per text: a repeated ranking is instant, a stopped one resumes."""

import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlite_utils import Database

_CHUNK = 500


@dataclass(frozen=True)
class Row:
    """Non-zero latents of one text: their values, and the token id at which each was strongest.

    `special` and `sinks` count the positions that were left out.
    """

    latents: np.ndarray
    values: np.ndarray
    peaks: np.ndarray
    special: int = 0
    sinks: int = 0


class CodeStore:
    """A cache: deleting the file costs time, nothing else. One connection behind one lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = _open(path)

    def get(self, keys: Iterable[str]) -> dict[str, Row]:
        """Rows found among `keys`."""
        keys = list(keys)
        found: dict[str, Row] = {}
        with self._lock:
            for start in range(0, len(keys), _CHUNK):
                part = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                for row in self._db.query(f"select * from codes where key in ({marks})", part):
                    found[row["key"]] = Row(
                        np.frombuffer(row["latents"], "<i4"), np.frombuffer(row["vals"], "<f4"),
                        np.frombuffer(row["peaks"], "<i4"), row["special"], row["sinks"],
                    )  # fmt: skip
        return found

    def put(self, rows: Mapping[str, Row]) -> None:
        """Keep these rows; one transaction."""
        records = [
            {
                "key": key,
                "latents": row.latents.astype("<i4").tobytes(),
                "vals": row.values.astype("<f4").tobytes(),
                "peaks": row.peaks.astype("<i4").tobytes(),
                "special": row.special,
                "sinks": row.sinks,
            }
            for key, row in rows.items()
        ]
        with self._lock:
            self._db["codes"].insert_all(records, replace=True)


def _open(path: Path) -> Database:
    """Open or create; a damaged cache file is made anew, since it holds nothing that cannot be recomputed."""
    try:
        return _create(path)
    except sqlite3.DatabaseError:
        path.unlink()
        return _create(path)


def _create(path: Path) -> Database:
    db = Database(sqlite3.connect(path, check_same_thread=False, timeout=30))
    db.enable_wal()
    db["codes"].create(
        {"key": str, "latents": bytes, "vals": bytes, "peaks": bytes, "special": int, "sinks": int},
        pk="key",
        if_not_exists=True,
    )
    return db
