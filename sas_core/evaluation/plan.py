"""What to measure, as a value that is checked before anything is loaded. Knows no model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sas_core.errors import BadInput
from sas_core.steering.spec import LARGEST_STRENGTH

Control = Literal["random", "random-matched", "dense"]
CONTROLS: tuple[Control, ...] = get_args(Control)
DEFAULT_SCALES = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
MOST_SEEDS = 20


@dataclass(frozen=True)
class Plan:
    """Strengths (ascending, 0 among them), controls, and the number of random directions of each.

    Controls: `dense` adds `lambda * sum_i v_i W_dec[i]`; `random` a random direction of that same norm;
    `random-matched` a random direction with the norm the vector's own edit adds at each token, which is
    smaller, since suppression can only switch off what is on. Make it with `plan`.
    """

    scales: tuple[float, ...]
    controls: tuple[str, ...]
    seeds: int


def plan(scales: Sequence[float], controls: Sequence[str], seeds: int) -> Plan:
    """Check and order what was asked. Raises BadInput, naming what cannot be used."""
    if not any(scales) or not all(math.isfinite(s) and abs(s) <= LARGEST_STRENGTH for s in scales):
        raise BadInput(
            f"Give at least one strength other than 0, all of them numbers within ±{LARGEST_STRENGTH:g}."
        )
    unknown = [control for control in controls if control not in CONTROLS]
    if unknown:
        raise BadInput(f"Unknown control {unknown[0]!r}; choose from {', '.join(CONTROLS)}.")
    if not 1 <= seeds <= MOST_SEEDS:
        raise BadInput(f"{seeds} random directions asked; choose 1 to {MOST_SEEDS}.")
    # a minus zero becomes a plain one
    ordered = tuple(sorted({float(scale) + 0.0 for scale in scales} | {0.0}))
    return Plan(ordered, tuple(dict.fromkeys(controls)), seeds)
