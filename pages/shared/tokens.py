"""Model text as HTML: the one place where tokens become markup, so escaping is in one function.

Colour means sign (blue below zero, orange above: safe for colour-blind eyes), never decoration.
"""

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

_BLUE, _ORANGE = "33, 102, 172", "217, 119, 6"
_MARKDOWN = set("\\`*_{}[]()#+-.!|$~<>:")
_PEAK = "text-decoration:underline;text-decoration-thickness:3px;text-underline-offset:4px"
_BOX = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.65;font-size:1.02rem"


WhiteSpace = Literal["as written", "one line", "visible"]
"""How shaded text shows white space: as it is, with line breaks as a mark, or all of it as marks."""


def safe(text: str) -> str:
    """Escape text for HTML; a replacement character stands for bytes that are no character yet."""
    return escape(text, quote=True)


def plain(text: str) -> str:
    """Text inside Markdown, without its meaning as Markdown."""
    return "".join(f"\\{c}" if c in _MARKDOWN else c for c in text)


def visible(piece: str) -> str:
    """White space made visible, for places where single tokens are read."""
    return piece.replace(" ", "·").replace("\n", "⏎").replace("\t", "→")


def shade(value: float, top: float) -> str:
    """The background of a token with this value, by sign; `top` is the value of full colour."""
    strength = min(abs(value) / (top or 1.0), 1.0) * 0.6
    return f"rgba({_ORANGE if value > 0 else _BLUE}, {strength:.2f})"


def text_html(text: str, *, muted: bool = False) -> str:
    """Plain model text, exactly as written."""
    return f'<div style="{_BOX};opacity:{0.55 if muted else 1}">{safe(text)}</div>'


def tokens_html(
    pieces: Sequence[str],
    values: Sequence[float] | None = None,
    *,
    scale: float | None = None,
    mark: int | None = None,
    unit: str = "",
) -> str:
    """Tokens in a row; background by signed value (`scale` is the value of full colour), one may be marked.

    The exact value is in the title of each token and the marked one is underlined, so that nothing is
    said by colour alone.
    """
    top = scale or max((abs(v) for v in values or ()), default=0.0) or 1.0
    spans = []
    for index, piece in enumerate(pieces):
        value = values[index] if values is not None else None
        spans.append(_span(piece, value, top, index == mark, unit))
    return f'<div style="{_BOX}">{"".join(spans)}</div>'


def _span(piece: str, value: float | None, top: float, marked: bool, unit: str) -> str:
    style, title = [], ""
    if value is not None:
        style.append(f"background:{shade(value, top)}")
        title = f' title="{safe(visible(piece))} {value:+.3g} {safe(unit)}"'
    if marked:
        style.append(_PEAK)
        title = title or ' title="first token that differs"'
    return f'<span style="{";".join(style)}"{title}>{safe(piece)}</span>'


def shaded_html(
    pieces: Sequence[str],
    values: Sequence[float],
    *,
    scale: float,
    peak: int | None = None,
    excluded: Collection[int] = (),
    first: int = 0,
    last: int | None = None,
    white_space: WhiteSpace = "as written",
) -> str:
    """Tokens `first` to `last` shaded by a latent's activation; `scale` is the value of full colour.

    Every token at which it fires is a stop of the Tab key and says its exact value, on hover too; the
    peak is underlined, so that nothing is said by colour alone. `excluded` positions were never counted.
    """
    last = len(pieces) if last is None else min(last, len(pieces))
    spans = [
        _activation(pieces[at], values[at], scale, at == peak, at in excluded, white_space)
        for at in range(max(first, 0), last)
    ]
    ends = ("\u2026" if first > 0 else "", "\u2026" if last < len(pieces) else "")
    return f'<div style="{_BOX}">{ends[0]}{"".join(spans)}{ends[1]}</div>'


def _activation(
    piece: str, value: float, scale: float, peak: bool, excluded: bool, white_space: WhiteSpace
) -> str:
    shown = {"as written": piece, "one line": piece.replace("\n", "\u23ce"), "visible": visible(piece)}
    text = safe(shown[white_space])
    if white_space == "visible":
        # the marks leave no place where a line may break
        text = text.replace("\u00b7", "<wbr>\u00b7")
    if excluded:
        return f'<span style="opacity:0.45" title="{safe(visible(piece))} not counted">{text}</span>'
    if value <= 0:
        return f"<span>{text}</span>"
    style = f"background:{shade(value, scale)}{';' + _PEAK if peak else ''}"
    said = f"{safe(visible(piece))} {value:.4g}{', its peak here' if peak else ''}"
    return f'<span style="{style}" tabindex="0" role="note" title="{said}" aria-label="{said}">{text}</span>'


def entry_html(number: str, body: str, source: str) -> str:
    """Markup of this module with a number before it and, below it, where it comes from."""
    figures = "flex:0 0 3.2rem;text-align:right;font-variant-numeric:tabular-nums;line-height:1.65"
    return (
        f'<div style="display:flex;gap:0.8rem"><div style="{figures}">{safe(number)}</div>'
        f'<div style="flex:1;min-width:0">{body}'
        f'<div style="opacity:0.65;font-size:0.8rem">{safe(source)}</div></div></div>'
    )


def chips_html(tokens: Sequence[tuple[str, float]]) -> str:
    """Tokens with a signed value each, in a flowing row; shaded by it against the largest of them."""
    top = max((abs(value) for _, value in tokens), default=0.0) or 1.0
    small = "opacity:0.65;font-size:0.8rem;font-variant-numeric:tabular-nums"
    chips = "".join(
        f'<span style="background:rgba({_ORANGE if value > 0 else _BLUE}, {0.35 * abs(value) / top:.2f});'
        f'padding:0 0.35rem;border-radius:0.25rem">{safe(token)} '
        f'<span style="{small}">{value:+.2f}</span></span>'
        for token, value in tokens
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:0.3rem 0.4rem;line-height:1.65">{chips}</div>'


def facts_html(facts: Mapping[str, str]) -> str:
    """Labels and what belongs to them, in two columns."""
    rows = "".join(
        f'<div style="opacity:0.7">{safe(label)}</div><div style="overflow-wrap:anywhere">{safe(text)}</div>'
        for label, text in facts.items()
    )
    grid = "display:grid;grid-template-columns:auto 1fr;gap:0.3rem 1rem;font-size:0.93rem"
    return f'<div style="{grid}">{rows}</div>'


def show_html(markup: str, place: DeltaGenerator | None = None) -> None:
    """Draw markup made by this module, in `place` or where the script stands."""
    (place or st).html(markup)
