"""The answer recorded in a vector file, and the same run done again here."""

from contextlib import closing

import streamlit as st

from pages.shared.header import session_id
from pages.shared.tokens import plain, show_html, tokens_html
from sas_core.errors import Cancelled, SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Done, Event, Update, Waiting
from sas_core.vectors.fields import VectorFile
from sas_core.vectors.replay import Replay, count_agreeing, recorded_lanes, replay_request

_REPLAYS = "vectors.replays"


def draw_replay(engine: Engine, vector: VectorFile, *, usable: bool) -> None:
    if vector.verify is None:
        st.text("The file carries no recorded run, so there is nothing to reproduce.")
        return
    block = vector.verify
    st.caption(
        f"Greedy, at strength {block.scale:g}, {block.max_new_tokens} tokens; recorded on "
        f"{plain(block.device)} in {block.dtype}. The prompt:"
    )
    st.text(block.prompt)
    _draw_lanes(engine, vector, usable)
    pressed = st.button(
        "Reproduce", key=f"vectors.reproduce.{vector.name}", icon=":material/replay:", disabled=not usable,
        help="Run it again and count the tokens that agree" if usable else "It does not fit what is loaded",
    )  # fmt: skip
    if pressed:
        run_replay(engine, vector)
    found = stored_replay(engine, vector)
    if found:
        draw_outcome(found)


def run_replay(engine: Engine, vector: VectorFile) -> None:
    """Do it, with progress and Stop, and keep the outcome for `stored_replay`. Errors become a sentence."""
    place = st.container()
    stop = place.empty()
    stop.button("Stop", key="vectors.stop", icon=":material/stop:")
    bar = place.progress(0.0, text="Reproducing the recorded answer")
    try:
        with closing(engine.stream(replay_request(vector), session_id())) as events:
            for event in events:
                bar.progress(*_progress(event, vector))
                if isinstance(event, Done):
                    done = event
        # after the run has given the engine back
        _store(engine, vector, count_agreeing(engine, vector, done))
    except Cancelled:
        # stopped by the user or by a newer request of the same session: nothing to say
        pass
    except SteerscopeError as error:
        place.error(plain(str(error)), icon=":material/error:")
    bar.empty()
    stop.empty()


def stored_replay(engine: Engine, vector: VectorFile) -> Replay | None:
    """The outcome in this session for exactly this file on this engine."""
    return st.session_state.get(_REPLAYS, {}).get(_key(engine, vector))


def draw_outcome(found: Replay) -> None:
    if found.whole:
        st.success(found.sentence(), icon=":material/check:")
        return
    if found.rounded:
        st.info(
            f"{found.sentence()} The rest follows a token that rounding decides:", icon=":material/check:"
        )
    else:
        st.warning(f"{found.sentence()} What may explain the rest:", icon=":material/difference:")
    for reason in found.why:
        st.text(reason)


def _draw_lanes(engine: Engine, vector: VectorFile, usable: bool) -> None:
    lanes = recorded_lanes(engine, vector) if usable else None
    if lanes is None:
        st.text("The answer is recorded as tokens of another model, so it cannot be shown as text here.")
        return
    for column, title, lane in zip(st.columns(2), ("Unsteered", "Steered"), lanes, strict=True):
        with column.container(border=True, height="stretch"):
            st.caption(title)
            show_html(tokens_html(lane.pieces, mark=lane.mark))


def _progress(event: Event, vector: VectorFile) -> tuple[float, str]:
    if isinstance(event, Waiting):
        return 0.0, f"Waiting: {event.position} before this one"
    made = max((len(lane.token_ids) for lane in event.lanes), default=0) if isinstance(event, Update) else 0
    length = vector.verify.max_new_tokens if vector.verify else 1
    return (1.0 if isinstance(event, Done) else made / length), "Reproducing the recorded answer"


def _store(engine: Engine, vector: VectorFile, replay: Replay) -> None:
    st.session_state.setdefault(_REPLAYS, {})[_key(engine, vector)] = replay


def _key(engine: Engine, vector: VectorFile) -> tuple[str, ...]:
    loaded = engine.dictionary.identity.sha256, engine.placement.device, engine.placement.dtype
    return (vector.name, vector.created_at, engine.name, *loaded)
