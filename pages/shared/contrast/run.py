"""From chosen pairs to a ranking: what was asked, what is shown, and the run from one to the other.

A finished ranking stays in the session with the request it answers, so that changed pairs show as a
difference between the two and not as an empty page.
"""

import time
from contextlib import closing
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared.contrast.source import Chosen
from pages.shared.header import session_id
from pages.shared.tokens import plain
from sas_core.contrast.collect import Progress
from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.positions import POSITIONS, Position, resolve_position
from sas_core.contrast.ranking import Ranking, rank
from sas_core.contrast.stored import stored_ranking
from sas_core.errors import Cancelled, SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.steering.spec import canonical_key

RESTORED = ("contrast.source", "contrast.behaviour", "contrast.way", "contrast.position", "contrast.format")
_AUTO, _CHAT, _RAW = "Auto", "Chat", "Raw"


@dataclass(frozen=True)
class Asked:
    """One complete question to the model; equal keys give equal rankings."""

    title: str
    pairs: PairSet
    heldout: PairSet | None
    position: Position
    chat: bool
    key: str

    @property
    def texts(self) -> int:
        return 2 * (len(usable(self.pairs)) + (len(self.heldout) if self.heldout else 0))


@dataclass(frozen=True, eq=False)
class Computed:
    """A ranking, what it answers, and the choices on the page that led to it."""

    asked: Asked
    ranking: Ranking
    widgets: dict[str, object]


def draw_how(engine: Engine, chosen: Chosen) -> Asked:
    """Where each completion is read, and in what format the prompt is put."""
    for key in ("contrast.position", "contrast.format"):
        st.session_state.setdefault(key, "auto" if key == "contrast.position" else _AUTO)
    left, right = st.columns([1, 1])
    position = left.selectbox(
        "Read at", ["auto", *POSITIONS], key="contrast.position", persist_state="session",
        help="auto: the answer letter for multiple choice, completion-mean for free text. Both completion- "
        "ways take the mean over its tokens: -mean counts a latent as active when it fires at any of them, "
        "-often from a quarter of them on",
    )  # fmt: skip
    formats = [_AUTO, _CHAT, _RAW] if engine.turns.has_template else [_AUTO, _RAW]
    form = right.selectbox(
        "Prompt as", formats, key="contrast.format", persist_state="session",
        help="Auto: the model's chat template where it has one, else raw text",
    )  # fmt: skip
    chat = engine.turns.has_template if form == _AUTO else form == _CHAT
    return _asked(engine, chosen, resolve_position(position, chosen.pairs.form), chat)


def _asked(engine: Engine, chosen: Chosen, position: Position, chat: bool) -> Asked:
    heldout = chosen.heldout
    key = canonical_key(
        [engine.name, engine.placement.dtype, engine.dictionary.identity.sha256, chosen.pairs.sha256,
         heldout.sha256 if heldout else "", position, chat]
    )  # fmt: skip
    return Asked(chosen.title, chosen.pairs, heldout, position, chat, key)


def get_computed() -> Computed | None:
    """The ranking on the page, of whatever request."""
    return st.session_state.get("ranking")


def look_in_store(engine: Engine, asked: Asked) -> str | None:
    """Take the ranking from the store when all of it is there. Returns a fault of the pairs, if any."""
    computed = get_computed()
    if computed is not None and computed.asked.key == asked.key:
        return None
    looked = st.session_state.get("contrast.looked")
    if looked is None or looked[0] != asked.key:
        looked = (asked.key, _look(engine, asked))
        st.session_state["contrast.looked"] = looked
    return looked[1]


def _look(engine: Engine, asked: Asked) -> str | None:
    try:
        found = stored_ranking(engine, asked.pairs, asked.position, heldout=asked.heldout, chat=asked.chat)
    except SteerscopeError as error:
        return str(error)
    if found is not None:
        _keep(asked, found)
    return None


def _keep(asked: Asked, ranking: Ranking) -> None:
    widgets = {key: st.session_state[key] for key in RESTORED if key in st.session_state}
    st.session_state["ranking"] = Computed(asked, ranking, widgets)


def restore_pairs() -> None:
    """Put the left column back to what the shown ranking was computed from. For a widget's callback."""
    computed = get_computed()
    if computed is not None:
        for key, value in computed.widgets.items():
            st.session_state[key] = value
        st.query_params.pop("behaviour", None)


def start(key: str) -> None:
    """For a button's callback."""
    st.session_state["contrast.running"] = key
    st.session_state.pop("contrast.run_note", None)


def stop() -> None:
    """For a button's callback; what is coded so far stays stored."""
    st.session_state["contrast.running"] = None
    st.session_state["contrast.run_note"] = "Stopped. What was read is kept; Compute goes on from there."


def is_running(asked: Asked) -> bool:
    """Whether this very request was started; other pairs do not start by being chosen."""
    return st.session_state.get("contrast.running") == asked.key


def draw_compute(asked: Asked, fault: str | None) -> DeltaGenerator:
    """Compute or Stop, and the place where progress is shown."""
    computed = get_computed()
    current = computed is not None and computed.asked.key == asked.key
    # one slot for both: while a run goes on, what it leaves undrawn would stay on the page
    slot = st.empty()
    if is_running(asked) and not current:
        slot.button("Stop", icon=":material/stop:", key="contrast.stop", on_click=stop, width="stretch")
    elif not current:
        slot.button("Compute", type="primary", icon=":material/play_arrow:", key="contrast.compute",
                  on_click=start, args=(asked.key,), width="stretch", disabled=fault is not None)  # fmt: skip
    place = st.empty()
    if fault is not None:
        place.error(plain(fault), icon=":material/error:")
    elif not current and st.session_state.get("contrast.run_note"):
        place.info(st.session_state["contrast.run_note"])
    return place


def run(engine: Engine, asked: Asked, place: DeltaGenerator) -> None:
    """Compute the ranking, last thing on the page; reruns it when done, and says why when it is not."""
    try:
        ranking = _run(engine, asked, place)
    except Cancelled:
        return
    except SteerscopeError as error:
        st.session_state["contrast.running"] = None
        place.error(plain(str(error)), icon=":material/error:")
        return
    st.session_state["contrast.running"] = None
    if ranking is not None:
        _keep(asked, ranking)
        st.rerun()


def _run(engine: Engine, asked: Asked, place: DeltaGenerator) -> Ranking | None:
    started, before = time.monotonic(), None
    place.progress(0.0, text="Waiting for the model")
    events = rank(
        engine, asked.pairs, asked.position, heldout=asked.heldout, chat=asked.chat, session=session_id()
    )
    with closing(events):
        for event in events:
            if isinstance(event, Ranking):
                place.progress(1.0, text="Testing every latent that fires")
                _ = event.evidence
                return event
            before = event.done if before is None else before
            place.progress(event.done / event.total, text=_rate(event, before, time.monotonic() - started))
    return None


def _rate(event: Progress, before: int, seconds: float) -> str:
    text = f"{event.done} of {event.total} texts"
    fresh = event.done - before
    if not fresh or seconds < 0.5:
        return text
    left = (event.total - event.done) * seconds / fresh
    return f"{text}, {fresh / seconds:.1f} a second, about {left:.0f} s left"
