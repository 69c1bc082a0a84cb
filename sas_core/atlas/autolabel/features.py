"""What stands at every position of the windows of an atlas: its word, the word before, pieces, classes.

All windows in one row, so that a rule over any number of passages is a look-up. Knows no latent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt32

from sas_core.atlas.autolabel.spelling import BIT, Spelling
from sas_core.atlas.matching import fold

WORD, PAIR, PIECE, ENDING, BEGINNING, BEFORE = range(6)
"""Rows of `Features.ids`: the word, it with the one before, a token inside a word, a word's last letters,
its first ones, and the word before."""

_LONG_WORD, _ENDING, _BEGINNING = 6, 3, 5
_COMMON = 0.05
_CODE_NEAR, _CODE_SHARE = 8, 0.35
_ROLES = {"user": 0, "assistant": 1, "model": 1}
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


@dataclass(frozen=True, eq=False)
class Features:
    """`ids[row, position]` numbers what stands there, 0 for nothing and at positions that are never counted;
    the last position is of no window, for the end of short passages. `topical[number]`: a word that begins
    with a letter and stands in few of the windows, so that it can say what a text is about."""

    ids: Int64[np.ndarray, "rows positions"]
    classes: UInt32[np.ndarray, " positions"]
    words: Sequence[str]
    pairs: Int64[np.ndarray, "pairs 2"]
    parts: Sequence[str]
    topical: Bool[np.ndarray, " numbers"]

    @property
    def nowhere(self) -> int:
        """The position of no window."""
        return self.ids.shape[1] - 1

    def name(self, number: int) -> str:
        """How a label shows what `ids` numbers."""
        number -= 1
        if number < len(self.words):
            return self.words[number]
        number -= len(self.words)
        if number < len(self.parts):
            return self.parts[number]
        before, word = self.pairs[number - len(self.parts)]
        return f"{self.name(int(before))} {self.name(int(word))}"


def read_features(
    spelling: Spelling,
    tokens: Int64[np.ndarray, " positions"],
    starts: Int64[np.ndarray, " windows"],
    counted: Bool[np.ndarray, " positions"],
) -> Features:
    """Of windows in one row, which begin at `starts`; `counted` is False for special tokens and sinks.

    A word is a run of tokens of which each goes on where the last one ended with a letter, digit or space.
    """
    known = np.minimum(tokens, len(spelling.letters) - 1)
    opens = np.zeros(len(tokens), bool)
    opens[starts] = True
    begins = opens | ~(spelling.begins[known] & counted & _before(spelling.ends[known] & counted, False))
    run = np.cumsum(begins) - 1
    words, of_run = _words(spelling, known, begins)
    parts: dict[str, int] = {}
    ids = np.zeros((6, len(tokens) + 1), np.int64)
    ids[WORD, :-1] = 1 + of_run[run]
    ids[BEFORE, :-1] = np.where(opens[begins], 0, _before(1 + of_run, 0))[run]
    for row, kind in ((ENDING, _ending), (BEGINNING, _beginning)):
        numbers = [_number(parts, kind(word)) for word in words]
        ids[row, :-1] = np.array(numbers, np.int64)[of_run[run]]
    ids[PIECE, :-1] = _pieces(spelling, known, begins, parts)
    ids[PIECE : BEGINNING + 1] += np.where(ids[PIECE : BEGINNING + 1] > 0, len(words), 0)
    pairs = _pairs(ids, len(words) + len(parts))
    roles = np.array([_ROLES.get(word, -1) for word in words])[of_run[run]]
    classes = np.where(counted, _classes(spelling, known, opens, begins, counted, roles), 0)
    ids[:, :-1][:, ~counted] = 0
    topical = _topical(ids[WORD, :-1], np.cumsum(opens), words, len(parts) + len(pairs))
    return Features(ids, np.append(classes, 0).astype(np.uint32), words, pairs, list(parts), topical)


def _topical(of: np.ndarray, window: np.ndarray, words: list[str], others: int) -> np.ndarray:
    """By number; words like "and" or "(" stand in too many of the windows to be what one is about."""
    found = np.zeros(1 + len(words) + others, bool)
    numbers, within = np.unique(np.unique(np.stack([of, window]), axis=1)[0], return_counts=True)
    found[numbers[within <= max(_COMMON * window.max(initial=0), 1)]] = True
    found[1 : len(words) + 1] &= [word[:1].isalpha() for word in words]
    found[0], found[len(words) + 1 :] = False, False
    return found


def _before(values: np.ndarray, first: object) -> np.ndarray:
    """Of each position the value of the one before."""
    return np.concatenate([[first], values])[:-1].astype(values.dtype)


def _number(numbers: dict[str, int], text: str) -> int:
    return numbers.setdefault(text, len(numbers)) + 1 if text else 0


def _words(spelling: Spelling, tokens: np.ndarray, begins: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The different words, and the number of the word of each run of tokens."""
    letters = spelling.letters[tokens]
    starts = begins.nonzero()[0]
    of_run = letters[starts].astype(np.int64)
    words = list(spelling.written)
    numbers = {fold(word): number for number, word in enumerate(words)}
    ends = np.append(starts, len(tokens))[1:]
    for run in (ends - starts > 1).nonzero()[0].tolist():
        # the space that some tokenizers set apart before a number is not spelt out
        first = starts[run] + spelling.blank[tokens[starts[run]]]
        text = "".join(spelling.written[n] for n in letters[first : ends[run]].tolist())
        number = numbers.setdefault(fold(text), len(words))
        if number == len(words):
            words.append(text)
        of_run[run] = number
    return words, of_run


