"""The user's own label and note of a latent, kept the moment a field is left, under the automatic label."""

import streamlit as st

from pages.shared.loaded import get_labels
from pages.shared.naming import Name
from pages.shared.tokens import plain
from sas_core.atlas.label_rows import MAX_LABEL_CHARS, MAX_NOTE_CHARS
from sas_core.atlas.types import AutoLabel
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine

_LEAST_WIDTH = 330


def draw_label(engine: Engine, index: int, auto: AutoLabel | None, *, key: str) -> None:
    """Both fields; `auto` is what a program made of the latent, if it tried."""
    st.markdown("**Your label and note**")
    sha = engine.dictionary.identity.sha256
    try:
        kept = get_labels().get(sha, index)
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    label, note = f"{key}.label.{index}", f"{key}.note.{index}"
    st.session_state.setdefault(label, kept.label if kept else "")
    st.session_state.setdefault(note, kept.note if kept else "")
    where = (sha, index, label, note)
    if auto is not None:
        _draw_automatic(auto, where)
    change = {"on_change": _keep, "args": where}
    sides = st.grid(2, min_column_width=_LEAST_WIDTH)
    sides.text_input(
        "Label", key=label, max_chars=MAX_LABEL_CHARS, placeholder="what it stands for", **change
    )
    sides.text_area("Note", key=note, max_chars=MAX_NOTE_CHARS, height=84, placeholder="evidence, doubts",
                    **change)  # fmt: skip
    problem = st.session_state.pop("latent.label_problem", None)
    if problem:
        st.error(plain(problem), icon=":material/error:")
    when = f"Saved {kept.updated_at[:16].replace('T', ' ')} UTC. " if kept else ""
    st.caption(f"{when}Saved when you leave a field. Labels belong to the SAE, whichever atlas is open.")


def _draw_automatic(auto: AutoLabel, where: tuple[str, int, str, str]) -> None:
    """The automatic label with what it is worth; it becomes the user's at a button, while they have none."""
    name = Name.of(None, auto)
    if name is None:
        st.caption(f"No automatic label: {plain(auto.said)}.")
        return
    label = where[2]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(name.markdown, width="content")
        if not st.session_state[label].strip():
            st.button("Use this label", key=f"{label}.use", icon=":material/south:", type="tertiary",
                      on_click=_use, args=(auto.text, *where),
                      help="Put it in the field below as your own, to keep or to change")  # fmt: skip
    st.caption(
        f"An automatic label, {plain(auto.said)}. It is a rule, made from some of its contexts and tried on "
        "others: it says where the latent fires, and not why. docs/atlas.md tells how it is made."
    )


def _use(text: str, sha: str, index: int, label: str, note: str) -> None:
    st.session_state[label] = text
    _keep(sha, index, label, note)


def _keep(sha: str, index: int, label: str, note: str) -> None:
    words, more = st.session_state[label].strip(), st.session_state[note].strip()
    try:
        if words or more:
            get_labels().put(sha, index, words, more)
        else:
            get_labels().delete(sha, index)
    except SteerscopeError as error:
        st.session_state["latent.label_problem"] = str(error)
