"""Together: every combination of strengths of two vectors or more, scored on every behaviour."""

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages.shared.evaluation.axes import read_numbers
from pages.shared.evaluation.in_steer import leave_for_steer
from pages.shared.evaluation.tools.job import Asked, draw_blocked, draw_run, finished
from pages.shared.evaluation.tools.pick import KEEP, command_line, draw_away, pick_vectors
from pages.shared.evaluation.tools.plot import draw_plot
from pages.shared.sidebar import SCALE_KEY
from pages.shared.tokens import plain
from pages.shared.tray.state import item_of, set_tray
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.shipped import behaviour_names, load_behaviour
from sas_core.errors import BadInput, SteerscopeError
from sas_core.evaluation.completions import Progress
from sas_core.evaluation.composition.measure import CompositionReport, check_composition, evaluate_composition
from sas_core.evaluation.composition.told import additivity, composition_document, strongest
from sas_core.evaluation.facts import facts
from sas_core.evaluation.heldout import behaviour_of, heldout_of
from sas_core.evaluation.plots import grid, off_target
from sas_core.evaluation.tool_job import Finished, ToolStep
from sas_core.steering.engine import Engine
from sas_core.steering.tray import Tray
from sas_core.vectors.fields import VectorFile

_TOOL = "together"
_START = "-2, 0, 2"
_AT = "evaluate.tools.together.at"


def draw_together(engine: Engine) -> None:
    """Raises BadInput while there are fewer than two vectors."""
    vectors = pick_vectors(engine, _TOOL)
    texts = _draw_strengths(vectors)
    others = _draw_others(vectors)
    heldout = {**heldout_of(vectors), **{name: load_behaviour(name).heldout for name in others}}
    try:
        wanted = _grid(vectors, texts, heldout)
    except SteerscopeError as error:
        draw_blocked(_TOOL, error)
    else:
        asked = Asked.of(engine, tuple(vectors), _options(vectors, wanted, others))
        draw_run(_TOOL, asked, partial(_steps, engine, vectors, heldout, wanted), _size(wanted, heldout))
    found = finished(engine, _TOOL)
    if found is not None:
        _draw_result(engine, found)


def _draw_strengths(vectors: Sequence[VectorFile]) -> list[str]:
    found = []
    columns = st.columns(max(len(vectors), 2))
    for column, vector in zip(columns, vectors, strict=False):
        key = f"evaluate.tools.together.scale.{vector.name}"
        st.session_state.setdefault(key, _START)
        found.append(column.text_input(f"Strengths \u03bb of {plain(vector.name)}", key=key, **KEEP))
    return found


def _draw_others(vectors: Sequence[VectorFile]) -> list[str]:
    own = {behaviour_of(vector) for vector in vectors}
    options, key = [name for name in behaviour_names() if name not in own], "evaluate.tools.together.also"
    st.session_state[key] = [name for name in st.session_state.get(key, []) if name in options]
    return st.multiselect(
        "Score these contrasts too", options, key=key, placeholder="Only the vectors' own",
        format_func=lambda name: load_behaviour(name).title, **KEEP,
    )  # fmt: skip


def _grid(
    vectors: Sequence[VectorFile], texts: Sequence[str], heldout: dict[str, PairSet]
) -> tuple[tuple[float, ...], ...]:  # fmt: skip
    """The strengths of each vector. Raises BadInput or Mismatch for what cannot be run."""
    if not heldout:
        raise BadInput(
            "None of the vectors was built from a shipped contrast; choose contrasts to score them on."
        )
    given = [read_numbers(vector.name, text) for vector, text in zip(vectors, texts, strict=True)]
    return check_composition(vectors, given)


def _size(wanted: Sequence[Sequence[float]], heldout: dict[str, PairSet]) -> str:
    points = 1
    for own in wanted:
        points *= len(own)
    scored = ", ".join(f"{len(pairs)} of {name}" for name, pairs in heldout.items())
    return f"{points} combinations, 0 counted, on held-out pairs: {scored}."


def _options(
    vectors: Sequence[VectorFile], wanted: Sequence[Sequence[float]], others: Sequence[str]
) -> tuple[tuple[str, str], ...]:  # fmt: skip
    named = [
        ("grid", f"{vector.name}={','.join(f'{s:g}' for s in own)}")
        for vector, own in zip(vectors, wanted, strict=True)
    ]  # fmt: skip
    return (*(("vector", vector.name) for vector in vectors), *named, *(("on", name) for name in others))


