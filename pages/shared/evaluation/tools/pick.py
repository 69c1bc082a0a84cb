"""What the tools share on the page: which vectors, which numbers, the command that does the same."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages.shared.loaded import current_choice, get_shelf
from pages.shared.tokens import plain
from pages.shared.vectors.table import load_rows
from sas_core.errors import BadInput, SteerscopeError
from sas_core.evaluation.facts import finite
from sas_core.evaluation.heldout import behaviour_of
from sas_core.steering.engine import Engine
from sas_core.vectors.fields import VectorFile

KEEP = {"persist_state": "session"}
FIRST = ("sea", "formality")


def usable_vectors(engine: Engine) -> dict[str, VectorFile]:
    """Saved vectors that fit what is loaded, by name, those of shipped contrasts first."""
    shelf = get_shelf()
    found = [shelf.get(row.item.name) for row in load_rows(engine, shelf) if row.usable]
    return {vector.name: vector for vector in sorted(found, key=_place)}


def _place(vector: VectorFile) -> tuple[int, str]:
    behaviour = behaviour_of(vector)
    if behaviour in FIRST:
        return FIRST.index(behaviour), vector.name
    return len(FIRST) + (behaviour is None), vector.name


def pick_vectors(engine: Engine, tool: str) -> list[VectorFile]:
    """Two or more of them. Raises BadInput while there are fewer."""
    found = usable_vectors(engine)
    if len(found) < 2:
        raise BadInput(
            "This needs two vectors of the loaded model, and the shelf has fewer; build one on Contrast."
        )
    key = f"evaluate.tools.{tool}.vectors"
    kept = [name for name in st.session_state.get(key, list(found)[:2]) if name in found]
    if key not in st.session_state or kept != st.session_state[key]:
        st.session_state[key] = kept
    chosen = st.multiselect(
        "Vectors", list(found), key=key, placeholder="Choose two or more",
        help="Only those that belong to the loaded model and SAE", **KEEP,
    )  # fmt: skip
    if len(chosen) < 2:
        raise BadInput("Choose two vectors or more.")
    return [found[name] for name in chosen]


def say(error: SteerscopeError) -> None:
    """Why there is nothing, in place."""
    st.markdown(f":material/info: {plain(str(error))}")


def draw_away(name: str, document: Mapping[str, Any], tables: Mapping[str, str], command: str) -> None:
    """Take it away: the document as JSON, tables (label -> CSV), and the command line that does the same."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Take it away")
        for label, csv in tables.items():
            st.download_button(
                label, csv, f"{name}-{label.lower().replace(' ', '-')}.csv", "text/csv", on_click="ignore",
                key=f"evaluate.tools.{name}.csv.{label}", icon=":material/download:", type="tertiary",
            )  # fmt: skip
        st.download_button(
            "JSON", json.dumps(finite(dict(document)), indent=1, ensure_ascii=False), f"{name}.json",
            "application/json", on_click="ignore", key=f"evaluate.tools.{name}.json",
            icon=":material/download:", type="tertiary",
        )  # fmt: skip
        with st.popover("As a command", icon=":material/terminal:", type="tertiary"):
            st.code(command, language="bash", wrap_lines=True)
            st.caption("Does the same without the dashboard; run it in Steerscope's folder.")


def command_line(name: str, options: Sequence[tuple[str, str]]) -> str:
    """`python -m sas_core evaluate NAME` with these options, on what is loaded."""
    given = [*options, *current_choice().options().items()]
    # joined by =, since a value that begins with a minus would be read as an option
    words = (f"--{key}={value}" if value.startswith("-") else f"--{key}\0{value}" for key, value in given)
    split = (part for word in words for part in word.split("\0"))
    return shlex.join(["python", "-m", "sas_core", "evaluate", name, *split])
