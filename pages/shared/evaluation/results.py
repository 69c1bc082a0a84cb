"""An open sweep: the question, the answer in sentences, the plots, one cell in full, and the downloads."""

import streamlit as st

from pages.shared.evaluation.cell import draw_cell
from pages.shared.evaluation.downloads import draw_downloads
from pages.shared.evaluation.in_steer import follow
from pages.shared.evaluation.plots import draw_plots
from pages.shared.evaluation.running import draw_resume, is_running
from pages.shared.evaluation.state import close_sweep
from pages.shared.loaded import get_sweep_book, get_sweep_job
from pages.shared.tokens import plain
from sas_core.contrast.shipped import load_behaviour
from sas_core.errors import BadInput, SteerscopeError
from sas_core.evaluation.plots import chance_note
from sas_core.evaluation.sweep.outcome import SweepResult
from sas_core.evaluation.sweep.report.story import findings
from sas_core.evaluation.sweep.spec import SweepSpec
from sas_core.steering.engine import Engine

_SECONDS = 5.0
_MOST_SAID = 2


def draw_results(engine: Engine, key: str, *, live: bool = False) -> None:
    """All of it, of a finished sweep or of what there is so far."""
    try:
        result = get_sweep_book().result(key)
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.button("Close it", key="evaluate.close", on_click=close_sweep)
        return
    _draw_question(result)
    _draw_answer(result)
    if not result.complete:
        draw_resume(engine, result)
    draw_plots(result)
    draw_cell(engine, result, live=live)
    draw_downloads(result)


@st.fragment(run_every=_SECONDS)
def draw_live(engine: Engine, key: str) -> None:
    """The same while the sweep runs: drawn anew by itself every few seconds, and whole at its end."""
    follow()
    if not is_running(key):
        st.rerun()
    if get_sweep_job().progress is None:
        # its first line is not in the book yet
        st.caption("Getting ready")
        return
    draw_results(engine, key, live=True)


def _draw_question(result: SweepResult) -> None:
    st.subheader(
        f"Does \u201c{plain(_what(result.spec))}\u201d move what it should, and what does it cost?",
        anchor=False,
    )
    made = result.provenance
    heldout = made.get("heldout") or {}
    begun = str(made.get("begun", ""))[:16].replace("T", " ")
    st.caption(
        plain(
            f"{result.spec.name}. {made.get('model', '')}, {heldout.get('count', 0)} held-out pairs of "
            f"{heldout.get('name', '')}; begun {begun} UTC."
        )
    )


def _what(spec: SweepSpec) -> str:
    """What steered, by the name it has on the other pages."""
    if spec.behaviour is None:
        return spec.vector or spec.name
    try:
        return load_behaviour(spec.behaviour).title
    except BadInput:
        # shipped by an older version
        return spec.behaviour


def _draw_answer(result: SweepResult) -> None:
    remarks = tuple(filter(None, (chance_note(result), *result.notes)))
    said = [sentence for sentence in findings(result) if sentence not in remarks]
    if not said and not result.complete:
        st.caption("The answer comes when some pairs of both halves are measured.")
    with st.container(border=bool(said or remarks), gap="xsmall"):
        for sentence in said[:_MOST_SAID]:
            st.markdown(plain(sentence))
        for remark in remarks:
            st.caption(f":material/info: {plain(remark)}")
        if said[_MOST_SAID:]:
            with st.expander(f"{len(said) - _MOST_SAID} more, of the other figures", type="compact"):
                for sentence in said[_MOST_SAID:]:
                    st.markdown(plain(sentence))
