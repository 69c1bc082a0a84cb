"""Steer: one prompt, the unsteered and the steered answer side by side, restarted by every move of a slider.

The generation is the last thing this script does: what stands below an interrupted call is never drawn.
"""

from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared.chat.page import draw_chat
from pages.shared.header import open_page
from pages.shared.latent.card import draw_latent_dialog
from pages.shared.sidebar import get_scale
from pages.shared.steer.command import draw_command
from pages.shared.steer.controls import Controls, draw_request_controls
from pages.shared.steer.history import draw_history
from pages.shared.steer.known import draw_again
from pages.shared.steer.lanes import chosen_lanes, draw_lane_choice
from pages.shared.steer.promote import promote, promoted_first
from pages.shared.steer.run import answer
from pages.shared.steer.stage import Stage
from pages.shared.tray.state import get_tray
from pages.shared.url import start_from_url, write_to_url
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Request
from sas_core.steering.operations import acts
from sas_core.steering.spec import Lane
from sas_core.steering.tray import Tray, TrayItem

_ONE, _CHAT = "prompt", "chat"
_WAYS = {_ONE: "One prompt", _CHAT: "Chat"}


def main() -> None:
    engine = open_page("Steer")
    tray = get_tray(engine)
    what, link, way = st.columns([6, 1.2, 1.8], vertical_alignment="center")
    _draw_what_this_is(tray, what, link)
    draw_latent_dialog(engine)
    with way:
        chosen = _way()
    if chosen == _CHAT:
        draw_chat(engine, tray)
    else:
        _draw_one_prompt(engine, tray)


def _way() -> str:
    start_from_url("steer.way", "way", _ONE, tuple(_WAYS))
    way = st.segmented_control(
        "One prompt or a talk", list(_WAYS), format_func=_WAYS.get, required=True, key="steer.way",
        label_visibility="collapsed", persist_state="session",
    )  # fmt: skip
    write_to_url("way", way, _ONE)
    return way


def _draw_one_prompt(engine: Engine, tray: Tray) -> None:
    controls = draw_request_controls(engine)
    with controls.tools:
        draw_again()
    # filled out of their order: the widgets decide what the lanes above them are
    pair, choice, rows, history = (st.container() for _ in range(4))
    with choice:
        draw_lane_choice()
    with history:
        draw_history(engine)
    try:
        with choice:
            request = _request(engine, tray, controls)
    except SteerscopeError as error:
        pair.error(str(error), icon=":material/error:")
        return
    with controls.tools:
        draw_command(request)
    stage = Stage(request, partial(promote, request), pair, rows)
    answer(engine, request, stage, asked=controls.run)


def _request(engine: Engine, tray: Tray, controls: Controls) -> Request:
    """The main pair first, then what was chosen beside it; without steering the unsteered lane alone."""
    steering = tray.steering(get_scale(), controls.nonlinearity, controls.tokens)
    lanes = [Lane("unsteered")]
    if acts(steering):
        lanes.append(Lane(_lane_name(tray, steering.scale), steering))
    if tray.steering(1.0).terms:
        # a strip and its controls are about the tray, also while its strength is 0
        lanes += chosen_lanes(engine, steering)
    return Request(
        controls.prompt, promoted_first(tuple(lanes)), controls.sampling, controls.chat, controls.system
    )


def _draw_what_this_is(tray: Tray, what: DeltaGenerator, link: DeltaGenerator) -> None:
    vectors = [item for item in tray if item.on and not item.is_latent]
    if len(vectors) == 1 and len(tray) == 1:
        count = len(vectors[0].indices)
        what.text(
            f"{count} SAE latents of \u201c{vectors[0].label}\u201d, which tell the two sides of its pairs "
            "apart, are turned at every generated token. Move a slider: the answer on the right "
            "follows."
        )
        _link(link, "See them", behaviour=vectors[0].label)
    elif len(tray):
        what.text(
            "The tray's latents are steered at every generated token. Move a slider: the answer follows."
        )
    else:
        what.text("Find the latents behind a behaviour, put them in the tray, and turn them.")
        _link(link, "Find latents")


def _link(place: DeltaGenerator, label: str, **query: str) -> None:
    place.page_link(
        "pages/contrast.py", label=label, icon=":material/arrow_forward:", query_params=query or None
    )


def _mode(item: TrayItem) -> str:
    return "" if item.mode == "add" else f" {item.mode}"


def _lane_name(tray: Tray, scale: float) -> str:
    names = [f"{item.label}{_mode(item)} {scale * item.strength:+.2f}" for item in tray if item.on]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"steered: {', '.join(names[:3])}{more}"


main()
