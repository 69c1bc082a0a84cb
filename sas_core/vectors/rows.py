"""The rows of the shelf's tables and what is done with them inside one transaction.

Every function that writes expects the caller to hold the transaction; nothing here opens or ends one.
"""

import difflib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from sqlite_utils.db import Database

from sas_core.errors import BadInput
from sas_core.vectors.schema import MAX_NAME_CHARS, VectorFile, dump_vector, name_fault, parse_vector

Origin = Literal["shipped", "built", "imported", "composed"]

PREVIEW_LENGTH = 64
LIVING = "deleted_at IS NULL"


@dataclass(frozen=True)
class ShelfItem:
    """What the list shows of a vector. `values`: its largest latents, signed, largest first."""

    name: str
    origin: Origin
    model_name: str
    hook_name: str
    d_sae: int
    sae_sha256: str
    n_features: int
    strength: float
    values: tuple[float, ...]
    created_at: str
    last_used: str | None


@dataclass(frozen=True)
class Deleted:
    """A vector that can still be brought back with `undo_delete(token)`."""

    name: str
    token: str
    deleted_at: str


def find(db: Database, name: str) -> dict[str, Any]:
    """The living row of this name. Raises BadInput with near matches when there is none."""
    # what could never have been saved is not asked for: SQLite cannot even be given a lone surrogate
    if name_fault(name) is None:
        for row in db.table("vectors").rows_where(f"name = ? AND {LIVING}", [name]):
            return row
    names = [row["name"] for row in db.table("vectors").rows_where(LIVING, select="name")]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f" Near matches: {', '.join(map(repr, near))}." if near else ""
    raise BadInput(f"There is no saved vector named {name!r}.{hint}")


def insert(db: Database, vector: VectorFile, origin: Origin) -> str:
    """Add a vector as a new row; returns its uid."""
    row = {"uid": uuid4().hex, "origin": origin, "saved_at": now(), **columns(vector)}
    db.table("vectors").insert(row)
    return row["uid"]


def columns(vector: VectorFile) -> dict[str, Any]:
    """What a vector fills in: its file, and what the list shows of it."""
    values = sorted((feature.value for feature in vector.features), key=abs, reverse=True)
    return {
        "name": vector.name,
        "file": dump_vector(vector),
        "model_name": vector.model.name,
        "hook_name": vector.sae.hook_name,
        "d_sae": vector.sae.d_sae,
        "sae_sha256": vector.sae.sha256,
        "n_features": len(vector.features),
        "strength": vector.strength,
        "preview": json.dumps(values[:PREVIEW_LENGTH]),
        "created_at": vector.created_at,
    }


def item(row: dict[str, Any]) -> ShelfItem:
    """A row as the list shows it."""
    shown = {field: row[field] for field in ShelfItem.__dataclass_fields__ if field != "values"}
    return ShelfItem(**shown, values=tuple(json.loads(row["preview"])))


def give_name(db: Database, row: dict[str, Any], name: str) -> None:
    """Rename a row, in its column and in its file."""
    vector = parse_vector(row["file"]).model_copy(update={"name": name})
    db.table("vectors").update(row["uid"], {"name": name, "file": dump_vector(vector)})


def mark_deleted(db: Database, name: str) -> None:
    """Take the living row of this name, if there is one, off the shelf."""
    db.execute(f"UPDATE vectors SET deleted_at = ? WHERE name = ? AND {LIVING}", [now(), name])


def seed_one(db: Database, file_name: str, sha256: str, vector: VectorFile) -> str | None:
    """Insert or renew one shipped vector; its name on the shelf, or None when there was nothing to do."""
    before = list(db.table("seeded").rows_where("file_name = ?", [file_name]))
    if not before:
        vector = vector.model_copy(update={"name": free_name(db, vector.name)})
        uid = insert(db, vector, "shipped")
        db.table("seeded").insert({"file_name": file_name, "sha256": sha256, "uid": uid})
        return vector.name
    if before[0]["sha256"] == sha256:
        return None
    db.table("seeded").update(file_name, {"sha256": sha256})
    for row in db.table("vectors").rows_where(f"uid = ? AND {LIVING}", [before[0]["uid"]]):
        # the user's name for it stays
        renewed = vector.model_copy(update={"name": row["name"]})
        db.table("vectors").update(row["uid"], columns(renewed))
        return row["name"]
    return None


def taken(db: Database, name: str) -> bool:
    """Whether a living row has this name."""
    return db.table("vectors").count_where(f"name = ? AND {LIVING}", [name]) > 0


def free_name(db: Database, name: str) -> str:
    """`name`, or the first free of `name-2`, `name-3`, ..., cut so that it stays a valid name."""
    number, free = 2, name
    while taken(db, free):
        ending = f"-{number}"
        number, free = number + 1, name[: MAX_NAME_CHARS - len(ending)].rstrip() + ending
    return free


def now() -> str:
    """The present, in a form whose order as text is its order in time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
