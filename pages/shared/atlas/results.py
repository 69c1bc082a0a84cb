"""Results as compact cards: a latent, how often it fires, what it writes, short texts with its peak."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import streamlit as st

from pages.shared.atlas.state import get_opened, get_shown, open_card, show_more
from pages.shared.naming import Name
from pages.shared.tokens import plain, shaded_html, show_html, visible
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import Context, LatentRow

_CONTEXTS = 3
_BEFORE, _AFTER = 8, 4


@dataclass(frozen=True)
class Snippet:
    """A text in which a latent fires, to be shown around the token `centre`."""

    pieces: Sequence[str]
    values: Sequence[float]
    peak: int
    excluded: Collection[int]
    centre: int

    @classmethod
    def of(cls, context: Context, centre: int | None = None) -> "Snippet":
        """A context of the atlas, around its peak unless told otherwise."""
        middle = context.peak if centre is None else centre
        return cls(context.tokens, context.activations, context.peak, context.excluded, middle)

    def html(self, scale: float) -> str:
        """Twelve tokens on one line, shaded; `scale` is the activation of full colour."""
        first = max(min(self.centre - _BEFORE, len(self.pieces) - _BEFORE - _AFTER), 0)
        return shaded_html(
            self.pieces, self.values, scale=scale, peak=self.peak, excluded=self.excluded, first=first,
            last=first + _BEFORE + _AFTER, white_space="one line",
        )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A latent that was found, why it is listed, and the text that shows it best."""

    row: LatentRow
    said: str = ""
    own: Snippet | None = None


@dataclass(frozen=True)
class Results:
    """What was found, best first, under a sentence that says what they are."""

    title: str
    items: tuple[Result, ...]


def draw_results(atlas: Atlas, found: Results) -> None:
    """Draw the first results as cards, more of them at a button."""
    st.caption(plain(found.title))
    shown = found.items[: get_shown()]
    opened = get_opened()
    if opened is None and shown:
        opened = shown[0].row.index
    contexts = atlas.top_contexts([result.row.index for result in shown], _CONTEXTS + 1)
    for result in shown:
        _draw_card(result, contexts.get(result.row.index, ()), opened=result.row.index == opened)
    left = len(found.items) - len(shown)
    if left > 0:
        st.button(f"Show more ({left} left)", key="atlas.more_results", on_click=show_more, width="stretch")


def often(row: LatentRow) -> str:
    """How often it fires, in a few words."""
    if not row.fired:
        return "never fired"
    return f"1 in {1 / row.density:,.0f} tokens" if row.density < 0.1 else f"{row.density:.0%} of tokens"


def _draw_card(result: Result, contexts: Sequence[Context], *, opened: bool) -> None:
    row = result.row
    with st.container(border=True, gap="xxsmall", key=f"latent-{row.index}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                f"**Latent {row.index}**" if opened else f"Latent {row.index}", key=f"atlas.open.{row.index}",
                type="tertiary", on_click=open_card, args=(row.index,), icon=":material/chevron_right:",
                help="Its card is open" if opened else "Open its card",
            )  # fmt: skip
            name = Name.of(row.label, row.auto)
            if name is not None:
                st.markdown(name.markdown, width="content")
            st.caption(plain(", ".join(filter(None, (often(row), result.said)))), width="content")
        texts = "".join(text.html(row.max) for text in _texts(result, contexts))
        if texts:
            show_html(texts)
        if row.positive:
            st.caption(f"writes {plain('  '.join(visible(piece) for piece in row.positive))}")


def _texts(result: Result, contexts: Sequence[Context]) -> list[Snippet]:
    """Its own first, then the strongest contexts of the atlas, three in all."""
    if result.own is None:
        return [Snippet.of(context) for context in contexts[:_CONTEXTS]]
    # its own may be one of the strongest: not twice
    others = [Snippet.of(context) for context in contexts if context.tokens != result.own.pieces]
    return [result.own, *others][:_CONTEXTS]
