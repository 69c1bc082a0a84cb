"""The plots of a report as HTML: each with its data in the page, and buttons that save it as a picture."""

import re
from collections.abc import Iterator
from html import escape

import plotly.graph_objects as go

from sas_core.evaluation.plots import curves, frontier, funnel, heatmap
from sas_core.evaluation.plots.words import figure_title, is_price
from sas_core.evaluation.sweep.outcome import SweepResult

_FACET_WIDTH, _CELL_WIDTH, _BESIDE = 250, 54, 110


def plots_html(result: SweepResult) -> str:
    """Effects with their frontiers, prices, and the funnel where tau varies."""
    return "".join(_plot(result, *drawn) for drawn in _drawn(result))


def _drawn(result: SweepResult) -> Iterator[tuple[str, str, go.Figure]]:
    """Title, what the plot shows in a sentence, the figure."""
    figures = result.figures()
    effects = [figure for figure in figures if not is_price(figure)]
    prices = [figure for figure in figures if is_price(figure)]
    several = len({o.setting for o in result.outcomes}) > 1
    for figure in (*effects, *prices):
        half, title = _half(result, figure), figure_title(figure)
        hollow = "a hollow mark: nothing was added"
        bands = f"Bands are 95 % intervals over units ({halves_text(half)}); {hollow}."
        yield f"{title} against lambda", bands, curves(result, figure, half)
        if several and not is_price(figure):
            grey = f"Grey numbers have a 95 % interval that holds 0 ({halves_text(half)})."
            yield f"{title} by setting", grey, heatmap(result, figure, half)
        if prices and not is_price(figure):
            price = "price" if "price" in prices else prices[0]
            beside = f"Each point is a lambda; further left is cheaper ({halves_text(half)})."
            if price == "distinct_2":
                beside = f"Each point is a lambda; further left is more repetitive ({halves_text(half)})."
            yield f"{title} against {figure_title(price)}", beside, frontier(result, figure, price, half)
    if len({o.setting.tau for o in result.outcomes}) > 1:
        yield "latents against tau", "How many latents the vector keeps.", funnel(result)


def _half(result: SweepResult, figure: str) -> str:
    """All units where they are summed up, else the half there is."""
    there = {o.half for o in result.outcomes if o.figure == figure}
    return next((half for half in ("all", "test", "dev") if half in there), "all")


def halves_text(half: str) -> str:
    """`both halves`, `test half`, `dev half`."""
    return {"all": "both halves", "test": "test half", "dev": "dev half"}.get(half, half)


def _plot(result: SweepResult, title: str, said: str, figure: go.Figure) -> str:
    # the default template is larger than the data, and the page has its own colours
    figure.update_layout(template=go.layout.Template())
    name = re.sub(r"[^\w-]+", "-", f"{result.spec.name} {title}").strip("-")[:80]
    buttons = "".join(
        f'<button type="button" data-format="{form}">{form.upper()}</button>' for form in ("png", "svg")
    )
    heading = escape(title[:1].upper() + title[1:])
    return (
        f'<figure class="plot" data-name="{escape(name)}"><div class="head"><h3>{heading}</h3>'
        f'<div class="buttons" role="group" aria-label="Save the plot">{buttons}</div></div>'
        f'<div class="scroll"><div class="canvas" role="img" aria-label="{heading}" '
        f'style="height:{figure.layout.height}px;min-width:{_least_width(figure)}px"></div></div>'
        f"<figcaption>{escape(said)}</figcaption>"
        f'<script type="application/json">{_inert(figure.to_json())}</script></figure>'
    )


def _least_width(figure: go.Figure) -> int:
    """Below this many pixels the plot is scrolled rather than squeezed."""
    if figure.data and figure.data[0].type == "heatmap":
        return _BESIDE + _CELL_WIDTH * len(figure.data[0].x)
    domains = {axis.domain for axis in figure.select_xaxes() if axis.domain}
    return _FACET_WIDTH * max(len(domains), 1)


def _inert(text: str) -> str:
    """JSON inside a script element: none of its characters can end the element or begin a comment."""
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
