"""Taking a sweep away: its cells, units and texts as tables, all of it as JSON, the report, the spec."""

from collections.abc import Callable

import streamlit as st

from pages.shared.loaded import get_sweep_book
from sas_core.evaluation.sweep.book import SweepBook
from sas_core.evaluation.sweep.files import result_json, texts_table, units_table, written_by
from sas_core.evaluation.sweep.outcome import SweepResult
from sas_core.evaluation.sweep.report.html import page
from sas_core.evaluation.sweep.report.tables import cells_table

_File = tuple[str, str, str, Callable[[], str]]


def draw_downloads(result: SweepResult) -> None:
    """The files that the command line writes too, each made when it is asked for."""
    book = get_sweep_book()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Take it away")
        for label, name, kind, make in _files(book, result):
            st.download_button(
                label, make, name, kind, on_click="ignore", key=f"evaluate.download.{name}",
                icon=":material/download:", type="secondary" if name == "report.html" else "tertiary",
            )  # fmt: skip


def _files(book: SweepBook, result: SweepResult) -> tuple[_File, ...]:
    texts: tuple[_File, ...] = ()
    if "text" in result.spec.measures:
        texts = (("Texts", "texts.csv", "text/csv", lambda: _texts(book, result)),)
    return (
        ("Report", "report.html", "text/html", lambda: page(result, written_by(book, result))),
        ("Cells", "cells.csv", "text/csv", lambda: cells_table(result).to_csv(index=False)),
        ("Pair by pair", "units.csv", "text/csv", lambda: units_table(book, result.key).to_csv(index=False)),
        *texts,
        ("JSON", "result.json", "application/json", lambda: result_json(result)),
        ("Spec", "spec.yaml", "application/yaml", result.spec.dump),
    )


def _texts(book: SweepBook, result: SweepResult) -> str:
    return texts_table(written_by(book, result)).to_csv(index=False)
