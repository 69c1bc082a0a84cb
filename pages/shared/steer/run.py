"""Run a request or show what is known of it: recorded, finished, stopped, or to be generated now.

What was shown last is kept in the session, so that other pages, a colour switch or Stop lose nothing, and
of a request only the lanes that are not there yet are generated.
"""

import time
from dataclasses import dataclass

import streamlit as st

from pages.shared.loaded import get_shelf
from pages.shared.steer.history import keep, recall
from pages.shared.steer.known import forget_if_asked, known_lanes, lane_keys, remember
from pages.shared.steer.receipt import draw_receipt
from pages.shared.steer.stage import Stage
from pages.shared.steer.stream import Lanes, rate_sentence, stream_lanes, token_count
from sas_core.errors import BadInput, Cancelled, SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Request
from sas_core.steering.tray import Tray
from sas_core.vectors.recorded import recorded_answer


@dataclass(frozen=True)
class Shown:
    """The lanes on the page, what decided each, and how they came there."""

    keys: tuple[str, ...]
    lanes: Lanes
    status: str
    sentence: str = ""


def answer(engine: Engine, request: Request, stage: Stage, *, asked: bool) -> None:
    """Fill the stage: generate when asked or when anything but the stop button changed the request."""
    keys = lane_keys(engine, request)
    shown: Shown | None = st.session_state.get("steer.shown")
    stopped = st.session_state.pop("steer.stop_asked", False)
    fresh = forget_if_asked(keys)
    if fresh:
        shown, asked = None, True
    if shown is None and not asked:
        shown = _recorded(engine, request, keys)
    if stopped and shown and shown.keys == keys:
        keep(engine, request, shown.lanes, "stopped", 0.0)
        shown = Shown(keys, shown.lanes, "stopped", "Stopped. Press Run to start again.")
    same = shown is not None and shown.keys == keys
    if asked or not same or shown.status == "running":
        shown = _known(request, keys, asked)
        if shown is None and not fresh:
            shown = _from_history(engine, request, keys)
        shown = shown or _generate(engine, request, stage, keys)
    st.session_state["steer.shown"] = shown
    if shown is None or len(shown.lanes) != len(request.lanes):
        return
    stage.say(shown.sentence)
    stage.draw(shown.lanes)
    draw_receipt(engine, request, shown.lanes, stage, finished=shown.status == "done")


def _recorded(engine: Engine, request: Request, keys: tuple[str, ...]) -> Shown | None:
    """The answer stored with a ready-made vector, if it is the answer to exactly this request."""
    tray: Tray = st.session_state["tray"]
    items = [item for item in tray if item.on]
    if len(items) != 1 or items[0].is_latent:
        return None
    try:
        vector = get_shelf().get(items[0].label)
    except BadInput:
        return None
    lanes = recorded_answer(engine, vector, request)
    if lanes is None:
        return None
    sentence = (
        f"Recorded with the vector: {engine.name} wrote this at strength {lanes[1].scale:+g}. "
        "Move a slider or press Run to answer live."
    )
    return Shown(keys, lanes, "recorded", sentence)


def _known(request: Request, keys: tuple[str, ...], asked: bool) -> Shown | None:
    """Every lane is there already: nothing to generate, and the page says so."""
    known = known_lanes(request, keys)
    if len(known) < len(request.lanes):
        return None
    # short: beside it stands what the tokens are coloured by
    again = " Compute again repeats them." if asked else ""
    return Shown(keys, tuple(known[i] for i in sorted(known)), "done", f"All lanes kept from before.{again}")


def _from_history(engine: Engine, request: Request, keys: tuple[str, ...]) -> Shown | None:
    """The answer of an identical run, of another session or an earlier day."""
    known = recall(engine, request)
    if known is None:
        return None
    remember(keys, known.lanes)
    sentence = f"Answered from the history (run {known.run.id}). Compute again repeats it."
    return Shown(keys, known.lanes, "done", sentence)


def _generate(engine: Engine, request: Request, stage: Stage, keys: tuple[str, ...]) -> Shown | None:
    lanes = before = _interrupted(keys)
    if before:
        stage.draw(before)

    def note(now: Lanes) -> None:
        nonlocal lanes
        lanes = now
        st.session_state["steer.shown"] = Shown(keys, lanes, "running")

    started = time.monotonic()
    try:
        stream_lanes(
            engine, request, note=note, show=stage.draw, say=stage.say,
            standing=token_count(before), known=known_lanes(request, keys),
        )  # fmt: skip
    except Cancelled:
        return Shown(keys, lanes, "stopped", "Stopped: a newer request of this session took over.")
    except SteerscopeError as error:
        stage.problem.error(str(error), icon=":material/error:")
        keep(engine, request, lanes, "failed", time.monotonic() - started, str(error))
        return None
    seconds = time.monotonic() - started
    remember(keys, lanes)
    keep(engine, request, lanes, "finished", seconds)
    return Shown(keys, lanes, "done", rate_sentence(lanes, request, seconds))


def _interrupted(keys: tuple[str, ...]) -> Lanes:
    """What stands there of the same request, if a card that was opened or closed interrupted it.

    It is generated again and comes out the same, so it stays until the new text is as long.
    """
    shown: Shown | None = st.session_state.get("steer.shown")
    return shown.lanes if shown and shown.keys == keys and shown.status == "running" else ()
