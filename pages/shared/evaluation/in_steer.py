"""From a cell to page Steer: its vector in the tray at its strength, its control beside it.

A vector that the sweep built is looked for on the shelf by its latents; if it is not there, it is saved.
"""

from collections.abc import Mapping

import streamlit as st

from pages.shared.loaded import current_choice, get_shelf
from pages.shared.sidebar import SCALE_KEY
from pages.shared.tokens import plain
from pages.shared.tray.state import item_of, set_tray
from sas_core.contrast.choice import Choice
from sas_core.contrast.positions import resolve_position
from sas_core.contrast.propose import propose_name
from sas_core.contrast.ranking import Ranking
from sas_core.contrast.stored import stored_ranking
from sas_core.errors import BadInput, SteerscopeError
from sas_core.evaluation.sweep.cells import Setting
from sas_core.evaluation.sweep.material import material_of
from sas_core.evaluation.sweep.outcome import SweepResult
from sas_core.evaluation.sweep.spec import SweepSpec
from sas_core.steering.engine import Engine
from sas_core.steering.tray import Tray
from sas_core.vectors.build import check_belongs, sas_vector_file
from sas_core.vectors.fields import MAX_NAME_CHARS, VectorFile

_GO, _UNSAVED, _PROBLEM = "evaluate.go", "evaluate.unsaved", "evaluate.open_problem"
# what page Steer calls the controls that it has too
_CONTROLS = {"random": "random", "random-matched": "random", "random-latents": "random-latents",
             "dense": "dense", "caa": "caa"}  # fmt: skip


def leave_for_steer() -> None:
    """In a button's callback: the page goes to Steer as soon as it runs again."""
    st.session_state[_GO] = True


def follow() -> None:
    """On the page, before it is drawn: go to Steer if a cell was just opened there."""
    if st.session_state.pop(_GO, False):
        st.switch_page("pages/steering.py")


def draw_open_in_steer(engine: Engine, result: SweepResult, arm: str, scale: float, setting: Setting) -> None:
    """The button; why it cannot be pressed is its help."""
    why_not = _why_not(result.spec, scale, setting)
    st.button(
        "Open in Steer", key="evaluate.in_steer", icon=":material/tune:", disabled=why_not is not None,
        help=why_not, on_click=_open, args=(engine, result, arm, scale, setting),
    )  # fmt: skip


def draw_unsaved(engine: Engine, result: SweepResult) -> None:
    """Under the cell: the offer to save a vector that the shelf does not have, and what went wrong."""
    problem = st.session_state.pop(_PROBLEM, None)
    if problem is not None:
        st.error(plain(problem), icon=":material/error:")
    asked = st.session_state.get(_UNSAVED)
    if asked is None or asked[0] != result.key:
        return
    _, arm, scale, setting, proposed = asked
    st.info(
        "This vector is not on the shelf yet; saved there, it can be steered with.",
        icon=":material/bookmark:",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Name", proposed, max_chars=MAX_NAME_CHARS, key="evaluate.save_name", width=320)
        st.button("Save and open in Steer", type="primary", key="evaluate.save", on_click=_save_and_open,
                  args=(engine, result.spec, arm, scale, setting))  # fmt: skip
        st.button("Not now", type="tertiary", key="evaluate.not_now", on_click=_forget)


def _why_not(spec: SweepSpec, scale: float, setting: Setting) -> str | None:
    if not scale:
        return "Strength 0 is the unsteered model; choose another strength"
    if spec.preset != current_choice().preset:
        return "This sweep is of another model than the one loaded"
    if setting.sae is not None:
        return "This setting has a dictionary of its own; load that one to steer with it"
    if not setting.error_term:
        return "Steer always adds back what the dictionary cannot rebuild; choose error term: yes"
    return None


def _open(engine: Engine, result: SweepResult, arm: str, scale: float, setting: Setting) -> None:
    spec = result.spec
    try:
        vector = _saved(engine, spec, setting)
        if vector is None:
            proposed = get_shelf().free_name(propose_name(spec.behaviour or spec.name, _choice(setting)))
            st.session_state[_UNSAVED] = (result.key, arm, scale, setting, proposed)
            return
        _put(engine, vector, arm, scale, setting)
    except SteerscopeError as error:
        st.session_state[_PROBLEM] = str(error)


def _save_and_open(engine: Engine, spec: SweepSpec, arm: str, scale: float, setting: Setting) -> None:
    name = st.session_state["evaluate.save_name"].strip()
    try:
        vector = sas_vector_file(
            engine, name, _ranking(engine, spec, setting), _choice(setting), strength=scale, verify=False
        )
        get_shelf().save(vector, "built")
        _put(engine, vector, arm, scale, setting)
    except SteerscopeError as error:
        st.session_state[_PROBLEM] = str(error)
        return
    _forget()


def _put(engine: Engine, vector: VectorFile, arm: str, scale: float, setting: Setting) -> None:
    """Everything that page Steer reads: tray, strength, sigma, steered tokens, controls."""
    check_belongs(vector, engine)
    set_tray(Tray().put(item_of(vector, scale)))
    st.session_state[SCALE_KEY] = 1.0
    st.session_state["steer.sigma"] = setting.nonlinearity
    st.session_state["steer.tokens"] = setting.tokens
    if arm in _CONTROLS:
        st.session_state["steer.controls"] = [_CONTROLS[arm]]
    leave_for_steer()


def _saved(engine: Engine, spec: SweepSpec, setting: Setting) -> VectorFile | None:
    """The vector on the shelf that this setting steers with, if it is there."""
    if spec.vector is not None:
        return get_shelf().get(spec.vector)
    vector, _ = _ranking(engine, spec, setting).vector(_choice(setting))
    wanted = dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
    found = (_readable(item.name) for item in get_shelf().list())
    return next((file for file in found if file is not None and _same(engine, file, wanted)), None)


def _readable(name: str) -> VectorFile | None:
    try:
        return get_shelf().get(name)
    except BadInput:
        # damaged: shown as such on the page Vectors
        return None


def _same(engine: Engine, file: VectorFile, wanted: Mapping[int, float]) -> bool:
    if file.sae.sha256 != engine.dictionary.identity.sha256:
        return False
    return {feature.index: feature.value for feature in file.features} == dict(wanted)


def _ranking(engine: Engine, spec: SweepSpec, setting: Setting) -> Ranking:
    """From the stored codes, which the sweep has read."""
    training = material_of(spec, get_shelf().get).training
    if training is None:
        raise BadInput("This sweep steers with a finished vector, so there are no pairs to build one from.")
    position = resolve_position(setting.position, training.form)
    found = stored_ranking(engine, training, position)
    if found is None:
        raise BadInput(
            "What the model read of these pairs is no longer stored; compute them on Contrast and save the "
            "vector there."
        )
    return found


def _choice(setting: Setting) -> Choice:
    return Choice(setting.tau, setting.sides, setting.top_k, setting.drop_shared)  # type: ignore[arg-type]


def _forget() -> None:
    st.session_state.pop(_UNSAVED, None)
