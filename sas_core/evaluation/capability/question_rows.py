"""One row of a question file -> a question and its right answers, in MMLU's, TruthfulQA's or CAA's form.

Knows nothing of files (`questions` reads them) and not how a model is asked (`capability_prompts`).
"""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["lettered", "truthful"]
LETTERS = string.ascii_uppercase
NESTED = ("choices", "mc1_targets", "mc2_targets")
FIELDS = ("question", "answer", "subject", "prompt", "correct", "incorrect", "category", "split", *NESTED)

_OPTION = re.compile(r"^[ \t]*\(([A-Z])\)[ \t]*", re.MULTILINE)
_TITLE = re.compile(r"\s*\bChoices:\s*\Z")
_NUMBER = re.compile(r"\s*[0-9]{1,3}\s*")
_LETTER = re.compile(r"\s*\(?\s*([A-Za-z])\s*\)?[.:]?\s*")


@dataclass(frozen=True)
class Answers:
    """Answers as texts, and which of them are right."""

    texts: tuple[str, ...]
    right: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def first_right(self) -> int:
        """Index of the first right answer."""
        return self.right.index(True)


@dataclass(frozen=True)
class Question:
    """`one`: answers of which exactly one is right; `many`: TruthfulQA's mc2_targets, any number right.

    `place`: where it stands in its file ("row 3", "line 3"). Lettered questions (MMLU, CAA) have no `many`.
    """

    place: str
    form: Form
    text: str
    one: Answers
    many: Answers | None = None
    subject: str = ""


class RowFault(Exception):
    """What is wrong with a row, as the end of a sentence that starts with its place."""


def question_of(place: str, row: Mapping[str, Any]) -> Question:
    """A row of any form, told by its fields. Raises RowFault, naming the field."""
    if _given(row, "mc1_targets") or _given(row, "mc2_targets"):
        return _truthful(place, row)
    if _given(row, "choices") or _given(row, "A"):
        texts = _choices(row)
        one = _one(texts, _index(row, "answer", len(texts)))
        return Question(place, "lettered", _text(row, "question"), one, subject=_subject(row, "subject"))
    if _given(row, "correct"):
        return _caa(place, row)
    # a table without a header would name its whole first row
    there = ", ".join(name[:30] for name, value in row.items() if value is not None)[:120] or "nothing"
    raise RowFault(
        f"there is no question with answers (choices and answer, mc1_targets, or correct and "
        f"incorrect); it has {there}"
    )


def _truthful(place: str, row: Mapping[str, Any]) -> Question:
    one = _targets(row, "mc1_targets")
    if sum(one.right) != 1:
        raise RowFault(f'"mc1_targets" has {sum(one.right)} labels of 1 and needs exactly one')
    many = _targets(row, "mc2_targets") if _given(row, "mc2_targets") else None
    if many is not None and len(set(many.right)) != 2:
        raise RowFault('"mc2_targets" needs a label 1 and a label 0 at least')
    return Question(place, "truthful", _text(row, "question"), one, many)


def _targets(row: Mapping[str, Any], field: str) -> Answers:
    value = row.get(field)
    if not isinstance(value, Mapping):
        raise RowFault(f'"{field}" is no object with choices and labels')
    texts, labels = _texts(value.get("choices"), f"{field}.choices"), value.get("labels")
    if not isinstance(labels, list) or len(labels) != len(texts) or any(x not in (0, 1) for x in labels):
        raise RowFault(f'"{field}.labels" needs a 0 or a 1 for each of the {len(texts)} choices')
    return Answers(texts, tuple(bool(label) for label in labels))


def _caa(place: str, row: Mapping[str, Any]) -> Question:
    asked, texts = _lettered(_text(row, "prompt"))
    right, wrong = (_index(row, field, len(texts)) for field in ("correct", "incorrect"))
    if right == wrong:
        raise RowFault('"correct" and "incorrect" name the same letter')
    return Question(place, "lettered", asked, _one(texts, right), subject=_subject(row, "category"))


def _lettered(prompt: str) -> tuple[str, tuple[str, ...]]:
    """A prompt with (A), (B), ... on lines of their own -> its question, and the texts of the answers."""
    found = list(_OPTION.finditer(prompt))
    starts = [i for i, option in enumerate(found) if option[1] == "A"]
    options = found[starts[-1] :] if starts else []
    if len(options) < 2 or "".join(option[1] for option in options) != LETTERS[: len(options)]:
        raise RowFault('"prompt" needs its answers as (A), (B) and so on, each on a line of its own')
    ends = [option.start() for option in options[1:]] + [len(prompt)]
    texts = [prompt[option.end() : end].strip() for option, end in zip(options, ends, strict=True)]
    return _TITLE.sub("", prompt[: options[0].start()]).strip(), _texts(texts, "prompt")


def _choices(row: Mapping[str, Any]) -> tuple[str, ...]:
    if _given(row, "choices"):
        return _texts(row["choices"], "choices")
    columns = [row.get(letter) for letter in LETTERS]
    filled = [text for text in columns if text not in (None, "")]
    if columns[: len(filled)] != filled:
        raise RowFault(f'"{LETTERS[columns.index(next(c for c in columns if c in (None, "")))]}" is empty')
    return _texts(filled, "A, B, ...")


def _texts(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise RowFault(f'"{field}" is no list of texts, none of them empty')
    if not 2 <= len(value) <= len(LETTERS):
        raise RowFault(f'"{field}" has {len(value)} answers and needs 2 to {len(LETTERS)}')
    return tuple(value)


def _one(texts: tuple[str, ...], right: int) -> Answers:
    return Answers(texts, tuple(i == right for i in range(len(texts))))


def _index(row: Mapping[str, Any], field: str, count: int) -> int:
    """The answer that a field names: a letter, or an index from 0 (a table has it as text)."""
    value = row.get(field)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, str) and (letter := _LETTER.fullmatch(value)):
        value = LETTERS.index(letter[1].upper())
    if isinstance(value, bool) or not isinstance(value, int):
        raise RowFault(
            f'"{field}" is {repr(value)[:60]} and should be a letter, or the index of an answer from 0'
        )
    if not 0 <= value < count:
        raise RowFault(f'"{field}" is {row[field]!r} and there are {count} answers')
    return value


def _text(row: Mapping[str, Any], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise RowFault(f'"{field}" is missing, empty or no text')
    return value


def _subject(row: Mapping[str, Any], field: str) -> str:
    return _text(row, field) if _given(row, field) else ""


def _given(row: Mapping[str, Any], field: str) -> bool:
    return row.get(field) not in (None, "")
