"""From rows and blobs of an atlas to values. What does not fit together is told as damage of the file."""

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sas_core.atlas.types import BANDS, Context


def ask(connection: sqlite3.Connection, query: str, *values: object) -> list[sqlite3.Row]:
    """Every row of a query, whose columns are read by name."""
    return connection.execute(query, values).fetchall()


def array(numbers: Iterable[int]) -> str:
    """For `IN (SELECT value FROM json_each(?))`, which takes any number of them."""
    return json.dumps([int(number) for number in numbers])


def numbers(blob: bytes | None, kind: str) -> tuple:
    """The numbers of a blob as Python's; none where it was left out."""
    return tuple(read_blob(blob or b"", kind).tolist())


def pairs(row: sqlite3.Row, name: str) -> tuple[tuple[int, float], ...]:
    """`(id, value)` of the columns `<name>_ids` and `<name>`."""
    ids, values = numbers(row[f"{name}_ids"], "<u4"), numbers(row[name], "<f4")
    if len(ids) != len(values):
        raise sqlite3.DatabaseError(f"{name} has {len(values)} values for {len(ids)} ids")
    return tuple(zip(ids, values, strict=True))


def deviation(row: sqlite3.Row) -> float | None:
    """Standard deviation of the activations where it fires, from the sum and the sum of squares."""
    fired = row["fired"]
    if not fired:
        return None
    return math.sqrt(max(0.0, row["squares"] / fired - (row["total"] / fired) ** 2))


class Pieces(dict[int, str]):
    """Tokens as text; an id the vocabulary does not have (a padded one) is shown as its number."""

    def __missing__(self, token: int) -> str:
        return f"[token {token}]"


def pieces(connection: sqlite3.Connection, ids: Iterable[int | None]) -> Pieces:
    """The texts of these ids."""
    wanted = sorted({token for token in ids if token is not None})
    query = "SELECT id, piece FROM vocabulary WHERE id IN (SELECT value FROM json_each(?))"
    return Pieces((row["id"], row["piece"]) for row in ask(connection, query, array(wanted)))


def spelt(weighted: Sequence[tuple[int, float]], pieces: Mapping[int, str]) -> tuple[tuple[str, float], ...]:
    """Token ids with values as texts with values."""
    return tuple((pieces[token], value) for token, value in weighted)


def context(row: sqlite3.Row, tokens: tuple[int, ...], pieces: Mapping[int, str]) -> Context:
    """A row of contexts joined with its window, whose token ids were read already."""
    return Context(
        _band(row["band"]), row["max"], row["peak"], row["window"], row["document"], row["offset"], tokens,
        tuple(pieces[token] for token in tokens), _dense(row, len(tokens)),
        frozenset(numbers(row["excluded"], "<u2")),
    )  # fmt: skip


def _band(number: int) -> str:
    if not 0 <= number < len(BANDS):
        raise sqlite3.DatabaseError(f"there is no band {number}")
    return BANDS[number]


def _dense(row: sqlite3.Row, length: int) -> tuple[float, ...]:
    values = [0.0] * length
    positions, activations = numbers(row["positions"], "<u2"), numbers(row["activations"], "<f4")
    if len(positions) != len(activations) or max((*positions, row["peak"])) >= length:
        raise sqlite3.DatabaseError("a context does not fit its window")
    for position, activation in zip(positions, activations, strict=True):
        values[position] = activation
    return tuple(values)


def read_blob(blob: bytes, kind: str) -> np.ndarray:
    """The numbers of a blob, not copied."""
    try:
        return np.frombuffer(blob, kind)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"a list of numbers was cut: {error}") from error
