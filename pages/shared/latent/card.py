"""The card of one latent, read top to bottom like an argument: what fires it, how often, what it writes.

In a page, or in a drawer over any page whose state then stays as it is.
"""

from collections.abc import Callable

import streamlit as st

from pages.shared.latent.contexts import draw_contexts
from pages.shared.latent.head import draw_head
from pages.shared.latent.how_often import draw_how_often
from pages.shared.latent.label import draw_label
from pages.shared.latent.near import draw_near, draw_uses
from pages.shared.latent.state import close_card, follow, get_open, get_trail, go_back
from pages.shared.latent.try_it import draw_try
from pages.shared.latent.writes import draw_writes
from pages.shared.loaded import get_atlas
from pages.shared.tokens import plain
from sas_core.atlas.probe import require_latents
from sas_core.atlas.store import Atlas
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine

_DRAWER_WIDTH = 860


def draw_latent(
    engine: Engine,
    atlas: Atlas | None,
    index: int,
    *,
    key: str,
    go: Callable[[int], None] = follow,
    build: Callable[[], None] | None = None,
    also: Callable[[], None] | None = None,
) -> None:
    """The whole card where the script stands. `key` begins the keys of its widgets.

    `go` turns to another latent and is called in a widget's callback. Without an atlas the card says so
    and shows what the model alone can say; `build` is the callback of a button that leads to building one.
    `also` draws more buttons beside those at the top.
    """
    try:
        require_latents(engine, [index])
        latent = atlas.latent(index) if atlas else None
        contexts = atlas.contexts(index) if atlas else ()
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    draw_head(engine, index, latent, key=key, also=also)
    if atlas is None or latent is None:
        _draw_no_atlas(engine, key, build)
    else:
        draw_contexts(engine, atlas, latent, contexts, key=key)
        draw_how_often(latent, atlas.made_of.edges, key=key)
    draw_writes(engine, index, latent, contexts, key=key)
    try:
        draw_near(engine, atlas, index, latent, key=key, go=go)
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
    draw_uses(engine, index)
    draw_label(engine, index, latent.auto if latent else None, key=key)
    draw_try(engine, index, latent, key=key)


def draw_latent_dialog(engine: Engine) -> None:
    """Draw the card that was asked for with `open_latent`, if any. Once a page, before long work.

    Closing it runs the page again, since the tray, a label or the pairs may have changed under the card.
    """
    if get_open() is not None:
        _draw_drawer(engine)


@st.dialog("Latent card", width=_DRAWER_WIDTH, position="right", on_dismiss=close_card)
def _draw_drawer(engine: Engine) -> None:
    index = get_open()
    if index is None:
        return
    draw_latent(engine, get_atlas(engine), index, key="card", also=lambda: _draw_ways(index))


def _draw_ways(index: int) -> None:
    """Out of the drawer: back to the latent before, or to the page where the card has more room."""
    trail = get_trail()
    if trail:
        st.button(f"Back to latent {trail[-1]}", key="card.back", icon=":material/arrow_back:",
                  type="tertiary", on_click=go_back)  # fmt: skip
    if st.button("Open in Features", key="card.page", icon=":material/open_in_full:", type="tertiary"):
        _go_to_features({"latent": str(index)})


def _draw_no_atlas(engine: Engine, key: str, build: Callable[[], None] | None) -> None:
    say, way = st.columns([5, 2], vertical_alignment="center")
    say.info(
        f"There is no atlas of {plain(engine.name)} with this SAE yet, so the texts that make the latent "
        "fire, how often it does, and what fires with it are not known.",
        icon=":material/travel_explore:",
    )
    if way.button("Build one in Features", key=f"{key}.build", on_click=build) and build is None:
        _go_to_features({})


def _go_to_features(query: dict[str, str]) -> None:
    # not in a callback: the drawer would be drawn without a latent, and this button not at all
    close_card()
    st.switch_page("pages/atlas.py", query_params=query)
