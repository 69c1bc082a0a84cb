"""A whole vector beside parts of it: points with their intervals, one row each."""

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from sas_core.evaluation.plots.style import ZERO, colour_of, headed, laid_out, mark_of

if TYPE_CHECKING:
    from sas_core.evaluation.bootstrap import Estimate
    from sas_core.evaluation.subset.search import SubsetReport

_ROW = 34


def effects(report: "SubsetReport") -> go.Figure:
    """The effect of the whole vector, of the subset and of each random part, on the reporting half."""
    count = len(report.latents)
    rows: list[tuple[str, str, Estimate]] = [
        (f"whole, {report.size} latents", "vector", report.full),
        (f"subset, {count}", "high-output", report.subset),
        *((f"random {n}, {count}", "random", part) for n, part in enumerate(report.random, 1)),
    ]
    figure = go.Figure([_point(n, *row) for n, row in enumerate(rows)])
    laid_out(figure, 72 + _ROW * len(rows), showlegend=False)
    figure.update_xaxes(**ZERO, title_text=f"change, {report.unit}")
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=[row[0] for row in rows], showgrid=False,
                        range=[len(rows) - 0.5, -0.5])  # fmt: skip
    headed(figure, f"effect at lambda {report.scale:+g} on the {report.test} pairs that did not choose")
    return figure.update_layout(margin={"t": 32})


def _point(row: int, name: str, arm: str, found: "Estimate") -> go.Scatter:
    colour = colour_of(arm)
    return go.Scatter(
        x=[found.value], y=[row], mode="markers", name=name,
        marker={"color": colour, "symbol": mark_of(arm), "size": 11},
        error_x={"type": "data", "symmetric": False, "array": [found.high - found.value],
                 "arrayminus": [found.value - found.low], "color": colour, "thickness": 2, "width": 0},
        hovertemplate=f"{name}<br>{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]<extra></extra>",
    )  # fmt: skip
