"""Bringing one's own pairs: a file, pasted text, or an editable table. A fault loses nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from pages.shared.tokens import plain
from sas_core.contrast.pairs import Form
from sas_core.contrast.parse import Parsed, pairs_from_rows, parse_pairs
from sas_core.errors import BadInput

FILE, PASTE, TABLE = "File", "Paste", "Table"
_COLUMNS = ("prompt", "positive", "negative")
_EXAMPLE = "prompt,positive,negative\nHow are you?,Sailing gives me joy.,Filing gives me joy."
_FORMATS = (
    "CSV with the columns prompt, positive and negative; JSONL with the same names, where the prompt may be "
    "a list of chat messages; or the JSON list of questions of the CAA data sets."
)


def draw_own() -> Parsed | None:
    """The three ways in; None while nothing usable is there, with a sentence why."""
    st.session_state.setdefault("contrast.way", FILE)
    way = st.segmented_control(
        "Bring them as", [FILE, PASTE, TABLE], required=True, key="contrast.way", width="stretch",
        persist_state="session", help=_FORMATS,
    )  # fmt: skip
    try:
        return {FILE: _from_file, PASTE: _from_paste, TABLE: _from_table}[way]()
    except BadInput as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def edit_copy(rows: Sequence[Mapping[str, str]], title: str, form: Form) -> None:
    """Open rows in the editable table. For a widget's callback."""
    st.session_state["contrast.source"] = "My own"
    st.session_state["contrast.way"] = TABLE
    st.session_state["contrast.draft"] = [dict(row) for row in rows]
    st.session_state["contrast.draft_name"] = f"{title} (edited)"
    st.session_state["contrast.draft_form"] = form
    # the editor keeps its edits under its key: another draft needs another editor
    st.session_state["contrast.draft_number"] = st.session_state.get("contrast.draft_number", 0) + 1
    st.query_params.pop("behaviour", None)
    st.session_state.pop("contrast.linked", None)


def _from_file() -> Parsed | None:
    st.file_uploader(
        "File of pairs", type=["csv", "tsv", "json", "jsonl", "ndjson", "txt"], key="contrast.upload",
        help=_FORMATS, on_change=_keep_upload,
    )  # fmt: skip
    kept = st.session_state.get("contrast.file")
    if kept is None:
        st.caption("CSV, JSONL or CAA's JSON. 20 pairs or more make sense.")
        return None
    name, data = kept
    if st.session_state.get("contrast.upload") is None:
        st.text(f"{name}, read earlier in this session")
    return parse_pairs(data, name=name)


def _keep_upload() -> None:
    file = st.session_state["contrast.upload"]
    st.session_state["contrast.file"] = None if file is None else (file.name, file.getvalue())


def _from_paste() -> Parsed | None:
    text = st.text_area(
        "Paste CSV, JSONL or CAA's JSON", key="contrast.paste", height=160, placeholder=_EXAMPLE,
        persist_state="session", help=_FORMATS,
    )  # fmt: skip
    if not text.strip():
        st.caption("Paste pairs and press Ctrl+Enter.")
        return None
    return parse_pairs(text, name="pasted pairs")


def _from_table() -> Parsed | None:
    number = st.session_state.setdefault("contrast.draft_number", 0)
    key = f"contrast.editor.{number}"
    if key not in st.session_state:
        # the editor was not on the last page: it starts again from what it held then
        st.session_state["contrast.draft_base"] = st.session_state.get("contrast.draft") or [_blank()] * 3
    edited = st.data_editor(
        pd.DataFrame(st.session_state["contrast.draft_base"], columns=list(_COLUMNS), dtype="object"),
        num_rows="dynamic", hide_index=True, height=300, key=key,
        column_config={name: st.column_config.TextColumn(name.capitalize(), width=190) for name in _COLUMNS},
        alt="Editable table of pairs: prompt, positive completion, negative completion",
    )  # fmt: skip
    rows: list[dict[str, Any]] = edited.to_dict("records")
    st.session_state["contrast.draft"] = rows
    if not any(_filled(row) for row in rows):
        st.caption("Write a prompt with a positive and a negative completion in each row.")
        return None
    parsed = pairs_from_rows(rows, name=st.session_state.get("contrast.draft_name", "typed pairs"))
    form: Form = st.session_state.get("contrast.draft_form", "free-text")
    return replace(parsed, pairs=replace(parsed.pairs, form=form))


def _blank() -> dict[str, str]:
    return dict.fromkeys(_COLUMNS, "")


def _filled(row: Mapping[str, Any]) -> bool:
    return any(isinstance(row.get(name), str) and row[name].strip() for name in _COLUMNS)
