"""Tables of values as colours: strengths against settings, vectors against vectors or behaviours.

Blue is below 0 and orange above; every cell also says its number. Numbers in grey, not bold, have a 95 %
interval that holds 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import plotly.graph_objects as go

from sas_core.evaluation.plots.series import axes_of, selected
from sas_core.evaluation.plots.style import (
    DIVERGING,
    GREY,
    INVISIBLE,
    RIGHT,
    RISING,
    headed,
    laid_out,
    nothing,
)
from sas_core.evaluation.plots.words import (
    AT_CHANCE,
    arm_title,
    axis_title,
    chance_note,
    hover,
    identity,
    safe,
    scale_text,
    setting_text,
    short,
    value_text,
)
from sas_core.evaluation.subset.interference import Interference
from sas_core.evaluation.sweep.cells import AXIS_TITLES, VECTOR, Setting
from sas_core.evaluation.sweep.outcome import Outcome, SweepResult

_ROW = 34
_MANY_COLUMNS = 14
# letters of a column's name
_ACROSS = 14
_NOTHING = "Nothing is measured yet."


@dataclass(frozen=True)
class Entry:
    """One cell of a matrix. `quiet`: its interval holds 0. `key`: what a click finds it by."""

    row: int
    column: int
    value: float
    words: str
    quiet: bool = False
    key: str = ""


def heatmap(
    result: SweepResult, figure: str, half: str = "all", rows: str | None = None, *, arm: str = VECTOR,
    only: Mapping[str, object] | None = None,
) -> go.Figure:  # fmt: skip
    """One arm's change of a figure: a row per setting, sorted by the axis `rows` first, a column per lambda.

    `customdata` of a cell as in `curves`. Lambda 0 has no column: the change there is 0.
    """
    outcomes = [o for o in selected(result, figure, half, only) if o.arm == arm and o.scale]
    if not any(math.isfinite(o.change) for o in outcomes):
        return nothing(_NOTHING, 200)
    varied = axes_of(o.setting for o in outcomes)
    axes = tuple(sorted(varied, key=lambda axis: axis != rows)) or (rows or "tau",)
    settings = _sorted_settings(outcomes, axes)
    scales = sorted({o.scale for o in outcomes})
    entries = [
        Entry(settings.index(o.setting), scales.index(o.scale), o.change, hover(o, varied),
              not _one_side(o.change_low, o.change_high), identity(o))
        for o in outcomes if math.isfinite(o.change)
    ]  # fmt: skip
    drawn = _matrix([_row_label(s, axes) for s in settings], [scale_text(s) for s in scales], entries)
    drawn.update_xaxes(title_text="lambda")
    # rows of several axes name them one by one
    drawn.update_yaxes(title_text=AXIS_TITLES[axes[0]] if len(axes) == 1 else None)
    title = axis_title(figure) + ("" if arm == VECTOR else f", {arm_title(arm)}")
    note = f"{title}: {AT_CHANCE}" if figure == "mcq" and chance_note(result) else title
    return _headed(drawn, note)


def overlap(
    names: Sequence[str], matrix: Sequence[Sequence[float]], signed: bool = False, *,
    title: str = "Jaccard overlap",
) -> go.Figure:  # fmt: skip
    """Vectors against vectors. `signed`: values from -1 to 1 (cosines), else shares from 0 to 1."""
    entries = [
        Entry(i, j, float(value), f"{safe(names[i])}<br>{safe(names[j])}<br>{value:.3f}")
        for i, row in enumerate(matrix) for j, value in enumerate(row) if math.isfinite(value)
    ]  # fmt: skip
    return _headed(
        _matrix(_labels(names), _labels(names, _ACROSS), entries, largest=1.0, signed=signed), title
    )


def grid(
    names: tuple[str, str], scales_a: Sequence[float], scales_b: Sequence[float],
    values: Sequence[Sequence[float]], *, title: str = "change (nats per token)",
) -> go.Figure:  # fmt: skip
    """Two vectors together: `values[a][b]` at their strengths, the first's downwards, the second's across."""
    first, second = (safe(short(name)) for name in names)
    entries = [
        Entry(i, j, float(value), f"{first} {scale_text(a)}, {second} {scale_text(b)}<br>{value:+.3f}")
        for i, (a, row) in enumerate(zip(scales_a, values, strict=True))
        for j, (b, value) in enumerate(zip(scales_b, row, strict=True)) if math.isfinite(value)
    ]  # fmt: skip
    drawn = _matrix([scale_text(a) for a in scales_a], [scale_text(b) for b in scales_b], entries)
    drawn.update_xaxes(title_text=f"lambda of {second}")
    drawn.update_yaxes(title_text=f"lambda of {first}")
    return _headed(drawn, title)


def off_target(
    vectors: Sequence[str], behaviours: Sequence[str], changes: Sequence[Sequence[float]],
    low: Sequence[Sequence[float]], high: Sequence[Sequence[float]], *,
    title: str = "change (nats per token)",
) -> go.Figure:  # fmt: skip
    """Each vector (row) on each behaviour (column): `changes[vector][behaviour]` and its interval."""
    entries = [
        Entry(i, j, float(changes[i][j]),
              f"{safe(vector)} on {safe(behaviour)}<br>{changes[i][j]:+.3f} "
              f"[{low[i][j]:+.3f}, {high[i][j]:+.3f}]",
              not _one_side(low[i][j], high[i][j]))
        for i, vector in enumerate(vectors) for j, behaviour in enumerate(behaviours)
        if math.isfinite(changes[i][j])
    ]  # fmt: skip
    drawn = _matrix(_labels(vectors), _labels(behaviours, _ACROSS), entries)
    drawn.update_xaxes(title_text="behaviour that is measured")
    drawn.update_yaxes(title_text="vector")
    return _headed(drawn, title)


def interference(found: Interference, unit: str) -> go.Figure:
    """Every two latents: what both do at once beyond the sum of what each does alone."""
    names = [str(latent) for latent in found.latents]
    places = {latent: place for place, latent in enumerate(found.latents)}
    entries = [
        Entry(i, j, m.extra.value,
              f"latents {m.one} and {m.other}<br>together {m.both.value:+.3f}<br>beyond the sum "
              f"{m.extra.value:+.3f} [{m.extra.low:+.3f}, {m.extra.high:+.3f}]",
              not _one_side(m.extra.low, m.extra.high))
        for m in found.meetings
        for i, j in permutations((places[m.one], places[m.other])) if math.isfinite(m.extra.value)
    ]  # fmt: skip
    return _headed(_matrix(names, names, entries), f"together, less the sum of each alone ({unit})")


def _matrix(
    rows: Sequence[str], columns: Sequence[str], entries: Sequence[Entry], *, largest: float | None = None,
    signed: bool = True,
) -> go.Figure:  # fmt: skip
    """Colours, and above them the numbers: points, which unlike the colours can be clicked."""
    if not entries:
        return nothing(_NOTHING, 200)
    z: list[list[float | None]] = [[None] * len(columns) for _ in rows]
    for entry in entries:
        z[entry.row][entry.column] = entry.value
    top = largest or max(abs(entry.value) for entry in entries) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=z, x=list(range(len(columns))), y=list(range(len(rows))), xgap=2, ygap=2, hoverinfo="skip",
            zmin=-top if signed else 0, zmax=top, colorscale=DIVERGING if signed else RISING, showscale=False,
        )
    )  # fmt: skip
    for quiet in (False, True):
        part = [entry for entry in entries if entry.quiet == quiet]
        if part:
            figure.add_trace(_numbers(part, quiet, f"{'+' if signed else ''}z.{_digits(top, len(columns))}f"))
    laid_out(figure, 96 + _ROW * max(len(rows), 2), showlegend=False, hoverdistance=60)
    figure.update_xaxes(tickvals=list(range(len(columns))), ticktext=list(columns), showgrid=False,
                        range=[-0.5, len(columns) - 0.5])  # fmt: skip
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=list(rows), showgrid=False,
                        range=[len(rows) - 0.5, -0.5])  # fmt: skip
    return figure


def _digits(top: float, columns: int) -> int:
    """Decimals that tell the largest value apart from the next, one less where cells are narrow."""
    digits = 3 if top < 0.1 else 2 if top < 10 else 1
    return digits - (columns > _MANY_COLUMNS)


def _numbers(part: Sequence[Entry], quiet: bool, form: str) -> go.Scatter:
    return go.Scatter(
        x=[entry.column for entry in part], y=[entry.row for entry in part], mode="markers+text",
        text=[said if entry.quiet else f"<b>{said}</b>"
              for entry in part for said in [f"{entry.value:{form}}"]],
        textfont={"size": 12, "color": GREY} if quiet else {"size": 12},
        name="interval holds 0" if quiet else "interval on one side of 0",
        marker={"color": INVISIBLE, "size": 24, "symbol": "square"},
        customdata=[[entry.key, entry.words] for entry in part],
        hovertemplate="%{customdata[1]}<extra></extra>",
        # with a colour for what is selected, the rest keeps its own
        selected={"textfont": {"color": RIGHT}},
    )  # fmt: skip


def _headed(figure: go.Figure, title: str) -> go.Figure:
    """A matrix has no axis that could say what its numbers are."""
    if len(figure.data):
        headed(figure, safe(title))
        figure.update_layout(margin={"t": 32})
    return figure


def _sorted_settings(outcomes: Sequence[Outcome], axes: Sequence[str]) -> list[Setting]:
    """The settings in the order in which the values of their axes first come, the first axis ruling."""
    settings = list(dict.fromkeys(o.setting for o in outcomes))
    orders = {axis: list(dict.fromkeys(getattr(s, axis) for s in settings)) for axis in axes}
    return sorted(settings, key=lambda s: [orders[axis].index(getattr(s, axis)) for axis in axes])


def _row_label(setting: Setting, axes: Sequence[str]) -> str:
    """The value alone under one axis, which is named beside it; else each with its name."""
    if len(axes) == 1:
        return safe(short(value_text(axes[0], getattr(setting, axes[0]))))
    return safe(", ".join(short(setting_text(setting, (axis,))) for axis in axes))


def _labels(names: Sequence[str], longest: int = 30) -> list[str]:
    return [safe(short(name, longest)) for name in names]


def _one_side(low: float, high: float) -> bool:
    """Whether an interval leaves 0 out; one that is not known does not."""
    return low > 0 or high < 0
