"""Choosing another model and SAE: a preset, or any pair of sae-lens's registry, or local folders."""

import streamlit as st

from pages.shared.loaded import EngineChoice, current_choice
from sas_core.model.presets import PRESETS

_OTHER = "another model or SAE"


def draw_model_picker() -> None:
    with st.popover("Change model", icon=":material/swap_horiz:"):
        names = [*PRESETS, _OTHER]
        now = current_choice().preset
        name = st.selectbox("Preset", names, index=names.index(now) if now in names else len(names) - 1,
                            key="picker.preset")  # fmt: skip
        choice = _custom() if name == _OTHER else _preset(name)
        if st.button("Load", type="primary", key="picker.load"):
            _switch(choice)


def _preset(name: str) -> EngineChoice:
    preset = PRESETS[name]
    size = f"; downloads about {preset.download_gb:g} GB once" if preset.download_gb else ""
    st.caption(f"{preset.title}: {preset.note}{size}.")
    return EngineChoice(name)


def _custom() -> EngineChoice:
    model = st.text_input("Model (hub name or local folder)", key="picker.model")
    release = st.text_input("SAE release in sae-lens's registry", key="picker.release")
    sae_id = st.text_input("SAE id", key="picker.sae_id")
    folder = st.text_input("or a local SAE folder", key="picker.sae_path")
    return EngineChoice("custom", model.strip(), release.strip(), sae_id.strip(), folder.strip())


def _switch(choice: EngineChoice) -> None:
    """The tray belongs to the old model's latents, so it goes; its vectors stay on the shelf."""
    st.session_state["engine_choice"] = choice
    for key in ("tray", "tray_history", "ranking"):
        st.session_state.pop(key, None)
    st.query_params.clear()
    if choice.preset not in ("demo", "custom"):
        st.query_params["preset"] = choice.preset
    st.rerun()
