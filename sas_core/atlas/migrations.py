"""The tables of an atlas, made step by step. A released step is never edited: add another below it.

Blobs are little-endian numpy arrays; their types are named in the comments.
"""

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("atlas")


@MIGRATIONS()
def m001_what_it_is_made_of(db: Database) -> None:
    """One row a fact; the values are JSON, read and written by `made_of`."""
    db.table("made_of").create({"key": str, "value": str}, pk="key", not_null={"value"})


@MIGRATIONS()
def m002_latents(db: Database) -> None:
    """One row for every latent, fired or not, so that a page of the table is one range of rows."""
    columns = {
        "index": int,
        "fired": int,  # tokens at which it is above zero
        "total": float,
        "squares": float,
        "max": float,
        "mean": float,  # over the tokens at which it fires
        "density_class": str,
        "histogram": bytes,  # uint32 counts in the bins of `made_of.EDGES`
        "token": int,  # the id that stands most often at the peak of its sampled contexts
        "token_share": float,
        "token_phi": float,
        "up_ids": bytes,  # uint32
        "up": bytes,  # float32
        "down_ids": bytes,
        "down": bytes,
        "near_ids": bytes,
        "near": bytes,
    }
    db.table("latents").create(columns, pk="index", not_null={"fired", "density_class"})
    # each order with what the filters ask, so that a filtered page of a million rows reads an index alone
    for order in ("index", "fired", "max", "mean", "token_share"):
        rest = [column for column in ("index", "density_class", "fired", "max") if column != order]
        db.table("latents").create_index([order, *rest])


@MIGRATIONS()
def m003_contexts(db: Database) -> None:
    """Where a latent fires: band 0 holds the strongest windows, 1 to 4 quarters of a uniform sample."""
    # sqlite-utils cannot make a table without rowid, which saves a fifth of the file here
    db.execute(
        """CREATE TABLE contexts (
            latent INTEGER, band INTEGER, rank INTEGER,
            window INTEGER NOT NULL REFERENCES windows(id), peak INTEGER NOT NULL, max REAL NOT NULL,
            positions BLOB NOT NULL, -- uint16
            activations BLOB NOT NULL, -- float32
            PRIMARY KEY (latent, band, rank)) WITHOUT ROWID"""
    )
    columns = {
        "id": int,
        "document": int,  # row of the corpus, from 0
        "offset": int,  # of the window's first token in its document
        "token_ids": bytes,  # uint32
        "excluded": bytes,  # uint16: positions of special tokens and sinks, never counted
    }
    db.table("windows").create(columns, pk="id")


@MIGRATIONS()
def m004_together(db: Database) -> None:
    """For a seeded sample of windows, the latents that fire there (uint32, ascending)."""
    db.table("cofiring").create({"window": int, "latents": bytes}, pk="window")


@MIGRATIONS()
def m005_words(db: Database) -> None:
    """The tokens as text, and an index of the words in and around the peaks of the top contexts."""
    db.table("vocabulary").create({"id": int, "piece": str}, pk="id")
    # contentless: the text is in the windows already; rowid is the latent
    db.execute("CREATE VIRTUAL TABLE latents_fts USING fts5(peaks, nearby, content='')")


@MIGRATIONS()
def m006_state(db: Database) -> None:
    """What an unfinished build knows so far; empty in a finished atlas."""
    db.table("state").create({"name": str, "dtype": str, "shape": str, "data": bytes}, pk="name")


@MIGRATIONS()
def m007_automatic_labels(db: Database) -> None:
    """What `autolabel` says of a latent; no row for a dead one. The index holds the clear ones' texts."""
    columns = {
        "latent": int,
        "text": str,
        "kind": str,  # one of `types.AUTO_KINDS`
        "confidence": float,  # balanced accuracy on windows the label was not made from
        "low": float,
        "high": float,
        "tested": int,  # those windows
    }
    db.table("auto_labels").create(columns, pk="latent", not_null={"text", "kind", "tested"})
    db.execute("CREATE VIRTUAL TABLE auto_labels_fts USING fts5(text, content='')")


def unknown_steps(db: Database) -> set[str]:
    """Steps that a newer version applied to this file and this version does not have."""
    known = {step.name for step in MIGRATIONS.pending(Database(memory=True))}
    return {step.name for step in MIGRATIONS.applied(db)} - known
