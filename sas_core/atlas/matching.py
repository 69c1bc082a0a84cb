"""Words as the index sees them: split, without case and accents, and where they stand in a context.

Knows no file; the index itself is SQLite's FTS5 with its `unicode61` tokenizer, which this follows.
"""

import itertools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sas_core.atlas.types import Context
from sas_core.errors import BadInput

Word = tuple[str, ...]
"""What stands between two spaces, as the parts that are indexed: "don't" is ("don", "t")."""

MOST_WORDS = 32
_LEAST_PREFIX = 3
_PART = re.compile(r"[^\W_]+")
UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""What SQLite cannot be given as text, or would end it at."""


@dataclass(frozen=True)
class Sought:
    """A query as words, each with its pattern in folded text, and as the expressions for FTS5.

    In `begun` the last word may be the start of one, unless it is of one or two plain letters: those begin
    very many. Then it equals `exact`.
    """

    words: tuple[Word, ...]
    patterns: tuple[re.Pattern[str], ...]
    exact: str
    begun: str


def fold(text: str) -> str:
    """Without case and accents."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFD", text.casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))


def sought(text: str) -> Sought:
    """Any text as a query for all of its words. Raises BadInput for no word, and for over `MOST_WORDS`."""
    written = [part for part in UNWRITABLE.sub(" ", text).split() if _PART.search(fold(part))]
    if not written:
        raise BadInput("There is no word to search for; write one with letters or digits.")
    words = tuple(tuple(_PART.findall(fold(part))) for part in written)
    if sum(map(len, words)) > MOST_WORDS:
        raise BadInput(
            f"A search takes at most {MOST_WORDS} words. Write fewer, or ask what a text makes fire with "
            '"fires on:" before it.'
        )
    # in quotes nothing is syntax: neither OR nor NEAR, no column and no star
    quoted = ['"' + part.replace('"', '""') + '"' for part in written]
    prefix = len(written[-1]) >= _LEAST_PREFIX or not written[-1].isascii()
    patterns = [_pattern(word, prefix=False) for word in words[:-1]] + [_pattern(words[-1], prefix=prefix)]
    exact = " ".join(quoted)
    return Sought(words, tuple(patterns), exact, exact + "*" * prefix)


def _pattern(word: Word, *, prefix: bool) -> re.Pattern[str]:
    inside = r"[\W_]+".join(map(re.escape, word))
    return re.compile(rf"(?<![^\W_]){inside}" + (r"[^\W_]*" if prefix else r"(?![^\W_])"))


def best_context(contexts: Sequence[Context], query: Sought) -> tuple[Context | None, tuple[int, int] | None]:
    """The context that shows best why a query found its latent, and the tokens `[first, end)` of the word.

    The one that holds most of the words; of those the one with a word nearest its peak; of those the
    strongest. Without any word in them: the strongest context and None.
    """
    best, rank = (contexts[0] if contexts else None, None), None
    for number, context in enumerate(contexts):
        found = _occurrences(context, query)
        if not found:
            continue
        distance, where = min((_distance(context.peak, where), where) for _, where in found)
        mine = (-len({word for word, _ in found}), distance, number)
        if rank is None or mine < rank:
            best, rank = (context, where), mine
    return best


def _distance(peak: int, where: tuple[int, int]) -> int:
    first, end = where
    return max(first - peak, peak - (end - 1), 0)


def _occurrences(context: Context, query: Sought) -> list[tuple[int, tuple[int, int]]]:
    """(number of the word, its range of tokens), each time one stands in the context."""
    text = "".join(context.tokens)
    folded = fold(text)
    found = [(n, m.start(), m.end()) for n, p in enumerate(query.patterns) for m in p.finditer(folded)]
    if not found:
        return []
    origin = _origin(text)
    starts = [0, *itertools.accumulate(map(len, context.tokens))]
    return [
        (number, (bisect_right(starts, origin[start]) - 1, bisect_right(starts, origin[end - 1])))
        for number, start, end in found
    ]


def _origin(text: str) -> Sequence[int]:
    """Of each character of the folded text, where it was."""
    if text.isascii():
        return range(len(text))
    return [at for at, c in enumerate(text) for _ in fold(c)]
