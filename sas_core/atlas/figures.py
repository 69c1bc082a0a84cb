"""How strongly a latent fires, as a plotly figure. Knows counts and bins, nothing of pages or models."""

from collections.abc import Sequence
from math import log2

import plotly.graph_objects as go

from sas_core.atlas.types import Latent

_BAR, _LINE = "#dd8a3c", "#7d8894"
_OCTAVES_A_TICK = 2


def histogram_figure(latent: Latent, edges: Sequence[float], *, height: int = 150) -> go.Figure:
    """Tokens by activation, in the log-spaced bins between `edges`; a line marks the mean where it fires.

    Only the bins from the first to the last that holds a token are drawn.
    """
    first, last = _occupied(latent.histogram)
    bins = range(first, last + 1)
    places = [(log2(edges[i]) + log2(edges[i + 1])) / 2 for i in bins]
    figure = go.Figure(
        go.Bar(
            x=places,
            y=[latent.histogram[i] for i in bins],
            width=[log2(edges[i + 1]) - log2(edges[i]) for i in bins],
            customdata=[_reach(edges, i) for i in bins],
            marker={"color": _BAR, "line": {"width": 0}},
            hovertemplate="%{customdata}: %{y:,} tokens<extra></extra>",
        )
    )
    if latent.mean_nonzero:
        figure.add_vline(
            x=log2(latent.mean_nonzero), line={"color": _LINE, "width": 2, "dash": "dot"},
            annotation={"text": f"mean {latent.mean_nonzero:.3g}", "font": {"size": 11}},
            annotation_position="top",
        )  # fmt: skip
    ticks = _ticks(log2(edges[first]), log2(edges[last + 1]))
    named = [f"{2.0**octave:.3g}" for octave in ticks]
    figure.update_xaxes(title="activation, log scale", tickvals=ticks, ticktext=named)
    figure.update_yaxes(title="tokens", nticks=4, rangemode="tozero")
    return figure.update_layout(height=height, margin={"l": 0, "r": 0, "t": 18, "b": 0}, bargap=0.06)


def histogram_alt(latent: Latent, edges: Sequence[float]) -> str:
    """The figure in a sentence."""
    if not latent.fired:
        return "It never fired, so there is nothing to draw."
    fullest = max(range(len(latent.histogram)), key=lambda i: latent.histogram[i])
    return (
        f"{latent.fired:,} activations above zero, most often {_reach(edges, fullest)} "
        f"({latent.histogram[fullest]:,} tokens); the largest is {latent.max:.3g}."
    )


def _occupied(counts: Sequence[int]) -> tuple[int, int]:
    filled = [i for i, count in enumerate(counts) if count]
    return (filled[0], filled[-1]) if filled else (0, len(counts) - 1)


def _reach(edges: Sequence[float], i: int) -> str:
    """A bin in words; the outermost two are open."""
    if i == 0:
        return f"below {edges[1]:.3g}"
    if i == len(edges) - 2:
        return f"{edges[i]:.3g} and more"
    return f"{edges[i]:.3g} to {edges[i + 1]:.3g}"


def _ticks(low: float, high: float) -> list[int]:
    """Powers of two: each one, or every second where there would be many."""
    octaves = range(int(-(-low // 1)), int(high // 1) + 1)
    step = 1 if len(octaves) <= 8 else _OCTAVES_A_TICK
    return [octave for octave in octaves if octave % step == 0]
