"""The cells of a sweep: each a setting, an arm (the vector or a control), a strength and a seed."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from sas_core.errors import BadInput
from sas_core.evaluation.sweep.spec import AUTO, MOST_CELLS, SweepSpec

VECTOR = "vector"
SEEDED = ("random", "random-matched", "random-latents", "shuffled")
# what the axes of a setting are called in figures and tables
AXIS_TITLES = {
    "scale": "lambda", "tau": "tau", "top_k": "top-k", "sides": "sides",
    "drop_shared": "shared latents dropped", "position": "position", "nonlinearity": "nonlinearity",
    "error_term": "error term", "tokens": "steered tokens", "sae": "dictionary",
}  # fmt: skip
ARM_TITLES = {
    "vector": "the vector", "random": "random direction, dense norm",
    "random-matched": "random direction, own norm", "random-latents": "random latents, equally dense",
    "shuffled": "shuffled labels", "dense": "dense equivalent", "caa": "dense CAA", "system": "system prompt",
    "high-output": "its high-output latents",
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One combination of the axes other than the strength."""

    sae: str | None = None
    position: str = "auto"
    tau: float = 0.7
    top_k: int | None = None
    sides: str = "both"
    drop_shared: bool = True
    nonlinearity: str = "relu"
    error_term: bool = True
    tokens: str = "generated"


@dataclass(frozen=True)
class Cell:
    """One column of the results. `scale` 0 is the unsteered model; `seed` tells random ones apart."""

    setting: Setting
    arm: str
    scale: float
    seed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """`{"arm", "scale", "seed", and the axes}`: flat, for tables."""
        return {"arm": self.arm, "scale": self.scale, "seed": self.seed, **asdict(self.setting)}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> "Cell":
        """The inverse of `as_dict`."""
        setting = Setting(**{f.name: flat[f.name] for f in fields(Setting)})
        return cls(setting, flat["arm"], flat["scale"], flat["seed"])


def settings_of(spec: SweepSpec) -> tuple[Setting, ...]:
    """Every combination of the axes but the strength, in the order of the axes; of a settled spec."""
    # nothing is built for a finished vector: its cells have the switches as published
    axes = spec.axes.settled("multiple-choice") if spec.vector else spec.axes
    if AUTO in (*axes.top_k, *axes.drop_shared):
        raise ValueError("the spec is not settled: what auto means depends on the pairs")
    names = [f.name for f in fields(Setting)]
    return tuple(
        Setting(**dict(zip(names, values, strict=True)))
        for values in itertools.product(*(getattr(axes, name) for name in names))
    )


def cells_of(spec: SweepSpec) -> tuple[Cell, ...]:
    """All cells of a settled spec, setting by setting: the vector at every strength (0 among them), then its
    controls.

    Raises BadInput when there are more than MOST_CELLS.
    """
    check_size(spec)
    return tuple(cell for setting in settings_of(spec) for cell in _cells_at(spec, setting))


def count_settings(spec: SweepSpec) -> int:
    """How many settings there are, without making them."""
    return math.prod(len(getattr(spec.axes, field.name)) for field in fields(Setting))


def count_cells(spec: SweepSpec) -> int:
    """How many cells a sweep has, without making them: axes multiply fast."""
    steered = len(spec.axes.scale) - 1
    arms = sum(
        2 if arm == "system" else steered * (spec.seeds if arm in SEEDED else 1)
        for arm in dict.fromkeys(spec.controls)
    )
    return count_settings(spec) * (steered + 1 + arms)


def check_size(spec: SweepSpec) -> None:
    """Raise BadInput when there are more cells than are run."""
    cells = count_cells(spec)
    if cells > MOST_CELLS:
        raise BadInput(
            f"The sweep has {cells:,} cells and at most {MOST_CELLS:,} are run; take values off an axis."
        )


def varied(spec: SweepSpec) -> tuple[str, ...]:
    """The axes with more than one value, the strength first."""
    return tuple(
        name for name in ("scale", *(f.name for f in fields(Setting))) if len(getattr(spec.axes, name)) > 1
    )


def _cells_at(spec: SweepSpec, setting: Setting) -> Iterator[Cell]:
    for scale in spec.axes.scale:
        yield Cell(setting, VECTOR, scale)
    for arm in dict.fromkeys(spec.controls):
        seeds = range(spec.seeds) if arm in SEEDED else (None,)
        # a system prompt has a sign and no strength
        scales = (-1.0, 1.0) if arm == "system" else tuple(s for s in spec.axes.scale if s)
        yield from (Cell(setting, arm, scale, seed) for scale in scales for seed in seeds)
