"""Which latents are listed: by density, largest activation, label, and membership of a saved vector."""

from dataclasses import replace

import streamlit as st

from pages.shared.atlas.state import new_search
from pages.shared.loaded import get_shelf
from pages.shared.tokens import plain
from sas_core.atlas.types import Filter
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine

_ANY = "any"
_CLASSES = {
    _ANY: "any density",
    "normal": "normal",
    "dense": "dense (at more than 10 % of tokens)",
    "rare": "rare (at less than 1 in 10,000)",
    "dead": "never fired",
}
_LABELS = {_ANY: "labelled or not", "labelled": "labelled by you", "unlabelled": "not labelled by you"}
_KEYS = {
    "density": _ANY, "label": _ANY, "label_text": "", "vector": None, "min_max": None, "max_max": None,
}  # fmt: skip


def draw_filters(engine: Engine) -> Filter:
    """The button that opens the filters, and what they are set to."""
    for name, nothing in _KEYS.items():
        st.session_state.setdefault(_key(name), nothing)
    chosen = sum(st.session_state[_key(name)] != nothing for name, nothing in _KEYS.items())
    with st.popover(f"Filters ({chosen})" if chosen else "Filters", icon=":material/filter_alt:"):
        density = _select("Density", "density", _CLASSES)
        low, high = st.columns(2)
        least = _number(low, "Largest activation from", "min_max")
        most = _number(high, "to", "max_max")
        label = _select("Label", "label", _LABELS)
        text = st.text_input(
            "Your label contains", key=_key("label_text"), persist_state="session", on_change=new_search
        )
        only = _draw_vector(engine)
        st.button("Clear filters", key="atlas.filter.clear", on_click=clear_filters, disabled=not chosen)
    return Filter(
        density_class=None if density == _ANY else density, min_max=least, max_max=most, label=label,
        label_text=text.strip() or None, only=only,
    )  # fmt: skip


def clear_filters() -> None:
    """List every latent again. Fit for widget callbacks."""
    for name, nothing in _KEYS.items():
        st.session_state[_key(name)] = nothing
    new_search()


def among(chosen: Filter, indices: tuple[int, ...]) -> Filter:
    """The filter, narrowed to these latents."""
    if chosen.only is None:
        return replace(chosen, only=indices)
    allowed = set(chosen.only)
    return replace(chosen, only=tuple(index for index in indices if index in allowed))


def _key(name: str) -> str:
    return f"atlas.filter.{name}"


def _select(title: str, name: str, options: dict[str, str]) -> str:
    return st.selectbox(
        title, list(options), format_func=options.get, key=_key(name), persist_state="session",
        on_change=new_search,
    )  # fmt: skip


def _number(place: st.delta_generator.DeltaGenerator, title: str, name: str) -> float | None:
    return place.number_input(
        title, min_value=0.0, value=None, key=_key(name), persist_state="session", on_change=new_search,
        placeholder="any",
    )  # fmt: skip


def _draw_vector(engine: Engine) -> tuple[int, ...] | None:
    """Latents of a saved vector; only vectors of the loaded SAE are offered."""
    try:
        shelf = get_shelf()
        sha = engine.dictionary.identity.sha256
        names = [item.name for item in shelf.list() if item.sae_sha256 == sha]
        if st.session_state[_key("vector")] not in names:
            st.session_state[_key("vector")] = None
        name = st.selectbox(
            "In a saved vector", names, key=_key("vector"), persist_state="session", on_change=new_search,
            placeholder="any",
        )  # fmt: skip
        return None if name is None else tuple(f.index for f in shelf.get(name).features)
    except SteerscopeError as error:
        st.caption(plain(str(error)))
        return None
