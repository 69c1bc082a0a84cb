"""From scores to a report: mean changes, their bootstrap intervals, the vector's lead over its controls.

Numbers only: knows nothing about models, edits or texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sas_core.evaluation.bootstrap import Interval, bootstrap

_RANDOM = ("random", "random-matched")


@dataclass(frozen=True)
class Row:
    """One steered row of the batch: the curve it belongs to, its lambda, and the seed of a random one."""

    curve: str
    scale: float
    seed: int | None = None


@dataclass(frozen=True)
class Cell:
    """One curve at one lambda.

    `margin`: mean over pairs; `change`: mean over pairs of the margin minus the pair's margin at lambda 0,
    with the `interval` of that mean, both in the report's unit. `right_way`: share of pairs that changed
    in the direction of lambda's sign (None at 0). `prefers`: share of pairs with a margin above 0.
    `share`: added norm / residual norm, mean over steered tokens. `price`: nats per token by which
    neutral text became less likely. `changes`: the change of each pair, in order. `problem`: why a
    non-zero strength did nothing. Random curves are averaged over their seeds, pair by pair.
    """

    scale: float
    margin: float
    change: float
    interval: Interval
    right_way: float | None
    prefers: float
    share: float
    price: float
    changes: tuple[float, ...]
    problem: str | None = None


@dataclass(frozen=True)
class Curve:
    """A vector or a control over all lambdas, ascending."""

    name: str
    cells: tuple[Cell, ...]

    def at(self, scale: float) -> Cell:
        """The cell of one lambda. Raises KeyError when it was not measured."""
        for cell in self.cells:
            if cell.scale == scale:
                return cell
        raise KeyError(scale)


@dataclass(frozen=True)
class Lead:
    """How much further than a random control the vector went in the direction of lambda's sign."""

    control: str
    scale: float
    mean: float
    interval: Interval


@dataclass(frozen=True)
class MarginReport:
    """The completion margin of one vector on held-out pairs. `curves[0]` is the vector's own."""

    vector: str
    pairs: str
    count: int
    unit: str
    scales: tuple[float, ...]
    seeds: int
    neutral_texts: int
    curves: tuple[Curve, ...]
    leads: tuple[Lead, ...]

    def curve(self, name: str) -> Curve | None:
        """`vector`, or a control's name; None when that control was not asked for."""
        return next((curve for curve in self.curves if curve.name == name), None)

    def holds(self, scale: float) -> bool | None:
        """Whether the effect at this lambda stands: the right way, and further than chance takes it.

        True when the intervals of the vector's change and of its lead over every random control lie on
        the right side of 0. None where that cannot be said: lambda 0, or no random control.
        """
        leads = [lead for lead in self.leads if lead.scale == scale]
        if not leads:
            return None
        interval = self.curves[0].at(scale).interval
        moved = interval.low > 0 if scale > 0 else interval.high < 0
        return moved and all(lead.interval.low > 0 for lead in leads)


@dataclass(frozen=True, eq=False)
class Scores:
    """What the model said. Column 0 is unsteered, column `1 + i` belongs to `rows[i]`.

    `margins`: per pair; `neutral`: mean log-probability per token of each neutral text; `shares`: per row.
    """

    rows: tuple[Row, ...]
    margins: Float[np.ndarray, "pair row"]
    neutral: Float[np.ndarray, "text row"]
    shares: Float[np.ndarray, " rows"]

    def columns(self, curve: str, scale: float) -> list[int]:
        """Column 0 for lambda 0, else those of all seeds."""
        if scale == 0.0:
            return [0]
        return [1 + i for i, row in enumerate(self.rows) if (row.curve, row.scale) == (curve, scale)]


def curves(scores: Scores, scales: Sequence[float]) -> tuple[Curve, ...]:
    """The vector's curve and one per control, in the order of the rows."""
    names = dict.fromkeys(row.curve for row in scores.rows)
    return tuple(Curve(name, tuple(_cell(scores, name, scale) for scale in scales)) for name in names)


def leads(found: Sequence[Curve]) -> tuple[Lead, ...]:
    """The vector's lead over each random control at each non-zero lambda, paired by pair."""
    own = found[0]
    return tuple(
        _lead(control.name, mine, theirs)
        for control in found[1:]
        if control.name in _RANDOM
        for mine, theirs in zip(own.cells, control.cells, strict=True)
        if mine.scale != 0.0
    )


def _cell(scores: Scores, curve: str, scale: float) -> Cell:
    columns = scores.columns(curve, scale)
    margins = scores.margins[:, columns].mean(axis=1)
    changes = margins - scores.margins[:, 0]
    share = float(scores.shares[[c - 1 for c in columns]].mean()) if scale else 0.0
    price = scores.neutral[:, 0] - scores.neutral[:, columns].mean(axis=1)
    return Cell(
        scale=scale,
        margin=float(margins.mean()),
        change=float(changes.mean()),
        interval=bootstrap(changes),
        right_way=float((np.sign(scale) * changes > 0).mean()) if scale else None,
        prefers=float((margins > 0).mean()),
        share=share,
        price=float(price.mean()),
        changes=tuple(changes.tolist()),
        problem=_NOTHING if scale and share == 0.0 else None,
    )


_NOTHING = (
    "Nothing was added at any token: suppression can only switch off latents that are on, and the SAE's "
    "thresholds can erase a small strength. Raise the strength or turn its sign."
)


def _lead(control: str, mine: Cell, theirs: Cell) -> Lead:
    ahead = np.sign(mine.scale) * (np.array(mine.changes) - np.array(theirs.changes))
    return Lead(control, mine.scale, float(ahead.mean()), bootstrap(ahead))
