"""The tables of the shelf, made step by step. A released step is never edited: add another below it."""

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("shelf")


@MIGRATIONS()
def m001_vectors(db: Database) -> None:
    """One row a vector: the file's text is the truth, the other columns repeat what the list shows."""
    columns = {
        "uid": str,
        "name": str,
        "origin": str,
        "file": str,
        "model_name": str,
        "hook_name": str,
        "d_sae": int,
        "sae_sha256": str,
        "n_features": int,
        "strength": float,
        "preview": str,
        "created_at": str,
        "saved_at": str,
        "last_used": str,
        "deleted_at": str,
    }
    db.table("vectors").create(columns, pk="uid", not_null={"name", "origin", "file", "saved_at"})
    # deleted rows keep their name until they are purged, so only the living must differ
    db.execute("CREATE UNIQUE INDEX living_name ON vectors (name) WHERE deleted_at IS NULL")


@MIGRATIONS()
def m002_seeded(db: Database) -> None:
    """Which shipped files were put on the shelf, as what, so that a deleted one stays deleted."""
    db.table("seeded").create({"file_name": str, "sha256": str, "uid": str}, pk="file_name", not_null={"uid"})


def unknown_steps(db: Database) -> set[str]:
    """Steps that a newer version applied to this database and this version does not have."""
    known = {step.name for step in MIGRATIONS.pending(Database(memory=True))}
    return {step.name for step in MIGRATIONS.applied(db)} - known
