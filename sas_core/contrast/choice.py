"""The switches between counts and a vector, and what they begin with."""

from dataclasses import dataclass

from sas_core.contrast.pairs import Form
from sas_core.contrast.select import Sides


@dataclass(frozen=True)
class Choice:
    """The switches between counts and vector."""

    tau: float = 0.7
    sides: Sides = "both"
    top_k: int | None = None
    drop_shared: bool = True


LARGEST = 32
"""Latents of each side that a vector of free text begins with."""


def begin_with(form: Form) -> Choice:
    """The switches to begin with: as published for multiple choice, which is read at one token.

    Over free text the behaviour's own latents mostly fire somewhere on both sides, and the published rule
    drops them as shared. The difference of the largest means of each side mostly moves completions further,
    with a third of the latents (docs/measured/rules.md).
    """
    return Choice() if form == "multiple-choice" else Choice(top_k=LARGEST, drop_shared=False)