def _steps(
    engine: Engine, vectors: Sequence[VectorFile], heldout: dict[str, PairSet],
    wanted: Sequence[Sequence[float]],
) -> Generator[Any, None, None]:  # fmt: skip
    with closing(evaluate_composition(engine, vectors, heldout, wanted)) as events:
        for event in events:
            if isinstance(event, Progress):
                yield ToolStep("Scoring the pairs", event.done, event.total, event.waiting)
            else:
                yield event


def _draw_result(engine: Engine, found: Finished) -> None:
    report, asked = found.report, found.asked
    st.markdown(f"**{plain(' + '.join(report.vectors))}**")
    st.markdown(plain(additivity(report)))
    if len(report.vectors) == 2:
        _draw_grids(report)
    _draw_off_target(report)
    _draw_in_steer(report, asked.files)
    draw_away(
        _TOOL, composition_document(facts(engine), report, strongest(report.grid)),
        {"Combinations": _frame(report).to_csv(index=False)}, command_line("compose", asked.options),
    )  # fmt: skip


def _draw_grids(report: CompositionReport) -> None:
    columns = st.columns(2, gap="large")
    for n, behaviour in enumerate(report.behaviours):
        values = [[point.value for point in row] for row in report.surface(n)]
        made = grid(
            report.vectors, *report.grid, values, title=f"change of {behaviour.name} ({behaviour.unit})"
        )
        with columns[n % 2]:
            draw_plot(
                made, f"together-{behaviour.name}", f"Change of {behaviour.name} at every combination",
                partial(_choose, report),
            )  # fmt: skip


def _draw_off_target(report: CompositionReport) -> None:
    alone = strongest(report.grid)
    rows = report.off_target(alone)
    low, high = ([[getattr(e, side) for e in row] for row in rows] for side in ("low", "high"))
    names = [f"{name} {s:+g}" for name, s in zip(report.vectors, alone, strict=True)]
    made = off_target(
        names, [behaviour.name for behaviour in report.behaviours],
        [[found.value for found in row] for row in rows], low, high,
        title=f"each vector alone: change ({report.behaviours[0].unit})",
    )  # fmt: skip
    draw_plot(made, "off-target", "What each vector alone does to every behaviour")


def _choose(report: CompositionReport, point: dict[str, Any]) -> None:
    """The strengths of the cell that was clicked: rows are the first vector's, columns the other's."""
    for vector, place in enumerate((point.get("y"), point.get("x"))):
        own = report.grid[vector]
        if isinstance(place, int | float) and 0 <= int(place) < len(own):
            st.session_state[f"{_AT}.{vector}"] = own[int(place)]


def _draw_in_steer(report: CompositionReport, files: Sequence[VectorFile]) -> None:
    if len(report.vectors) == 2:
        st.caption("A click on a number of a grid chooses its strengths here.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = []
        for n, (name, own) in enumerate(zip(report.vectors, report.grid, strict=True)):
            if st.session_state.get(f"{_AT}.{n}") not in own:
                st.session_state[f"{_AT}.{n}"] = strongest(report.grid)[n]
            chosen.append(
                st.selectbox(f"\u03bb of {plain(name)}", own, key=f"{_AT}.{n}", width=150,
                             format_func=lambda s: f"{s:+g}" if s else "0")
            )  # fmt: skip
        st.button("Open in Steer", key="evaluate.tools.in_steer", icon=":material/tune:",
                  disabled=not any(chosen), on_click=_open, args=(files, chosen))  # fmt: skip


def _open(files: Sequence[VectorFile], strengths: Sequence[float]) -> None:
    """Everything that page Steer reads: tray, strength, sigma, steered tokens."""
    tray = Tray()
    for file, strength in zip(files, strengths, strict=True):
        tray = tray.put(item_of(file, strength)) if strength else tray
    set_tray(tray)
    st.session_state[SCALE_KEY] = 1.0
    st.session_state["steer.sigma"] = files[0].nonlinearity
    st.session_state["steer.tokens"] = files[0].steered_tokens
    leave_for_steer()


def _frame(report: CompositionReport) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                **dict(zip(report.vectors, point.strengths, strict=True)), "on": behaviour.name,
                **_estimate("change", point.changes[n]),
                **_estimate("extra", point.extra[n] if point.extra else None),
            }
            for point in report.points
            for n, behaviour in enumerate(report.behaviours)
        ]
    )  # fmt: skip


def _estimate(name: str, found: Any) -> dict[str, float | None]:
    return {
        f"{name}{suffix}": None if found is None else getattr(found, field)
        for suffix, field in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
