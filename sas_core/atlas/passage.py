"""A context as a text of its own: the words around the peak, without what the chat template put there.

For pairs: a context of a chat is one turn of it, and the user's turn before it is the prompt.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

_ROLE = re.compile(r"\s*(system|user|assistant|model)\n+")


class Decoder(Protocol):
    """What is needed of `model.chat.Turns`."""

    special_ids: frozenset[int]

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""


@dataclass(frozen=True)
class Passage:
    """`prompt` is the user's turn before `text`; empty for plain text and where the window lacks it."""

    prompt: str
    text: str


def passage_of(token_ids: Sequence[int], peak: int, turns: Decoder) -> Passage:
    """The stretch between special tokens that holds the peak; turns cut by the window are taken as they are.

    A peak on a special token belongs to the stretch before it.
    """
    stretches = _stretches(token_ids, turns.special_ids)
    at = max((i for i, (start, _) in enumerate(stretches) if start <= peak), default=0)
    said = [_said(turns.decode(token_ids[start:end])) for start, end in stretches]
    if not said:
        return Passage("", "")
    role, text = said[at]
    before = [(r, t) for r, t in said[:at] if t]
    asked = before[-1] if before and role in ("assistant", "model") else ("", "")
    return Passage(asked[1] if asked[0] == "user" else "", text)


def _stretches(token_ids: Sequence[int], special: Collection[int]) -> list[tuple[int, int]]:
    """Runs of ordinary tokens as (start, end)."""
    edges = [-1, *(i for i, token in enumerate(token_ids) if token in special), len(token_ids)]
    return [(a + 1, b) for a, b in pairwise(edges) if b > a + 1]


def _said(text: str) -> tuple[str, str]:
    """Role and words of a turn; a stretch that names no role is plain text."""
    header = _ROLE.match(text)
    if header is None:
        return "", text.strip()
    return header.group(1), text[header.end() :].strip()
