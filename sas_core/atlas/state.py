"""The state of an unfinished build in its own file: named arrays, written in one transaction.

A kill at any moment leaves the last whole state. Knows arrays, nothing of what they mean.
"""

import json
from collections.abc import Iterator, Mapping

import numpy as np
from sqlite_utils.db import Database

from sas_core.atlas import made_of
from sas_core.atlas.made_of import MadeOf

_LARGEST_BLOB = 2**26


def save(db: Database, made: MadeOf, arrays: Mapping[str, np.ndarray]) -> None:
    """Replace the state and the facts that go with it."""
    with db.atomic():
        clear(db)
        for name, array in arrays.items():
            for number, data in enumerate(_slices(np.ascontiguousarray(array).tobytes())):
                db.execute(
                    "INSERT INTO state VALUES (?, ?, ?, ?)",
                    [f"{name}#{number}", array.dtype.str, json.dumps(array.shape), data],
                )
        made_of.write(db, made)


def load(db: Database) -> dict[str, np.ndarray]:
    """The arrays of the last `save`; none where no state was ever saved."""
    parts: dict[str, dict[int, bytes]] = {}
    forms: dict[str, tuple[str, list[int]]] = {}
    for row in db.table("state").rows:
        name, _, number = row["name"].rpartition("#")
        parts.setdefault(name, {})[int(number)] = row["data"]
        forms[name] = (row["dtype"], json.loads(row["shape"]))
    return {name: _joined(blobs, *forms[name]) for name, blobs in parts.items()}


def clear(db: Database) -> None:
    db.execute("DELETE FROM state")


def _joined(blobs: dict[int, bytes], dtype: str, shape: list[int]) -> np.ndarray:
    data = b"".join(blobs[number] for number in sorted(blobs))
    # a copy, because what comes from bytes cannot be written to
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _slices(data: bytes) -> Iterator[bytes]:
    # SQLite refuses blobs of a gigabyte
    for start in range(0, max(len(data), 1), _LARGEST_BLOB):
        yield data[start : start + _LARGEST_BLOB]
