"""Prompt, Run, Stop and how tokens are chosen. All of it stands outside the part that generates."""

from dataclasses import dataclass

import streamlit as st

from sas_core.settings import setting
from sas_core.steering.engine import Engine
from sas_core.steering.spec import Nonlinearity, Sampling, SteeredTokens

FIRST_PROMPT = "Tell me about your day."
_KEEP = {"persist_state": "session"}
_REGIONS: dict[SteeredTokens, str] = {
    "generated": "generated tokens",
    "after-instruction": "everything after the user's turn",
    "all": "every token but the first",
}
_SIGMAS: dict[Nonlinearity, str] = {
    "relu": "ReLU (the paper's code elsewhere)",
    "jumprelu": "the SAE's own JumpReLU",
    "none": "none (a control)",
}


@dataclass(frozen=True)
class Controls:
    """What the person has set, besides the tray. `run`: the button was pressed in this script run."""

    prompt: str
    run: bool
    chat: bool
    system: str | None
    sampling: Sampling
    tokens: SteeredTokens
    nonlinearity: Nonlinearity


def draw_request_controls(engine: Engine) -> Controls:
    text, buttons = st.columns([6, 1], vertical_alignment="bottom")
    st.session_state.setdefault("prompt", st.query_params.get("prompt", FIRST_PROMPT))
    prompt = text.text_area("Prompt", key="prompt", height=84, **_KEEP)
    with buttons:
        run = st.button("Run", type="primary", width="stretch", icon=":material/play_arrow:", key="steer.run",
                        help="Answer with and without steering")  # fmt: skip
        st.button("Stop", width="stretch", icon=":material/stop:", key="steer.stop", on_click=_stop,
                  help="Stop within one token; what is written stays")  # fmt: skip
    _remember(prompt)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        new_tokens = st.number_input("New tokens", 1, int(setting("max_new_tokens")), 60, step=10,
                                     key="steer.new_tokens", width=130, **_KEEP)  # fmt: skip
        how = st.segmented_control("Choose tokens", ["greedy", "sample"], default="greedy", required=True,
                                   key="steer.how", **_KEEP)  # fmt: skip
        sampling = _sampling(how == "sample", int(new_tokens))
        with st.popover("More", icon=":material/settings:"):
            chat, system = _format(engine)
            tokens = st.selectbox("Steered tokens", list(_REGIONS), format_func=_REGIONS.get,
                                  key="steer.tokens", **_KEEP)  # fmt: skip
            sigma = st.selectbox("Nonlinearity after the edit", list(_SIGMAS), format_func=_SIGMAS.get,
                                 key="steer.sigma", **_KEEP)  # fmt: skip
    return Controls(prompt, run, chat, system, sampling, tokens, sigma)


def _sampling(sample: bool, new_tokens: int) -> Sampling:
    if not sample:
        return Sampling(new_tokens)
    temperature = st.number_input("Temperature", 0.05, 2.0, 0.8, step=0.05, key="steer.temperature",
                                  width=130, **_KEEP)  # fmt: skip
    top_p = st.number_input("Top-p", 0.05, 1.0, 0.95, step=0.05, key="steer.top_p", width=120, **_KEEP)
    seed = st.number_input("Seed", 0, 2**31 - 1, 0, key="steer.seed", width=120, **_KEEP,
                           help="Both lanes share their random draws, so a difference comes from steering")  # fmt: skip
    return Sampling(new_tokens, float(temperature), float(top_p), int(seed))


def _format(engine: Engine) -> tuple[bool, str | None]:
    if not engine.turns.has_template:
        st.caption("This model has no chat template: the prompt is completed as raw text.")
        return False, None
    style = st.segmented_control("Prompt as", ["chat", "raw text"], default="chat", required=True,
                                 key="steer.format", **_KEEP)  # fmt: skip
    system = st.text_input("System prompt (optional)", key="steer.system", **_KEEP)
    return style == "chat", system.strip() or None


def _stop() -> None:
    st.session_state["steer.stop_asked"] = True


def _remember(prompt: str) -> None:
    """Keep the URL in step, so that the address bar is the share link."""
    if prompt != FIRST_PROMPT:
        st.query_params["prompt"] = prompt
    elif "prompt" in st.query_params:
        del st.query_params["prompt"]
    tray = st.session_state.get("tray")
    if tray is not None and st.query_params.get("tray") != tray.to_query():
        st.query_params["tray"] = tray.to_query()
