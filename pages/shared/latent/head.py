"""The top of a latent's card: its number, its label, how dense it is, and what can be done with it."""

from collections.abc import Callable

import streamlit as st

from pages.shared.naming import draw_name, names_of
from pages.shared.tokens import plain
from pages.shared.tray.state import get_tray, set_tray
from sas_core.atlas.types import Latent
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.steering.tray import latent_item

_DENSITY = {
    "dead": "never fired",
    "rare": "rare",
    "normal": "normal density",
    "dense": "dense",
}


def draw_head(
    engine: Engine, index: int, latent: Latent | None, *, key: str, also: Callable[[], None] | None = None
) -> None:
    """`also` draws more buttons beside the others."""
    badge = f" :gray-badge[{_DENSITY[latent.density_class]}]" if latent else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(f"Latent {index}{badge}", anchor=False, width="content")
        _draw_called(engine, index, latent)
    with st.container(horizontal=True):
        draw_tray(engine, index, latent, key)
        _draw_neuronpedia(engine, index)
        if also is not None:
            also()
    draw_tray_problem()


def _draw_called(engine: Engine, index: int, latent: Latent | None) -> None:
    name = names_of(engine, [index]).get(index)
    if name is not None:
        draw_name(name)
    elif latent is not None and latent.auto is not None:
        # no rule for it held: what there is instead of a label, and by which figures
        st.caption(plain(latent.auto.text), width="content", help=plain(latent.auto.said))
    else:
        st.caption("no label", width="content")


def draw_tray(engine: Engine, index: int, latent: Latent | None, key: str) -> None:
    """The button that puts a latent in the tray at its typical activation."""
    typical = latent.mean_nonzero if latent else None
    held = get_tray(engine).get(f"latent:{index}") is not None
    st.button(
        "In tray" if held else "Add to tray", icon=":material/add:", key=f"{key}.tray.{index}",
        disabled=held or not typical, on_click=add_to_tray, args=(index, typical), help=_unit(latent),
    )  # fmt: skip


def draw_tray_problem() -> None:
    """Why the latent could not be put in the tray, if just now it could not."""
    problem = st.session_state.pop("latent.tray_problem", None)
    if problem:
        st.error(plain(problem), icon=":material/error:")


def _unit(latent: Latent | None) -> str:
    if latent is None:
        return "Needs an atlas, which knows how strongly the latent usually fires"
    if not latent.mean_nonzero:
        return "It never fired, so nobody knows what strength is usual for it"
    return f"Strength 1 adds {latent.mean_nonzero:.3g}, its typical activation: the mean where it fires"


def add_to_tray(index: int, typical: float) -> None:
    """Strength 1 adds `typical`; a refusal waits for `draw_tray_problem`. Fit for widget callbacks."""
    try:
        set_tray(st.session_state["tray"].put(latent_item(index, typical)))
    except SteerscopeError as error:
        st.session_state["latent.tray_problem"] = str(error)


def _draw_neuronpedia(engine: Engine, index: int) -> None:
    name = engine.dictionary.identity.neuronpedia_id
    if name:
        st.link_button(
            "Neuronpedia", f"https://www.neuronpedia.org/{name}/{index}", icon=":material/open_in_new:",
            type="tertiary", help="Opens this latent's page on neuronpedia.org",
        )  # fmt: skip
