"""The sidebar: the tray, its units and keys, the strength of the whole tray, and what is loaded."""

import streamlit as st

from pages.shared.model_picker import draw_model_picker
from pages.shared.naming import names_of
from pages.shared.tokens import plain, show_html
from pages.shared.tray.focus import draw_keys, focused
from pages.shared.tray.item import ItemView, draw_item, draw_line, view_item
from pages.shared.tray.keys import draw_key_help
from pages.shared.tray.ruler import marks_words, ruler_html
from pages.shared.tray.search import Search, found_zone, run_search, tray_subject
from pages.shared.tray.state import can_undo, get_tray, undo_tray
from pages.shared.tray.zone import draw_zone, forget_asked
from pages.shared.url import clamp, start_from_url, write_to_url
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.steering.operations import acts
from sas_core.steering.share import half_norm_scale
from sas_core.steering.tray import Tray
from sas_core.steering.units import UNITS, Axis, Marks, Sizes, Unit, marks_of

SCALE_KEY = "scale"
_UNIT_KEY = "tray.unit"
_SCALE_AXIS = Axis("Strength \u03bb", -3.0, 3.0, widest=(-3.0, 3.0))
_MOST_OPEN = 6
"""With more items only the focused one shows its slider."""
_LIST_HEIGHT = 300


def draw_sidebar(engine: Engine) -> None:
    """Runs a search for the safe zone at the end, if one was just asked for."""
    with st.sidebar:
        tray = get_tray(engine)
        # always, since going to another page clears the address
        write_to_url("tray", tray.to_query(), None)
        _draw_head(tray)
        with st.container(gap="xsmall"):
            search = _draw_tray(engine, tray) if len(tray) else None
        forget_asked()
        st.divider()
        _draw_loaded(engine)
    if search is not None:
        run_search(engine, search)


def get_scale() -> float:
    """The global lambda that multiplies every strength in the tray."""
    return float(st.session_state.get(SCALE_KEY, 1.0))


def _draw_head(tray: Tray) -> None:
    title, undo = st.columns([3, 1], vertical_alignment="center")
    title.markdown(f"**Steering tray** ({len(tray)})")
    undo.button("Undo", on_click=undo_tray, disabled=not can_undo(), type="tertiary", key="tray.undo",
                help="Undo the last change of the tray")  # fmt: skip
    if not len(tray):
        st.caption("Empty: nothing is steered. Add latents on Contrast or a saved vector on Vectors.")


def _draw_tray(engine: Engine, tray: Tray) -> Search | None:
    start_from_url(SCALE_KEY, "scale", 1.0)
    st.session_state[SCALE_KEY] = clamp(st.session_state[SCALE_KEY], _SCALE_AXIS.low, _SCALE_AXIS.high)
    unit = _draw_unit()
    names = names_of(engine, [item.indices[0] for item in tray if item.is_latent])
    views = [
        view_item(engine, item, unit, get_scale(), names.get(item.indices[0]) if item.is_latent else None)
        for item in tray
    ]
    chosen = focused(tray)
    view = next(view for view in views if view.item.key == chosen)
    draw_keys(view.item, view.axis)
    draw_key_help()
    draw = _draw_all if len(tray) <= _MOST_OPEN else _draw_one_of_many
    search = draw(engine, views, chosen)
    return _draw_scale(engine, tray) or search


def _draw_unit() -> Unit:
    start_from_url(_UNIT_KEY, "unit", "strength", tuple(UNITS))
    unit = st.segmented_control(
        "Read strengths as", list(UNITS), format_func=UNITS.get, required=True, key=_UNIT_KEY,
        persist_state="session",
        help="Strength multiplies the item's values. \u00d7 typical: in multiples of its latents' typical "
        "activation. Share: the added length over the residual's typical length.",
    )  # fmt: skip
    write_to_url("unit", unit, "strength")
    return unit


def _draw_all(engine: Engine, views: list[ItemView], chosen: str | None) -> Search | None:
    searches = [draw_item(engine, view, place, focused=view.item.key == chosen)
                for place, view in enumerate(views)]  # fmt: skip
    return next(filter(None, searches), None)


def _draw_one_of_many(engine: Engine, views: list[ItemView], chosen: str | None) -> Search | None:
    """The focused item in full above a list of lines that scrolls by itself."""
    place, view = next((at, view) for at, view in enumerate(views) if view.item.key == chosen)
    search = draw_item(engine, view, place, focused=True)
    with st.container(height=_LIST_HEIGHT, gap=None):
        for other in views:
            draw_line(other, focused=other is view)
    return search


def _draw_scale(engine: Engine, tray: Tray) -> Search | None:
    st.slider(
        "Strength \u03bb of the whole tray", _SCALE_AXIS.low, _SCALE_AXIS.high, step=0.05, key=SCALE_KEY,
        help="Multiplies every strength above. Negative values suppress; 0 is the unsteered model.",
    )  # fmt: skip
    write_to_url("scale", get_scale(), 1.0)
    try:
        return _draw_whole(engine, tray)
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _draw_whole(engine: Engine, tray: Tray) -> Search | None:
    """What all items that are on add together, and how far they may go."""
    share = engine.added_share(tray.steering(get_scale()))
    half = half_norm_scale(engine.dictionary, engine.typical_norm, tray.steering(1.0))
    subject = tray_subject(tray, get_scale())
    found = found_zone(engine, subject)
    marks = marks_of(_SCALE_AXIS, Sizes(half=half), 1.0, found.coherent)
    words = marks_words(_SCALE_AXIS, marks, 1.0)
    if marks != Marks():
        show_html(ruler_html(_SCALE_AXIS, marks, words))
    adds = f"Adds at most {share:.2f} of a typical residual norm; text usually breaks near half of it."
    st.caption(plain(f"{adds} {words}".rstrip()))
    if not acts(subject.steering):
        return None
    return draw_zone(subject, found, _SCALE_AXIS, 1.0, _set_scale)


def _set_scale(scale: float) -> None:
    st.session_state[SCALE_KEY] = scale


def _draw_loaded(engine: Engine) -> None:
    sae, placed = engine.dictionary.identity, engine.placement
    st.caption(
        f"{plain(engine.name)}, {sae.hook_name}, {sae.d_sae:,} latents ({sae.architecture}); "
        f"{placed.device}, {placed.dtype}",
        help=placed.reason,
    )
    if not engine.dictionary.elementwise:
        st.caption("A TopK dictionary: every steered token needs its full encode, which is slower.")
    draw_model_picker()
