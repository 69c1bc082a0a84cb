"""One latent's card: what it does at this tau, what it reads and writes, and the texts for and against it."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.contrast.results import PLANE_HEIGHT, View, join, lens_of, select
from pages.shared.header import session_id
from pages.shared.latent.head import add_to_tray, draw_tray_problem
from pages.shared.latent.state import open_latent
from pages.shared.naming import draw_name, names_of
from pages.shared.tokens import plain, show_html, tokens_html
from pages.shared.tray.state import get_tray
from sas_core.contrast.figures import latents_at
from sas_core.contrast.shading import ShadedText, strongest_texts
from sas_core.contrast.words import fate_sentence, fires_sentence, separates_sentence
from sas_core.errors import Cancelled, SteerscopeError
from sas_core.steering.engine import Engine

_READS = 8
_STORED_CARDS = 40


def draw_card(engine: Engine, view: View, latent: int | None) -> None:
    """The card beside the plane; without a latent, how to open one."""
    with st.container(border=True, height=PLANE_HEIGHT, gap="xsmall"):
        if latent is None:
            st.markdown("**Evidence for one latent**")
            st.caption("Click a dot or a row: what it reads, what it writes, and the texts that show it.")
            return
        _draw_head(engine, view, latent)
        _draw_evidence(engine, view, latent)
        _draw_texts(engine, view, latent)


def _draw_head(engine: Engine, view: View, latent: int) -> None:
    at = view.position(latent)
    held = get_tray(engine).get(f"latent:{latent}") is not None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**Latent {latent}** &nbsp;{_badge(view.fate[at])}")
        st.button("Open card", key="contrast.open_card", type="tertiary", on_click=open_latent,
                  args=(latent,),
                  help="What it means beyond these pairs: contexts, neighbours, test box")  # fmt: skip
        st.button("In tray" if held else "Add latent", key="contrast.add_latent", type="tertiary",
                  on_click=add_to_tray, args=(latent, _typical(view, at)), disabled=held,
                  help="Strength 1 adds its mean over the texts of its side where it fires")  # fmt: skip
        st.button("", icon=":material/close:", key="contrast.close", type="tertiary", on_click=select,
                  args=(None,), help="Close the card")  # fmt: skip
    name = names_of(engine, [latent]).get(latent)
    if name is not None:
        draw_name(name)
    draw_tray_problem()
    _draw_neighbours(view, latent)


def _badge(fate: str) -> str:
    return {"+": ":orange-badge[\\+]", "\u2212": ":blue-badge[\u2212]"}.get(fate, f":gray-badge[{fate}]")


def _draw_neighbours(view: View, latent: int) -> None:
    """A dot may stand for many latents: each of them can be reached."""
    others = latents_at(view.found, latent)
    if 1 < len(others) <= 200 and st.session_state.get("contrast.box"):
        st.session_state["contrast.same_dot"] = latent
        st.selectbox(f"{len(others)} latents at this dot", others, key="contrast.same_dot",
                     on_change=lambda: select(st.session_state["contrast.same_dot"]))  # fmt: skip


def _typical(view: View, at: int) -> float:
    evidence = view.computed.ranking.evidence
    side = evidence.mean_pos if evidence.difference[at] > 0 else evidence.mean_neg
    return float(side[at])


def _draw_evidence(engine: Engine, view: View, latent: int) -> None:
    at, ranking = view.position(latent), view.computed.ranking
    found = lens_of(engine, [latent])[latent]
    for name, pieces in (
        ("Reads", engine.turns.pieces(ranking.reads(latent, _READS))),
        ("Writes up", found.up),
        ("Writes down", found.down),
    ):
        label, tokens = st.columns([2, 6], gap="xsmall")
        label.caption(name)
        tokens.text(join(pieces))
    st.caption(
        plain(
            " ".join(
                [
                    fate_sentence(view.fate[at], view.choice.tau),
                    fires_sentence(ranking.evidence, at, len(ranking.pairs)),
                    separates_sentence(ranking.evidence, at),
                ]
            )
        )
    )


def _draw_texts(engine: Engine, view: View, latent: int) -> None:
    try:
        with st.spinner("Reading the texts again"):
            positive, negative = _texts(engine, view, latent)
    except Cancelled:
        return
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    mine, other = ("positive", "negative")
    if view.computed.ranking.evidence.difference[view.position(latent)] < 0:
        positive, negative, mine, other = negative, positive, other, mine
    top = max((value for text in (*positive, *negative) for value in text.values), default=0.0)
    st.markdown(f"**Strongest in {mine} texts**")
    _draw_side(positive, top, f"It fires in none of the {mine} texts.")
    st.markdown(f"**Against: where it fires in {other} texts**")
    _draw_side(negative, top, f"It fires in none of the {other} texts.")
    if any(text.excluded for text in (*positive, *negative)):
        st.caption("Special tokens and attention sinks are excluded and shown unshaded.")


def _draw_side(texts: Sequence[ShadedText], top: float, none: str) -> None:
    if not texts:
        st.caption(none)
    for text in texts:
        st.caption(f"Row {text.row}, counted as {text.strength:.2f}: {plain(text.prompt[:160])}")
        show_html(tokens_html(text.pieces, text.values, scale=top, unit="activation"))


def _texts(engine: Engine, view: View, latent: int) -> tuple[tuple[ShadedText, ...], tuple[ShadedText, ...]]:
    """Kept for the session, since a move of tau changes none of them."""
    asked = view.computed.asked
    cards: dict = st.session_state.setdefault("contrast.cards", {})
    key = (asked.key, latent)
    if key not in cards:
        cards[key] = strongest_texts(
            engine, view.computed.ranking, latent, chat=asked.chat, session=session_id()
        )
        while len(cards) > _STORED_CARDS:
            cards.pop(next(iter(cards)))
    return cards[key]
