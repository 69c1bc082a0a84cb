"""The (freq+, freq-) plane of a contrast as a plotly figure. Knows nothing of pages, models or tokens.

One dot stands for all latents of one fate at one place, since frequencies are multiples of 1/n and many
coincide: nothing is jittered, the count is in the hover and all of them are found by `latents_at`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from sas_core.contrast.statistics import Evidence
from sas_core.contrast.table import Fate

MANY_DOTS = 1500
_ROOM_FOR_LABEL = 0.25
ORANGE, BLUE, GREY = "#d97706", "#2b7bba", "#8a94a0"
_INVISIBLE = "rgba(0,0,0,0)"
_PLACE = "freq+ %{x:.1%}, freq\u2212 %{y:.1%}"
_LOW, _HIGH = -0.06, 1.06
_SMALLEST, _LARGEST = 6.0, 17.0
_NAMES: dict[str, str] = {
    "below tau": "below tau", "left out": "left out", "shared": "shared",
    "\u2212": "kept, \u2212 side", "+": "kept, + side",
}  # fmt: skip


@dataclass(frozen=True)
class Dot:
    """Latents of one fate at one place, strongest first; `mean` is the largest of their means."""

    freq_pos: float
    freq_neg: float
    fate: Fate
    latents: tuple[int, ...]
    mean: float


def dots(evidence: Evidence, fate: Sequence[Fate]) -> list[Dot]:
    """All latents of the evidence, those at one place and of one fate together."""
    places: dict[tuple[float, float, str], list[int]] = {}
    for i, one in enumerate(fate):
        places.setdefault((float(evidence.freq_pos[i]), float(evidence.freq_neg[i]), one), []).append(i)
    means = np.maximum(np.abs(evidence.mean_pos), np.abs(evidence.mean_neg))
    found = []
    for (pos, neg, one), at in places.items():
        at.sort(key=lambda i: -abs(evidence.difference[i]))
        latents = tuple(int(evidence.latents[i]) for i in at)
        found.append(Dot(pos, neg, one, latents, float(means[at].max())))  # type: ignore[arg-type]
    return found


def latents_at(found: Sequence[Dot], latent: int) -> tuple[int, ...]:
    """The latents that share a dot with `latent`, strongest first; none when it has no dot."""
    return next((dot.latents for dot in found if latent in dot.latents), ())


def plane(
    found: Sequence[Dot],
    tau: float,
    *,
    drop_shared: bool = True,
    selected: int | None = None,
    muted: bool = False,
    height: int = 400,
) -> go.Figure:
    """Dots by how often they fire on each side, both tau lines, and a ring around the selected latent.

    `customdata` of a point starts with its strongest latent's index. `muted` greys everything: the plane
    of an outdated result.
    """
    figure = go.Figure()
    many = len(found) > MANY_DOTS
    top = max((dot.mean for dot in found), default=1.0) or 1.0
    for fate, part in _layers(found):
        if part:
            figure.add_trace(_trace(part, fate, top, many, muted))
    _draw_rule(figure, tau, tinted=drop_shared and not muted)
    _draw_labels(figure, tau, drop_shared)
    _draw_selected(figure, found, selected)
    share = {"range": [_LOW, _HIGH], "tickformat": ".0%", "dtick": 0.25, "zeroline": False}
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 26, "t": 26, "b": 8},
        hovermode="closest",
        # only while dragging pans does a click select; the box is in the bar above the plane
        dragmode="pan",
        clickmode="event+select",
        showlegend=False,
        xaxis={"title": {"text": "freq+ (share of positive texts)", "standoff": 6}, **share},
        yaxis={"title": {"text": "freq\u2212 (share of negative texts)", "standoff": 6}, **share},
    )
    return figure


def _layers(found: Sequence[Dot]) -> list[tuple[str, list[Dot]]]:
    """Dots by fate, the lowest layer first; of both sides kept the one with the larger dots lies below."""
    layers = [(fate, [dot for dot in found if dot.fate == fate]) for fate in _NAMES]
    lower, kept = layers[:-2], layers[-2:]
    return lower + sorted(kept, key=lambda layer: -max((dot.mean for dot in layer[1]), default=0.0))


def _trace(part: Sequence[Dot], fate: str, top: float, many: bool, muted: bool) -> go.Scatter | go.Scattergl:
    kind = go.Scattergl if many else go.Scatter
    still = {"marker": {"opacity": _opacity(fate, muted)}}
    return kind(
        name=_NAMES[fate],
        mode="markers",
        x=[dot.freq_pos for dot in part],
        y=[dot.freq_neg for dot in part],
        customdata=[[dot.latents[0], len(dot.latents), _said(dot)] for dot in part],
        marker=_marker(part, fate, top, muted),
        # a click must not fade the rest: what is selected has its own ring
        selected=still,
        unselected=still,
        hovertemplate=f"%{{customdata[2]}}<br>{_PLACE}<extra>{_NAMES[fate]}</extra>",
    )


def _said(dot: Dot) -> str:
    first = f"latent {dot.latents[0]}, mean {dot.mean:.2f}"
    if len(dot.latents) == 1:
        return first
    return f"{len(dot.latents)} latents here: {dot.latents[0]} and {len(dot.latents) - 1} more"


def _opacity(fate: str, muted: bool) -> float:
    strength = {"below tau": 0.3, "left out": 0.55, "shared": 0.9}.get(fate, 0.85)
    return strength * (0.5 if muted else 1.0)


def _marker(part: Sequence[Dot], fate: str, top: float, muted: bool) -> dict:
    colour = GREY if muted else {"+": ORANGE, "\u2212": BLUE}.get(fate, GREY)
    hollow = fate == "shared"
    return {
        # area, not width, goes with the mean
        "size": [_SMALLEST + (_LARGEST - _SMALLEST) * (dot.mean / top) ** 0.5 for dot in part],
        "color": colour,
        "symbol": "circle-open" if hollow else "circle",
        "opacity": _opacity(fate, muted),
        "line": {"width": 1.5 if hollow else 0, "color": colour},
    }


def _draw_rule(figure: go.Figure, tau: float, *, tinted: bool) -> None:
    """Both tau lines; where shared latents are dropped, a tint on the two rectangles that survive."""
    line = {"color": GREY, "width": 1.5, "dash": "dash"}
    figure.add_shape(type="line", x0=tau, x1=tau, y0=_LOW, y1=_HIGH, line=line)
    figure.add_shape(type="line", x0=_LOW, x1=_HIGH, y0=tau, y1=tau, line=line)
    if tinted:
        corner = {"type": "rect", "layer": "below", "line": {"width": 0}, "opacity": 0.07}
        figure.add_shape(x0=tau, x1=_HIGH, y0=_LOW, y1=tau, fillcolor=ORANGE, **corner)
        figure.add_shape(x0=_LOW, x1=tau, y0=tau, y1=_HIGH, fillcolor=BLUE, **corner)
    figure.add_annotation(x=tau, y=_LOW, text=f"tau {tau:.2f}", showarrow=False, xanchor="right",
                          yanchor="bottom", font={"size": 11, "color": GREY}, xshift=-3)  # fmt: skip


def _draw_labels(figure: go.Figure, tau: float, drop_shared: bool) -> None:
    """What each part of the plane means, written outside it, where no dot lies beneath.

    With shared latents kept the part says where they fire, and the colour of a dot whether it is kept.
    """
    negative, positive, both = (
        ("kept, \u2212 side", "kept, + side", "shared, dropped") if drop_shared
        else ("\u2212 side alone", "+ side alone", "both sides")
    )  # fmt: skip
    top = {"yref": "paper", "y": 1.0, "yanchor": "bottom", "showarrow": False}
    if tau >= _ROOM_FOR_LABEL:
        figure.add_annotation(x=tau / 2, text=negative, font={"size": 12, "color": BLUE}, **top)
        figure.add_annotation(
            xref="paper", x=1.0, xanchor="left", y=tau / 2, text=positive, textangle=90,
            showarrow=False, font={"size": 12, "color": ORANGE},
        )  # fmt: skip
    if 1 - tau >= _ROOM_FOR_LABEL:
        figure.add_annotation(x=(1 + tau) / 2, text=both, font={"size": 12, "color": GREY}, **top)


def _draw_selected(figure: go.Figure, found: Sequence[Dot], selected: int | None) -> None:
    dot = next((dot for dot in found if selected in dot.latents), None)
    if dot is None:
        return
    figure.add_trace(
        go.Scatter(
            x=[dot.freq_pos], y=[dot.freq_neg], mode="markers", showlegend=False, hoverinfo="skip",
            name="selected", customdata=[[selected, 1, ""]],
            marker={"size": _LARGEST + 7, "color": _INVISIBLE, "line": {"width": 2.5, "color": "#7a4e9c"}},
        )
    )  # fmt: skip
