"""Which positions of a completion are read, and when a latent counts as active in it.

`answer`: the token of the answer's letter; `last`: the last token; `completion-mean`: the mean over all
tokens, active when above zero at any of them; `completion-often`: the same mean, active when above zero at a
quarter of the tokens or more, and else zero. Over a sentence "at any" lets a dictionary with many active
latents a token pass nearly everything on both sides, where the published rule drops it as shared, the
behaviour's own latents too: free text begins with their difference kept (`choice.begin_with`).
"""

import re
from collections.abc import Sequence
from typing import Literal

from sas_core.errors import BadInput

Position = Literal["answer", "last", "completion-mean", "completion-often"]
POSITIONS: tuple[Position, ...] = ("answer", "last", "completion-mean", "completion-often")

OFTEN = 0.25
"""The share of the completion's tokens at which a latent must fire for `completion-often`."""


def resolve_position(asked: str, form: str) -> Position:
    """`auto`: the answer letter for multiple choice (as CAA reads it), for free text the mean."""
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
    if position in ("completion-mean", "completion-often"):
        return list(range(len(pieces)))
    letter = re.match(r"\s*\(?\s*([A-Za-z])\b", completion)
    for index, piece in enumerate(pieces):
        if letter and letter.group(1) in piece:
            return [index]
    raise BadInput(
        f"The completion {completion[:40]!r} has no answer letter like (A); "
        "choose the position last, completion-mean or completion-often for free text."
    )
