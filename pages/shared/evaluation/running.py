"""The sweep in the background: begin, stop, go on, and how far it is. One at a time, seen by all."""

import streamlit as st

from pages.shared.evaluation.state import get_open, open_sweep
from pages.shared.loaded import get_atlas, get_shelf, get_sweep_book, get_sweep_job
from pages.shared.tokens import plain
from sas_core.errors import BadInput, SteerscopeError
from sas_core.evaluation.sweep.material import Material, material_of
from sas_core.evaluation.sweep.outcome import SweepResult
from sas_core.evaluation.sweep.rows import SweepLine
from sas_core.evaluation.sweep.run import sweep_key
from sas_core.evaluation.sweep.spec import SweepSpec
from sas_core.steering.engine import Engine

_PROBLEM, _SEEN = "evaluate.problem", "evaluate.seen"
_SECONDS = 1.5


def find_material(spec: SweepSpec) -> Material:
    """What the spec names, read from the shelf and from files. Raises BadInput for what cannot be used."""
    return material_of(spec, get_shelf().get)


def read_lines() -> tuple[SweepLine, ...] | None:
    """Every sweep, the newest first; None, and a sentence in place, where the file cannot be read."""
    try:
        return get_sweep_book().lines()
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def start(engine: Engine, spec: SweepSpec) -> None:
    """Begin, or go on with, this sweep and open it. For widget callbacks."""
    try:
        key = get_sweep_job().start(
            engine, spec, find_material(spec), get_sweep_book(), densities=_densities(engine, spec)
        )
    except SteerscopeError as error:
        st.session_state[_PROBLEM] = str(error)
        return
    st.session_state.pop(_SEEN, None)
    open_sweep(key)


def resume(engine: Engine, key: str) -> None:
    """Go on with a sweep that was stopped. For widget callbacks."""
    try:
        spec = get_sweep_book().result(key).spec
        if sweep_key(engine, spec, find_material(spec)) != key:
            raise BadInput(
                "This sweep was begun with another model, dictionary, vector or pairs than are here now, or "
                "by an earlier version; load those, or run its spec again as a new sweep."
            )
    except SteerscopeError as error:
        st.session_state[_PROBLEM] = str(error)
        return
    start(engine, spec)


def is_running(key: str) -> bool:
    """Whether this very sweep runs now."""
    job = get_sweep_job()
    return job.active and job.key == key


def draw_problem() -> None:
    """Why a sweep could not be begun, once, where the button is."""
    problem = st.session_state.pop(_PROBLEM, None)
    if problem is not None:
        st.error(plain(problem), icon=":material/error:")


def draw_progress(engine: Engine) -> None:
    """A strip while a sweep runs, whoever began it; where it broke off, why, until it is dismissed."""
    job = get_sweep_job()
    if job.active:
        _draw_running()
    elif job.state == "failed" and st.session_state.get(_SEEN) != job.key:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.error(plain(job.error or ""), icon=":material/error:")
            st.button("Dismiss", key="evaluate.dismiss", type="tertiary", on_click=_dismiss, args=(job.key,))


@st.fragment(run_every=_SECONDS)
def _draw_running() -> None:
    job = get_sweep_job()
    if not job.active:
        st.rerun()
    at = job.progress
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        if at is None:
            share, text = 0.0, "Getting ready"
        else:
            share = at.done / at.total if at.total else 0.0
            first = f" {at.waiting} other requests go first." if at.waiting else ""
            text = f"{at.doing}: {at.done} of {at.total} steps.{first}"
        st.progress(min(share, 1.0), text=plain(text))
        if at is not None and job.key != get_open():
            st.button("Show it", key="evaluate.show", on_click=open_sweep, args=(job.key,))
        st.button(
            "Stopping" if job.state == "stopping" else "Stop", icon=":material/stop:", key="evaluate.stop",
            on_click=job.stop, disabled=job.state == "stopping", help="What is measured so far is kept",
        )  # fmt: skip


def draw_resume(engine: Engine, result: SweepResult) -> None:
    """Of a sweep that is not finished and does not run: how far it is, and the way on."""
    if is_running(result.key):
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.text(f"Stopped after {result.done} of {result.total} steps. What is measured is kept.")
        st.button(
            "Resume", key="evaluate.resume", icon=":material/play_arrow:", type="primary",
            disabled=get_sweep_job().active, on_click=resume, args=(engine, result.key),
        )  # fmt: skip


def _dismiss(key: str) -> None:
    st.session_state[_SEEN] = key


def _densities(engine: Engine, spec: SweepSpec) -> list[float] | None:
    """How often each latent fires, for the control that needs it; without an atlas the cells say so."""
    if "random-latents" not in spec.controls:
        return None
    atlas = get_atlas(engine)
    return None if atlas is None else atlas.densities().tolist()
