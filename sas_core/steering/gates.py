"""When a term acts: gates as values, their one-word spelling, and the word and gate a term is written with.

Torch-free. What a gate means at a position is decided in `edit.py`; docs/steering.md has the definitions.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sas_core.errors import BadInput

Mode = Literal["add", "clamp", "scale", "ablate"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class WhileAbove:
    """Open at a token where latent `latent`, read before any edit there, is above `threshold`."""

    latent: int
    threshold: float

    def __post_init__(self) -> None:
        if self.latent < 0 or not math.isfinite(self.threshold):
            raise BadInput(
                f"The gate on latent {self.latent} above {self.threshold:g} is unusable; give a latent's "
                "number and an activation, such as 812>3.5."
            )

    def sentence(self) -> str:
        return f"only while latent {self.latent} is above {self.threshold:g}"


@dataclass(frozen=True)
class FirstTokens:
    """Open at the positions that choose the first `count` generated tokens, shut in the prompt before."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise BadInput(f"A gate over the first {self.count} tokens never opens; give 1 or more.")

    def sentence(self) -> str:
        plural = "" if self.count == 1 else "s"
        return f"only the first {self.count} generated token{plural}"


@dataclass(frozen=True)
class AnswerOnly:
    """Open at every position that chooses a generated token, shut in the prompt before them."""

    def sentence(self) -> str:
        return "only the answer"


Gate = WhileAbove | FirstTokens | AnswerOnly

_ABOVE = re.compile(r"(\d{1,9})>([0-9.eE+-]+)")
_FIRST = re.compile(r"first(\d{1,9})")


def spell_gate(gate: Gate) -> str:
    """`812>3.5`, `first8` or `answer`; `parse_gate` reads it back."""
    if isinstance(gate, WhileAbove):
        return f"{gate.latent}>{gate.threshold:.6g}"
    return f"first{gate.count}" if isinstance(gate, FirstTokens) else "answer"


def parse_gate(text: str) -> Gate | None:
    """The gate that a word spells; `always` is none. Raises BadInput for any other word."""
    if text in ("always", "answer"):
        return AnswerOnly() if text == "answer" else None
    above, first = _ABOVE.fullmatch(text), _FIRST.fullmatch(text)
    try:
        if above:
            return WhileAbove(int(above.group(1)), float(above.group(2)))
        if first:
            return FirstTokens(int(first.group(1)))
    except ValueError:  # digits and signs that are no number, such as 1e+
        pass
    raise BadInput(
        f"{text[:40]!r} is neither a mode ({', '.join(MODES)}) nor a gate (LATENT>VALUE such as 812>3.5, "
        "firstN such as first8, answer, always)."
    )


def parse_how(words: Sequence[str]) -> tuple[Mode, Gate | None]:
    """`[MODE][GATE]`, each at most once and in this order. Raises BadInput for anything else."""
    rest = list(words)
    mode: Mode = rest.pop(0) if rest and rest[0] in MODES else "add"  # type: ignore[assignment]
    gate = parse_gate(rest.pop(0)) if rest else None
    if rest:
        raise BadInput(f"{rest[0][:40]!r} is one word too many; give a mode, then one gate, and no more.")
    return mode, gate


def spell_how(mode: Mode, gate: Gate | None) -> list[str]:
    """What `parse_how` reads back; nothing for a plain addition at every steered token."""
    return ([] if mode == "add" else [mode]) + ([] if gate is None else [spell_gate(gate)])
