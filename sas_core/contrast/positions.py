"""Which positions of a completion are read: the answer letter, the last token, or the completion's mean."""

import re
from collections.abc import Sequence
from typing import Literal

from sas_core.errors import BadInput

Position = Literal["answer", "last", "completion-mean"]
POSITIONS: tuple[Position, ...] = ("answer", "last", "completion-mean")


def resolve_position(asked: str, form: str) -> Position:
    """`auto`: the answer letter for multiple choice (as CAA reads it), the mean for free text."""
    if asked == "auto":
        return "answer" if form == "multiple-choice" else "completion-mean"
    if asked not in POSITIONS:
        raise BadInput(f"Unknown position {asked!r}; choose auto, {', '.join(POSITIONS)}.")
    return asked  # type: ignore[return-value]


def positions_read(position: Position, completion: str, pieces: Sequence[str]) -> list[int]:
    """Indices into the completion's tokens. `pieces` are its tokens as text.

    Raises BadInput when `answer` is asked and the completion has no answer letter.
    """
    if position == "last":
        return [len(pieces) - 1]
    if position == "completion-mean":
        return list(range(len(pieces)))
    letter = re.match(r"\s*\(?\s*([A-Za-z])\b", completion)
    for index, piece in enumerate(pieces):
        if letter and letter.group(1) in piece:
            return [index]
    raise BadInput(
        f"The completion {completion[:40]!r} has no answer letter like (A); "
        "choose the position last or completion-mean for free text."
    )
