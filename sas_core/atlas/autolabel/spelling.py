"""What each token of a vocabulary is: its letters without case and accents, and the classes it belongs to.

Knows no window; what depends on the neighbours of a token is in `features`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, UInt32

from sas_core.atlas.matching import fold

CLASSES: tuple[str, ...] = (
    "numbers",
    "line breaks",
    "brackets",
    "quotation marks",
    "punctuation",
    "operators and signs",
    "indentation",
    "letters outside English",
    "capitalised words",
    "words in capitals",
    "later parts of words",
    "the first word of a sentence",
    "the first word of a line",
    "the first word of a question to the model",
    "the first word of the model's answer",
    "code",
)
"""Kinds of positions that a rule can name, by bit; the first ten are of the token alone."""

BIT = {name: np.uint32(1 << number) for number, name in enumerate(CLASSES)}

_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb"
_PATTERNS = tuple(
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("numbers", r"\s*\d+\s*"),
        ("line breaks", r"\s*\n\s*"),
        ("brackets", r"\s*[()\[\]{}]+\s*"),
        ("quotation marks", rf"\s*[{_QUOTES}]+\s*"),
        ("punctuation", r"\s*[.,;:!?…]+\s*"),
        ("operators and signs", rf"\s*[^\w\s()\[\]{{}}.,;:!?…{_QUOTES}]+\s*"),
        ("indentation", r"[^\S\n]{2,}"),
        ("letters outside English", r".*[^\W\d_a-zA-Z].*"),
        ("capitalised words", r"\s*[A-Z][a-z]+"),
        ("words in capitals", r"\s*[A-Z]{2,}"),
    )
)
_CODE = re.compile(r"[{}\[\]();=_<>/*#&|+\\`]|\s{4,}")
_CLOSES = re.compile(rf".*([.!?…][{_QUOTES})]*|\n)\s*", re.DOTALL)
_MARKER = re.compile(r"<.+>")


@dataclass(frozen=True, eq=False)
class Spelling:
    """By token id; the last row stands for ids that the vocabulary does not have.

    `letters` numbers the tokens that are the same but for case, accents and outer space, and `written` has
    for each such number how it is shown. `begins`: with a letter or digit; `ends`: with one, or a space
    alone; `begins_word`: with one, after white space too.
    """

    letters: Int32[np.ndarray, " ids"]
    written: tuple[str, ...]
    classes: UInt32[np.ndarray, " ids"]
    begins: Bool[np.ndarray, " ids"]
    begins_word: Bool[np.ndarray, " ids"]
    ends: Bool[np.ndarray, " ids"]
    code: Bool[np.ndarray, " ids"]
    closes: Bool[np.ndarray, " ids"]
    blank: Bool[np.ndarray, " ids"]
    marker: Bool[np.ndarray, " ids"]


def read_spelling(pieces: Sequence[str]) -> Spelling:
    """From the text of every token id."""
    pieces = [*pieces, ""]
    letters, written = _letters([shown_as(piece) for piece in pieces])
    return Spelling(
        letters, written,
        np.array([_classes(piece) for piece in pieces], np.uint32),
        np.array([piece[:1].isalnum() for piece in pieces]),
        np.array([piece.lstrip()[:1].isalnum() for piece in pieces]),
        np.array([piece == " " or piece[-1:].isalnum() for piece in pieces]),
        np.array([bool(_CODE.search(piece)) for piece in pieces]),
        np.array([bool(_CLOSES.fullmatch(piece)) for piece in pieces]),
        np.array([not piece.strip() for piece in pieces]),
        np.array([bool(_MARKER.fullmatch(piece)) for piece in pieces]),
    )  # fmt: skip


def _letters(shown: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    numbers: dict[str, int] = {}
    written: list[str] = []
    letters = []
    for text in shown:
        number = numbers.setdefault(fold(text), len(numbers))
        letters.append(number)
        if number == len(written):
            written.append(text)
        elif text == fold(text):
            # so that a word is not shown as the beginning of a sentence has it
            written[number] = text
    if "i" in numbers:
        written[numbers["i"]] = "I"
    return np.array(letters, np.int32), tuple(written)


def shown_as(piece: str) -> str:
    """A token as a label writes it: without outer space, and what cannot be read by a name in brackets, which
    no word has."""
    if "\ufffd" in piece:
        return "[part of a character]"
    if piece.strip():
        return piece.strip()
    return "[line break]" if "\n" in piece else "[space]" if piece else ""


def _classes(piece: str) -> int:
    return sum(int(BIT[name]) for name, pattern in _PATTERNS if pattern.fullmatch(piece))
