"""The table of automatic labels in an atlas file, read and written. Knows nothing of how they are made."""

import json
import sqlite3
from collections.abc import Iterator, Sequence

from sas_core.atlas.types import AutoLabel

TABLE, INDEX = "auto_labels", "auto_labels_fts"
_COLUMNS = "text, kind, confidence, low, high, tested"


def held(connection: sqlite3.Connection) -> bool:
    """Whether the file has the table; an atlas of an older release has none."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, [TABLE]).fetchone() is not None


def read(connection: sqlite3.Connection, indices: Sequence[int]) -> dict[int, AutoLabel]:
    """The labels of those latents that have one; none from a file without the table."""
    if not held(connection):
        return {}
    rows = connection.execute(
        f"SELECT latent, {_COLUMNS} FROM {TABLE} WHERE latent IN (SELECT value FROM json_each(?))",
        [json.dumps([int(index) for index in indices])],
    )
    return {row[0]: AutoLabel(*row[1:]) for row in rows.fetchall()}


def every(connection: sqlite3.Connection) -> Iterator[tuple[int, AutoLabel]]:
    """All labels by latent; none from a file without the table."""
    if held(connection):
        rows = connection.execute(f"SELECT latent, {_COLUMNS} FROM {TABLE} ORDER BY latent")
        yield from ((row[0], AutoLabel(*row[1:])) for row in rows)


def found(connection: sqlite3.Connection, expression: str) -> list[tuple[int, float]]:
    """Latents whose clear label holds what an expression for FTS5 asks, with its confidence, surest first."""
    if not held(connection):
        return []
    rows = connection.execute(
        f"SELECT latent, confidence FROM {TABLE} "
        f"WHERE latent IN (SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH ?) ORDER BY low DESC, latent",
        [expression],
    )
    return [(row[0], row[1]) for row in rows.fetchall()]


def clear(connection: sqlite3.Connection) -> None:
    """Forget every label; the caller holds the transaction."""
    connection.execute(f"DELETE FROM {TABLE}")
    connection.execute(f"INSERT INTO {INDEX} ({INDEX}) VALUES ('delete-all')")


def write(connection: sqlite3.Connection, labels: Sequence[tuple[int, AutoLabel]]) -> None:
    """Add labels by latent, the clear ones to the index too; the caller holds the transaction."""
    connection.executemany(
        f"INSERT INTO {TABLE} (latent, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(at, one.text, one.kind, one.confidence, one.low, one.high, one.tested) for at, one in labels],
    )
    connection.executemany(
        f"INSERT INTO {INDEX} (rowid, text) VALUES (?, ?)",
        [(latent, label.text) for latent, label in labels if label.clear],
    )
