"""What is loaded, for all pages: the one seam to the engine and the shelf. Cached by plain strings."""

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sas_core.errors import SteerscopeError, Unavailable
from sas_core.model.demo import demo_ready, prepare_demo
from sas_core.model.presets import PRESETS, Preset, custom_preset, get_preset, load_engine
from sas_core.paths import PACKAGE, cache_dir
from sas_core.steering.engine import Engine
from sas_core.vectors.shelf import Shelf


@dataclass(frozen=True)
class EngineChoice:
    """A preset by name, or a model with its SAE (`preset` is then `custom`)."""

    preset: str = "demo"
    model: str = ""
    release: str = ""
    sae_id: str = ""
    sae_path: str = ""
    device: str = "auto"
    dtype: str = "auto"

    def resolve(self) -> Preset:
        if self.preset != "custom":
            return get_preset(self.preset)
        return custom_preset(
            self.model, release=self.release or None, sae_id=self.sae_id or None,
            sae_path=self.sae_path or None,
        )  # fmt: skip


def default_choice() -> EngineChoice:
    """From the URL, else from the environment, else the demo."""
    asked = st.query_params.get("preset") or os.environ.get("STEERSCOPE_PRESET") or "demo"
    return EngineChoice(
        preset=asked if asked in PRESETS else "demo",
        device=os.environ.get("STEERSCOPE_DEVICE", "auto"),
        dtype=os.environ.get("STEERSCOPE_DTYPE", "auto"),
        sae_path=os.environ.get("STEERSCOPE_SAE_PATH", ""),
    )


def current_choice() -> EngineChoice:
    return st.session_state.setdefault("engine_choice", default_choice())


@st.cache_resource(max_entries=1, show_spinner=False)
def _load(choice: EngineChoice) -> Engine:
    return load_engine(
        choice.resolve(), device=choice.device, dtype=choice.dtype, sae_path=choice.sae_path or None
    )


def get_engine() -> Engine:
    """The shared engine; shows what happens while it loads. Stops the page with a sentence on failure."""
    choice = current_choice()
    place = st.empty()
    try:
        if choice.preset == "demo" and demo_ready() is None:
            _prepare_demo(place)
        with place, st.spinner(f"Loading {choice.model or PRESETS[choice.preset].title} ..."):
            engine = _load(choice)
    except SteerscopeError as error:
        _refused(error, choice)
    place.empty()
    return engine


def _prepare_demo(place: DeltaGenerator) -> None:
    for step in prepare_demo():
        place.progress(step.done, text=f"First start: {step.sentence}")


def _refused(error: SteerscopeError, choice: EngineChoice) -> None:
    st.error(str(error), icon=":material/error:")
    if choice.preset != "demo" or choice.sae_path:
        if st.button("Use the demo model instead", type="primary"):
            st.session_state["engine_choice"] = EngineChoice()
            st.query_params.pop("preset", None)
            st.rerun()
    elif isinstance(error, Unavailable) and st.button("Try again", type="primary"):
        st.rerun()
    st.stop()


def shelf_path() -> Path:
    """The shelf's file."""
    return cache_dir() / "shelf.db"


@st.cache_resource(max_entries=1, show_spinner=False)
def get_shelf() -> Shelf:
    """Saved vectors of this machine; the shipped ones are put there once."""
    shelf = Shelf(shelf_path())
    shelf.seed(PACKAGE / "vectors" / "shipped")
    return shelf