def _ending(word: str) -> str:
    return f"-{fold(word)[-_ENDING:]}" if word.isalpha() and len(word) >= _LONG_WORD else ""


def _beginning(word: str) -> str:
    return f"{fold(word)[:_BEGINNING]}-" if word.isalpha() and len(word) >= _LONG_WORD else ""


def _pieces(spelling: Spelling, tokens: np.ndarray, begins: np.ndarray, parts: dict[str, int]) -> np.ndarray:
    """Numbers of the tokens that are a part of a word, by where in it they stand."""
    ends = np.append(begins, True)[1:]
    place = np.where(begins, np.where(ends, _WHOLE, _FIRST), np.where(ends, _LAST, _MIDDLE))
    keys, which = np.unique(spelling.letters[tokens].astype(np.int64) * 4 + place, return_inverse=True)
    forms = {_FIRST: "{}-", _MIDDLE: "-{}-", _LAST: "-{}"}
    numbers = [
        0 if key % 4 == _WHOLE else _number(parts, forms[key % 4].format(fold(spelling.written[key // 4])))
        for key in keys.tolist()
    ]
    return np.array(numbers, np.int64)[which]


def _pairs(ids: np.ndarray, taken: int) -> np.ndarray:
    """Number the pairs of words in their row; returns the numbers of the two words of each."""
    both = np.where(ids[BEFORE] > 0, ids[BEFORE] * (taken + 1) + ids[WORD], 0)
    keys, which = np.unique(both, return_inverse=True)
    # the last position is of no pair, so that the first key is always 0
    ids[PAIR] = np.where(which > 0, which + taken, 0)
    return np.stack([keys[1:] // (taken + 1), keys[1:] % (taken + 1)], axis=1)


def _classes(
    spelling: Spelling,
    tokens: np.ndarray,
    opens: np.ndarray,
    begins: np.ndarray,
    counted: np.ndarray,
    roles: np.ndarray,
) -> np.ndarray:
    """The token's own classes, and those that follow from what stands around it."""
    own = spelling.classes[tokens]
    white = (own & (BIT["line breaks"] | BIT["indentation"])) > 0
    word = begins & spelling.begins_word[tokens]
    line = opens | _before((own & BIT["line breaks"]) > 0, True)
    line |= _before(line & white, True)
    question, answer = _turns(spelling, tokens, counted, begins, roles)
    found = (
        ("the first word of a line", line & word),
        ("the first word of a sentence", word & (_before(spelling.closes[tokens], True) | opens)),
        ("the first word of a question to the model", question),
        ("the first word of the model's answer", answer),
        ("later parts of words", ~begins),
        ("code", _in_code(spelling.code[tokens])),
    )
    return own | sum(np.where(where, BIT[name], np.uint32(0)) for name, where in found)


def _in_code(signs: np.ndarray) -> np.ndarray:
    """Whether many of the tokens up to this one are signs of code."""
    counts = np.concatenate([[0], np.cumsum(signs)])
    first = np.maximum(np.arange(len(signs)) + 1 - _CODE_NEAR, 0)
    return counts[1:] - counts[first] >= _CODE_SHARE * _CODE_NEAR


def _turns(
    spelling: Spelling, tokens: np.ndarray, counted: np.ndarray, begins: np.ndarray, roles: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where a chat's messages begin: after a special token, a role, and what ends the line of the role."""
    asked, answered = np.zeros(len(tokens), bool), np.zeros(len(tokens), bool)
    marker = spelling.marker[tokens] & ~counted
    for head in (begins & (roles >= 0) & _before(marker, False)).nonzero()[0].tolist():
        at = head + 1
        while at < len(tokens) and (not begins[at] or spelling.blank[tokens[at]] or marker[at]):
            at += 1
        if at < len(tokens):
            (answered if roles[head] else asked)[at] = True
    return asked, answered
