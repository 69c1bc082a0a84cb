"""Model text as HTML: the one place where tokens become markup, so escaping is in one function.

Colour means sign (blue below zero, orange above: safe for colour-blind eyes), never decoration.
"""

from collections.abc import Mapping, Sequence
from html import escape

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

_BLUE, _ORANGE = "33, 102, 172", "217, 119, 6"
_MARKDOWN = set("\\`*_{}[]()#+-.!|$~<>:")
_BOX = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.65;font-size:1.02rem"


def safe(text: str) -> str:
    """Escape text for HTML; a replacement character stands for bytes that are no character yet."""
    return escape(text, quote=True)


def plain(text: str) -> str:
    """Text inside Markdown, without its meaning as Markdown."""
    return "".join(f"\\{c}" if c in _MARKDOWN else c for c in text)


def visible(piece: str) -> str:
    """White space made visible, for places where single tokens are read."""
    return piece.replace(" ", "·").replace("\n", "⏎").replace("\t", "→")


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
        strength = min(abs(value) / top, 1.0) * 0.6
        style.append(f"background:rgba({_ORANGE if value > 0 else _BLUE}, {strength:.2f})")
        title = f' title="{safe(visible(piece))} {value:+.3g} {safe(unit)}"'
    if marked:
        style.append("text-decoration:underline;text-decoration-thickness:3px;text-underline-offset:4px")
        title = title or ' title="first token that differs"'
    return f'<span style="{";".join(style)}"{title}>{safe(piece)}</span>'


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
