"""Finding latents in an atlas: what a query means, by words in contexts and labels, by likeness.

"Fires on" needs the model and is not here (`probe`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sas_core.atlas.autolabel import table
from sas_core.atlas.decode import array, ask
from sas_core.atlas.matching import Sought, best_context, sought
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import Context, LatentRow
from sas_core.errors import BadInput

PEAKS_WEIGHT, NEARBY_WEIGHT = 4.0, 1.0
"""How much a word at a peak counts against one near it, in BM25."""

RANKED_AT_MOST = 50_000
"""A word that stands around the peaks of more latents than this is looked for at the peaks alone: ranking
costs 3 us a latent, and whatever has it only nearby would come last."""

_TRIED_FIRST = 5
_NUMBER = re.compile(r"#?\s*(\d{1,18})")
_LIKE = re.compile(r"like\s*:\s*(.*)", re.IGNORECASE | re.DOTALL)
_FIRES_ON = re.compile(r"fires\s+on\s*:\s*(.*)", re.IGNORECASE | re.DOTALL)

How = Literal["label", "auto", "words", "cosine", "together"]


@dataclass(frozen=True)
class Query:
    """What a search box was given: `index` for a number and for "like: 2317", else `text`."""

    kind: Literal["number", "like", "fires on", "words"]
    text: str = ""
    index: int | None = None


@dataclass(frozen=True)
class Hit:
    """A latent that was found.

    `score`, higher is better: BM25 for words (0 for a label, its confidence for an automatic one), the
    decoder cosine or the Jaccard similarity for likeness, as `how` says. `context` is the one that shows it
    best and `matched` the range `[first, end)` of its tokens that holds the word, None where no one does.
    """

    row: LatentRow
    score: float
    context: Context | None
    matched: tuple[int, int] | None
    how: How


def parse_query(text: str) -> Query:
    """A number, "like: 2317", "fires on: some text", else words. Raises BadInput for half a query."""
    text = text.strip()
    if found := _NUMBER.fullmatch(text):
        return Query("number", index=int(found[1]))
    if found := _LIKE.fullmatch(text):
        number = _NUMBER.fullmatch(found[1].strip())
        if number is None:
            raise BadInput('After "like:" comes the number of a latent, as in "like: 2317".')
        return Query("like", index=int(number[1]))
    if found := _FIRES_ON.fullmatch(text):
        if not found[1].strip():
            raise BadInput('After "fires on:" comes a text, as in "fires on: the ship sank".')
        return Query("fires on", found[1].strip())
    return Query("words", text)


def by_words(atlas: Atlas, text: str, limit: int = 50, offset: int = 0) -> list[Hit]:
    """Latents with all words of `text`, the last perhaps unfinished, in a label or around their peaks.

    Those that the user labelled so come first, by index; then those whose clear automatic label has the
    words, the surest first; then those with the words around their peaks as they stand, then those with a
    longer last word, each by BM25, words at the peak counting `PEAKS_WEIGHT` times (see `RANKED_AT_MOST`).
    Raises BadInput as `matching.sought`.
    """
    query, limit, offset = sought(text), max(0, limit), max(0, offset)
    labelled: list[tuple[int, float, How]] = [(index, 0.0, "label") for index in _by_label(atlas, query)]
    labelled += _by_auto(atlas, query, [index for index, _, _ in labelled])
    found = labelled[offset : offset + limit]
    known, rest = [index for index, _, _ in labelled], limit - len(found)
    found += _by_context(atlas, query, known, rest, max(0, offset - len(labelled)))
    indices = [index for index, _, _ in found]
    shown = _best_contexts(atlas, query, indices)
    return [
        Hit(row, score, *shown[row.index], how)
        for row, (_, score, how) in zip(atlas.rows(indices), found, strict=True)
    ]


def _best_contexts(
    atlas: Atlas, query: Sought, indices: Sequence[int]
) -> dict[int, tuple[Context | None, tuple[int, int] | None]]:
    """Of each latent the context that shows why it was found; the few strongest are tried first."""
    shown: dict[int, tuple[Context | None, tuple[int, int] | None]] = {}
    for k in (_TRIED_FIRST, atlas.made_of.top_k):
        missing = [index for index in indices if shown.get(index, (None, None))[1] is None]
        contexts = atlas.top_contexts(missing, k)
        shown |= {index: best_context(contexts.get(index, ()), query) for index in missing}
    return shown


def _by_label(atlas: Atlas, query: Sought) -> list[int]:
    if atlas.labels is None:
        return []
    parts = [part for word in query.words for part in word]
    found = atlas.labels.found(atlas.made_of.sae_sha256, parts)
    return [index for index in found if index < atlas.made_of.d_sae]


def _by_auto(atlas: Atlas, query: Sought, without: Sequence[int]) -> list[tuple[int, float, How]]:
    with atlas.reading() as connection:
        found = table.found(connection, query.begun)
    known = set(without)
    return [(index, confidence, "auto") for index, confidence in found if index not in known]


def _by_context(
    atlas: Atlas, query: Sought, without: Sequence[int], limit: int, offset: int
) -> list[tuple[int, float, How]]:
    if limit <= 0:
        return []
    found = _ranked(atlas, query.exact, without, offset + limit)
    missing = offset + limit - len(found)
    if missing and query.begun != query.exact:
        found += _ranked(atlas, query.begun, [*without, *(index for index, _ in found)], missing)
    return [(index, score, "words") for index, score in found[offset:]]


def _ranked(atlas: Atlas, expression: str, without: Sequence[int], limit: int) -> list[tuple[int, float]]:
    with atlas.reading() as connection:
        matching = "SELECT rowid FROM latents_fts WHERE latents_fts MATCH ? LIMIT ?"
        many = len(ask(connection, matching, expression, RANKED_AT_MOST + 1)) > RANKED_AT_MOST
        rows = ask(
            connection,
            "SELECT rowid AS latent, bm25(latents_fts, ?, ?) AS score FROM latents_fts "
            "WHERE latents_fts MATCH ? AND rowid NOT IN (SELECT value FROM json_each(?)) "
            "ORDER BY score, rowid LIMIT ?",
            PEAKS_WEIGHT, NEARBY_WEIGHT, f"{{peaks}} : ({expression})" if many else expression,
            array(without), limit,
        )  # fmt: skip
    # SQLite's BM25 is the better the lower it is
    return [(row["latent"], -row["score"]) for row in rows]


def like(atlas: Atlas, index: int, limit: int = 50) -> list[Hit]:
    """Latents whose decoder rows point the same way, then those that fire in the same windows.

    Raises BadInput for an index out of range.
    """
    near: list[tuple[int, float, How]] = [(i, c, "cosine") for i, c in atlas.latent(index).neighbours]
    known = {i for i, _, _ in near}
    near += [(i, j, "together") for i, j in atlas.cofiring(index, limit + len(near)) if i not in known]
    near = near[:limit]
    indices = [i for i, _, _ in near]
    contexts = atlas.top_contexts(indices, 1)
    return [
        Hit(row, score, next(iter(contexts.get(row.index, ())), None), None, how)
        for row, (_, score, how) in zip(atlas.rows(indices), near, strict=True)
    ]
