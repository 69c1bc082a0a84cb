"""Plots of vectors: the values of one, and what each part gives to a sum. Figures only, no page.

Blue is below zero and orange above, and the bar's side of the axis says the same.
"""

from collections.abc import Sequence

import plotly.graph_objects as go

from sas_core.vectors.compose import Composition, Part, contributions
from sas_core.vectors.fields import VectorFile

# middle tones: readable on a white and on a near-black background
BELOW, ABOVE = "#4a90cc", "#dd8a3c"
_SHOWN = 200
_PARTS = ("#2d9187", "#9a7bc4", "#b8860b", "#7d8894", "#c2627a", "#5f8a3a")


def values_figure(vector: VectorFile) -> go.Figure:
    """Bars of the largest values (at most 200 latents), from the most positive to the most negative."""
    kept = sorted(vector.features, key=lambda feature: -abs(feature.value))[:_SHOWN]
    kept.sort(key=lambda feature: -feature.value)
    figure = go.Figure(
        go.Bar(
            x=[str(feature.index) for feature in kept],
            y=[feature.value for feature in kept],
            marker={"color": [ABOVE if f.value > 0 else BELOW for f in kept], "line": {"width": 0}},
            hovertemplate="latent %{x}: %{y:+.3g}<extra></extra>",
        )
    )
    figure.update_xaxes(visible=False, type="category")
    return _laid_out(figure, 120)


def values_alt(vector: VectorFile) -> str:
    """The figure in a sentence."""
    values = [feature.value for feature in vector.features]
    above, below = sum(v > 0 for v in values), sum(v < 0 for v in values)
    span = f"{min(values):+.3g} to {max(values):+.3g}"
    return f"{above} latents above zero and {below} below; values from {span}."


def parts_figure(parts: Sequence[Part], composed: Composition, top: int = 24) -> go.Figure:
    """The largest latents of a sum, each bar stacked from what the parts give to it."""
    rows = contributions(parts, composed.values, top)
    names = [str(index) for index, _ in rows]
    figure = go.Figure()
    for place, part in enumerate(parts):
        figure.add_bar(
            x=names, y=[given[place] for _, given in rows], name=_escaped(part.vector.name),
            marker={"color": _PARTS[place % len(_PARTS)], "line": {"width": 0}},
            hovertemplate="latent %{x}: %{y:+.3g}",
        )  # fmt: skip
    sums = [composed.values[index] for index, _ in rows]
    figure.add_scatter(
        x=names, y=sums, mode="markers", name="sum", hovertemplate="sum %{y:+.3g}",
        marker={"symbol": "line-ew", "size": 14, "line": {"width": 3, "color": ABOVE}},
    )  # fmt: skip
    figure.update_layout(
        barmode="relative", hovermode="x unified", showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    figure.update_xaxes(title="latent, by size of the sum", type="category", tickangle=0)
    return _laid_out(figure, 300)


def _laid_out(figure: go.Figure, height: int) -> go.Figure:
    figure.update_yaxes(title="value", zeroline=True, zerolinewidth=1, zerolinecolor="#7d8894", nticks=5)
    return figure.update_layout(height=height, margin={"l": 0, "r": 0, "t": 8, "b": 0}, bargap=0.2)


def _escaped(name: str) -> str:
    """Plotly reads some HTML in names, and a `<br>` or a link in a vector's name is a user's text."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
