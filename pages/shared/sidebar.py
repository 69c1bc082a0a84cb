"""The sidebar: the tray with a slider and a number per item, the global strength, and what is loaded."""

import streamlit as st

from pages.shared.latent_state import open_latent
from pages.shared.model_picker import draw_model_picker
from pages.shared.tokens import plain
from pages.shared.tray_state import can_undo, get_tray, set_tray, strength_key, undo_tray
from pages.shared.url import clamp, start_from_url, write_to_url
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.steering.spec import LARGEST_STRENGTH
from sas_core.steering.tray import Tray, TrayItem

SCALE_KEY = "scale"
_REACH = 8.0
_SCALE_REACH = 3.0


def draw_sidebar(engine: Engine) -> None:
    with st.sidebar:
        tray = get_tray(engine)
        # always, since going to another page clears the address
        write_to_url("tray", tray.to_query(), None)
        _draw_head(tray)
        for item in tray:
            _draw_item(item)
        if len(tray):
            _draw_scale(engine, tray)
        st.divider()
        _draw_loaded(engine)


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


def _draw_item(item: TrayItem) -> None:
    key = strength_key(item.key)
    exact = f"{key}.exact"
    # both widgets show the tray, whoever changed it; their callbacks change the tray before this runs
    st.session_state[key] = max(-_REACH, min(_REACH, item.strength))
    st.session_state[exact] = clamp(item.strength, -LARGEST_STRENGTH, LARGEST_STRENGTH)

    def moved(source: str) -> None:
        set_tray(st.session_state["tray"].set_strength(item.key, float(st.session_state[source])))

    if item.is_latent:
        name, card, remove = st.columns([6, 3, 2], vertical_alignment="center")
        name.markdown(plain(item.label))
        card.button("Card", key=f"card.{item.key}", type="tertiary", on_click=open_latent,
                    args=(item.indices[0],), help=f"What {plain(item.label)} means")  # fmt: skip
    else:
        name, remove = st.columns([5, 1], vertical_alignment="center")
        name.markdown(f"{plain(item.label)} :gray[{len(item.indices)} latents]")
    remove.button("", icon=":material/close:", key=f"remove.{item.key}", type="tertiary",
                  help=f"Remove {item.label} from the tray",
                  on_click=lambda: set_tray(st.session_state["tray"].remove(item.key)))  # fmt: skip
    slider, number = st.columns([3, 2], vertical_alignment="bottom")
    slider.slider(f"Strength of {item.label}", -_REACH, _REACH, step=0.1, key=key, on_change=moved,
                  args=(key,), label_visibility="collapsed")  # fmt: skip
    number.number_input(f"Exact strength of {item.label}", -LARGEST_STRENGTH, LARGEST_STRENGTH, step=0.1,
                        format="%.2f", key=exact,
                        on_change=moved, args=(exact,), label_visibility="collapsed")  # fmt: skip


def _draw_scale(engine: Engine, tray: Tray) -> None:
    start_from_url(SCALE_KEY, "scale", 1.0)
    st.session_state[SCALE_KEY] = clamp(st.session_state[SCALE_KEY], -_SCALE_REACH, _SCALE_REACH)
    st.slider(
        "Strength λ of the whole tray", -_SCALE_REACH, _SCALE_REACH, step=0.05, key=SCALE_KEY,
        help="Multiplies every strength above. Negative values suppress; 0 is the unsteered model.",
    )  # fmt: skip
    write_to_url("scale", get_scale(), 1.0)
    try:
        share = engine.added_share(tray.steering(get_scale()))
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.caption(f"Adds at most {share:.2f} of a typical residual norm; text usually breaks near 0.5.")


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
