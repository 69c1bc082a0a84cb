"""Contrast: pairs on the left, the latents that differ on the right, one latent's evidence on demand.

What asks the model (the card's texts, a run) comes last, since what stands below it would wait for it.
"""

import streamlit as st

from pages.shared.contrast.card import draw_card
from pages.shared.contrast.choice import draw_choice
from pages.shared.contrast.inbox import draw_added, put_in_pairs
from pages.shared.contrast.results import draw_listing, draw_plane, draw_table, get_selected, view_of
from pages.shared.contrast.run import (
    Asked,
    Computed,
    draw_compute,
    draw_how,
    get_computed,
    is_running,
    look_in_store,
    restore_pairs,
    run,
    start,
)
from pages.shared.contrast.save import draw_save, save_vector
from pages.shared.contrast.source import draw_pairs, draw_source, open_link
from pages.shared.header import open_page
from pages.shared.latent.card import draw_latent_dialog
from pages.shared.tokens import plain
from sas_core.contrast.words import left_out_sentence
from sas_core.errors import BadInput
from sas_core.steering.engine import Engine


def main() -> None:
    engine = open_page("Contrast")
    open_link()
    put_in_pairs()
    left, right = st.columns([3, 8], gap="medium")
    asked = place = None
    with left:
        draw_added()
        chosen = draw_source()
        if chosen is not None:
            asked = draw_how(engine, chosen)
            place = draw_compute(asked, look_in_store(engine, asked))
            draw_pairs(chosen)
    with right:
        _draw_right(engine, asked)
    draw_latent_dialog(engine)
    computed = get_computed()
    if asked is not None and is_running(asked) and (computed is None or computed.asked.key != asked.key):
        run(engine, asked, place)


def _draw_right(engine: Engine, asked: Asked | None) -> None:
    computed = get_computed()
    if computed is None:
        _draw_empty(asked)
        return
    stale = asked is None or asked.key != computed.asked.key
    if stale:
        _draw_stale(computed)
    _draw_result(engine, computed, stale)


def _draw_empty(asked: Asked | None) -> None:
    st.text(
        "Which SAE latents fire for one side of the pairs and not for the other? Nothing is computed yet."
    )
    slot = st.empty()
    if asked is not None and is_running(asked):
        slot.caption(
            "The model reads both sides of every pair once; tau and the rest are instant after that."
        )
    elif asked is not None:
        slot.button(f"Find the latents of \u201c{plain(asked.title)}\u201d", key="contrast.first",
                    on_click=start, args=(asked.key,), icon=":material/search:")  # fmt: skip


def _draw_stale(computed: Computed) -> None:
    say, back = st.columns([5, 2], vertical_alignment="center")
    say.info(
        f"This result is of {plain(computed.asked.title)} ({len(computed.ranking.pairs)} pairs, "
        f"{computed.asked.position}), not of the pairs on the left.",
        icon=":material/history:",
    )
    back.button("Back to its pairs", key="contrast.back", on_click=restore_pairs, width="stretch")


def _draw_result(engine: Engine, computed: Computed, stale: bool) -> None:
    choice = draw_choice(computed.ranking.pairs.form, disabled=stale)
    try:
        vector, funnel = computed.ranking.vector(choice)
    except BadInput as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    view = view_of(computed, choice, stale=stale)
    st.markdown(f"**{plain(computed.asked.title)}** &ensp;{plain(funnel.sentence())}",
                help=left_out_sentence(computed.ranking.collected))  # fmt: skip
    plane_place, card_place = st.columns([1, 1])
    with plane_place:
        draw_plane(view)
    listing_place, save_place = st.columns([5, 8], vertical_alignment="center")
    message_place = st.container()
    with listing_place:
        listing = draw_listing()
    with save_place:
        pending = draw_save(engine, view, vector, message_place)
    draw_table(engine, view, listing)
    with card_place:
        draw_card(engine, view, get_selected(view))
    if pending is not None:
        save_vector(engine, view, pending)


main()
