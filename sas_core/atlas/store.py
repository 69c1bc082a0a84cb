"""A finished atlas, opened to be read: cards, contexts, pages of the list, co-firing. Safe for threads.

Nothing is loaded whole but the sample of co-firing; every list is a page cut in SQL. Knows no model.
"""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64
from sqlite_utils.db import Database

from sas_core.atlas import made_of
from sas_core.atlas.autolabel import table
from sas_core.atlas.cofiring import CoFiring
from sas_core.atlas.decode import (
    Pieces,
    array,
    ask,
    context,
    deviation,
    numbers,
    pairs,
    pieces,
    read_blob,
    spelt,
)
from sas_core.atlas.labels import LabelBook
from sas_core.atlas.listing import condition, ordering
from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.migrations import unknown_steps
from sas_core.atlas.readers import Readers
from sas_core.atlas.types import AutoLabel, Context, Filter, Latent, LatentRow, Order
from sas_core.errors import BadInput

if TYPE_CHECKING:
    from sas_core.steering.engine import Engine

_TABLES = frozenset({"made_of", "latents", "contexts", "windows", "cofiring", "vocabulary", "latents_fts"})
_SHOWN_TOKENS = 4
_COUNTS_KEPT = 256


def read_made_of(path: Path) -> MadeOf:
    """What an atlas is made of, of an unfinished one too.

    Raises BadInput when there is no such file, when it is damaged, no atlas, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no atlas at {path}. Build one, or name another file.")
    with closing(Readers(path)) as readers, readers.reading() as connection:
        return _checked_facts(connection, path)


def _checked_facts(connection: sqlite3.Connection, path: Path) -> MadeOf:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables >= _TABLES:
        raise BadInput(f"{path} is a database, but no atlas. Name a file that `atlas build` wrote.")
    db = Database(connection)
    newer = unknown_steps(db)
    if newer:
        raise BadInput(
            f"The atlas {path} was written by a newer Steerscope ({', '.join(sorted(newer))}). Upgrade, or "
            "build it again."
        )
    try:
        return made_of.read(db)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"a fact about it is no JSON: {error}") from error


def _one(connection: sqlite3.Connection, query: str, index: int) -> sqlite3.Row:
    """The row of a latent, which every latent has."""
    rows = ask(connection, query, index)
    if not rows:
        raise sqlite3.DatabaseError(f"latent {index} has no row")
    return rows[0]


def _piece(texts: Pieces, row: sqlite3.Row) -> str | None:
    return None if row["token"] is None else texts[row["token"]]


class Atlas:
    """One finished atlas. Share one per process; `labels` are shown in its rows and can be filtered by."""

    def __init__(self, path: Path, made: MadeOf, labels: LabelBook | None) -> None:
        self.path, self.made_of, self.labels = path, made, labels
        self.tokens_seen = made.tokens_seen
        self._readers = Readers(path)
        self._lock = threading.Lock()
        self._counts: dict[Filter, int] = {}
        self._cofiring: CoFiring | None = None

    @classmethod
    def open(cls, path: Path, labels: LabelBook | None = None) -> "Atlas":
        """Raises BadInput as `read_made_of`, and for an unfinished atlas; Unavailable when out of reach."""
        path = Path(path)
        made = read_made_of(path)
        if made.finished is None:
            raise BadInput(
                f"The atlas {path} is not finished: its build was stopped. Resume it with "
                f"`python -m sas_core atlas build --corpus {made.corpus} --cache {path} --resume`."
            )
        return cls(path, made, labels)

    def close(self) -> None:
        """Close the connections; the atlas cannot be used afterwards."""
        self._readers.close()

    def check(self, engine: "Engine") -> None:
        """Raise Mismatch, naming the difference, unless the atlas describes this engine's latents."""
        self.made_of.check(engine)

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A read-only connection for the length of a block, for the searches of this room."""
        return self._readers.reading()

    def latent(self, index: int) -> Latent:
        """The card of one latent. Raises BadInput for an index out of range."""
        self._require(index)
        with self.reading() as connection:
            row = _one(connection, 'SELECT * FROM latents WHERE "index" = ?', index)
            up, down, near = (pairs(row, name) for name in ("up", "down", "near"))
            texts = pieces(connection, [row["token"], *(token for token, _ in up + down)])
            auto = table.read(connection, [index]).get(index)
        return Latent(
            index, row["fired"], self.tokens_seen, row["max"] or 0.0, row["mean"], deviation(row),
            row["density_class"], numbers(row["histogram"], "<u4"), _piece(texts, row),
            row["token_share"], row["token_phi"], spelt(up, texts), spelt(down, texts), near, auto,
        )  # fmt: skip

    def auto_labels(self, indices: Sequence[int]) -> dict[int, AutoLabel]:
        """The automatic labels of those latents that have one; none where the file holds none."""
        with self.reading() as connection:
            return table.read(connection, indices)

    def every_auto_label(self) -> tuple[tuple[int, AutoLabel], ...]:
        """All automatic labels, by latent."""
        with self.reading() as connection:
            return tuple(table.every(connection))

    def contexts(self, index: int) -> tuple[Context, ...]:
        """Where a latent fires: the strongest, then the quarters of the sample from the strongest down."""
        return self._contexts([index], "1").get(index, ())

    def top_contexts(self, indices: Sequence[int], k: int) -> dict[int, tuple[Context, ...]]:
        """The `k` strongest contexts of several latents; one that never fired is not in the result."""
        return self._contexts(indices, f"c.band = 0 AND c.rank < {int(k)}")

    def page(
        self,
        filter: Filter = Filter(),  # noqa: B008 - a frozen value
        order: Order = "index",
        descending: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[LatentRow]:
        """One page of the list. Equal latents come by index, in the same direction.

        Raises BadInput for an order or a density class that does not exist.
        """
        offset, limit = max(0, offset), max(0, limit)
        sort = ordering(order, descending)
        if filter == Filter() and order == "index":
            every = range(self.made_of.d_sae)
            return self.rows((every[::-1] if descending else every)[offset : offset + limit])
        where = condition(filter, self.tokens_seen, self._labelled(filter))
        with self.reading() as connection:
            found = connection.execute(
                f'SELECT "index" FROM latents WHERE {where.sql} ORDER BY {sort} LIMIT ? OFFSET ?',
                [*where.values, min(limit, self.made_of.d_sae), min(offset, self.made_of.d_sae)],
            ).fetchall()
        return self.rows([row[0] for row in found])

    def count(self, filter: Filter = Filter()) -> int:  # noqa: B008 - a frozen value
        """How many latents pass; remembered, unless it depends on labels."""
        if filter == Filter():
            return self.made_of.d_sae
        by_label = filter.label != "any" or filter.label_text is not None
        if not by_label and filter in self._counts:
            return self._counts[filter]
        where = condition(filter, self.tokens_seen, self._labelled(filter))
        with self.reading() as connection:
            query = f"SELECT count(*) FROM latents WHERE {where.sql}"
            count = connection.execute(query, where.values).fetchone()[0]
        if not by_label and len(self._counts) < _COUNTS_KEPT:
            self._counts[filter] = count
        return count

    def rows(self, indices: Sequence[int]) -> list[LatentRow]:
        """The lines of these latents, in this order. Raises BadInput for an index out of range."""
        for index in indices:
            self._require(index)
        with self.reading() as connection:
            found = {
                row["index"]: row
                for row in ask(
                    connection,
                    'SELECT "index", fired, density_class, max, mean, token, token_share, up_ids '
                    'FROM latents WHERE "index" IN (SELECT value FROM json_each(?))', array(indices),
                )
            }  # fmt: skip
            if len(found) < len(set(indices)):
                raise sqlite3.DatabaseError("a latent has no row")
            written = {i: numbers(row["up_ids"], "<u4")[:_SHOWN_TOKENS] for i, row in found.items()}
            tokens = {row["token"] for row in found.values()}
            texts = pieces(connection, tokens.union(*written.values()))
            auto = table.read(connection, indices)
        labels = self.labels.of(self.made_of.sae_sha256, indices) if self.labels else {}
        return [
            LatentRow(
                i, row["fired"], row["fired"] / max(self.tokens_seen, 1), row["density_class"],
                row["max"] or 0.0, row["mean"], _piece(texts, row), row["token_share"],
                tuple(texts[token] for token in written[i]), labels.get(i), auto.get(i),
            )
            for i, row in ((i, found[i]) for i in indices)
        ]  # fmt: skip

    def cofiring(self, index: int, k: int = 10) -> tuple[tuple[int, float], ...]:
        """Latents that fire in the same windows, with their Jaccard similarity over the sampled windows."""
        self._require(index)
        with self._lock:
            if self._cofiring is None:
                with self.reading() as connection:
                    rows = connection.execute("SELECT latents FROM cofiring ORDER BY window").fetchall()
                    windows = [read_blob(row["latents"], "<u4") for row in rows]
                    self._cofiring = CoFiring(windows, self.made_of.d_sae)
        return self._cofiring.nearest(index, k)

    def typical(self, index: int) -> float | None:
        """Mean activation where it fires, the natural unit of a strength; None if it never fired."""
        self._require(index)
        with self.reading() as connection:
            return _one(connection, 'SELECT mean FROM latents WHERE "index" = ?', index)["mean"]

    def densities(self) -> Float64[np.ndarray, " d_sae"]:
        """Share of the counted tokens at which each latent fires, by index."""
        with self.reading() as connection:
            rows = connection.execute('SELECT fired FROM latents ORDER BY "index"').fetchall()
        return np.array([row[0] for row in rows], np.float64) / max(self.tokens_seen, 1)

    def densities_of(self, latents: Sequence[int]) -> list[float]:
        """The same of these latents alone, in their order. Raises BadInput for an index out of range."""
        for latent in latents:
            self._require(latent)
        query = 'SELECT "index", fired FROM latents WHERE "index" IN (SELECT value FROM json_each(?))'
        with self.reading() as connection:
            fired = dict(map(tuple, ask(connection, query, array(latents))))
        return [fired[latent] / max(self.tokens_seen, 1) for latent in latents]

    def distinctive(self, latents: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """A weight for activations: `ln((N + 1) / (fired + 1)) / max`, N being the tokens counted.

        An activation times this is its share of the latent's own maximum times its rarity, as term frequency
        and inverse document frequency are for words. What never fired here gets the mean maximum of the rest.
        """
        with self.reading() as connection:
            rows = ask(
                connection,
                'SELECT "index", fired, max FROM latents WHERE "index" IN (SELECT value FROM json_each(?))',
                array(latents),
            )
        known = {row["index"]: (row["fired"], row["max"]) for row in rows}
        fired, strongest = np.array([known[int(i)] for i in latents], np.float64).reshape(-1, 2).T
        usual = strongest[strongest > 0].mean() if (strongest > 0).any() else 1.0
        return np.log((self.tokens_seen + 1) / (fired + 1)) / np.where(strongest > 0, strongest, usual)

    def _require(self, index: int) -> None:
        if not 0 <= index < self.made_of.d_sae:
            raise BadInput(
                f"There is no latent {index}: this atlas has {self.made_of.d_sae:,}, "
                f"numbered 0 to {self.made_of.d_sae - 1}."
            )

    def _labelled(self, filter: Filter) -> tuple[int, ...]:
        """The latents that the filter's label conditions are about."""
        if self.labels is None or (filter.label == "any" and filter.label_text is None):
            return ()
        words = [filter.label_text] if filter.label_text is not None else []
        return self.labels.found(self.made_of.sae_sha256, words)

    def _contexts(self, indices: Sequence[int], where: str) -> dict[int, tuple[Context, ...]]:
        for index in indices:
            self._require(index)
        with self.reading() as connection:
            rows = ask(
                connection,
                "SELECT c.*, w.document, w.offset, w.token_ids, w.excluded FROM contexts c "
                "JOIN windows w ON w.id = c.window "
                f"WHERE c.latent IN (SELECT value FROM json_each(?)) AND {where} "
                "ORDER BY c.latent, c.band, c.rank", array(indices),
            )  # fmt: skip
            ids = [numbers(row["token_ids"], "<u4") for row in rows]
            texts = pieces(connection, set().union(*ids))
            found: dict[int, list[Context]] = {}
            for row, tokens in zip(rows, ids, strict=True):
                found.setdefault(row["latent"], []).append(context(row, tokens, texts))
        return {index: tuple(contexts) for index, contexts in found.items()}
