"""Fewest latents: the smallest part of a vector that keeps its effect, and what its latents do in twos."""

from collections.abc import Generator, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages.shared.evaluation.tools.job import Asked, draw_blocked, draw_run, finished
from pages.shared.evaluation.tools.pick import KEEP, command_line, draw_away, usable_vectors
from pages.shared.evaluation.tools.plot import draw_plot
from pages.shared.latent.state import open_latent, row_selected, table_key
from pages.shared.loaded import get_atlas, get_shelf
from pages.shared.naming import Name, name_columns, name_config, names_of
from pages.shared.tokens import plain
from sas_core.atlas.store import Atlas
from sas_core.contrast.pairs import PairSet
from sas_core.errors import BadInput, SteerscopeError
from sas_core.evaluation.facts import facts
from sas_core.evaluation.heldout import heldout_of
from sas_core.evaluation.plots import effects, interference
from sas_core.evaluation.subset.search import Step, check_asked, smallest_subset
from sas_core.evaluation.subset.told import (
    ScoredSubset,
    pruned_vector,
    score_subset,
    subset_name,
    subset_sentence,
)
from sas_core.evaluation.tool_job import Finished, ToolStep
from sas_core.steering.engine import Engine
from sas_core.vectors.fields import MAX_NAME_CHARS, VectorFile
from sas_core.vectors.listing import require_free_name

_TOOL = "subset"
_MOST_PAIRED, _SEEDS = 12, 3
_ROWS_SEEN = 12
_SAVED, _PROBLEM = "evaluate.tools.subset.saved", "evaluate.tools.subset.problem"


def draw_subset(engine: Engine) -> None:
    """Raises BadInput while there is no vector with held-out pairs."""
    vector, pairs = _pick(engine)
    scale, keep = _draw_numbers()
    try:
        check_asked(scale, keep, _MOST_PAIRED, _SEEDS)
    except SteerscopeError as error:
        draw_blocked(_TOOL, error)
    else:
        options = (("vector", vector.name), ("scale", f"{scale:g}"), ("keep", f"{keep:g}"))
        draw_run(
            _TOOL, Asked.of(engine, (vector,), options), partial(_begin, engine, vector, pairs, scale, keep),
            f"{len(vector.features)} latents, chosen on half of the {len(pairs)} pairs of "
            f"{pairs.name}, and told on the other half.",
        )  # fmt: skip
    found = finished(engine, _TOOL)
    if found is not None:
        _draw_result(engine, found)


def _pick(engine: Engine) -> tuple[VectorFile, PairSet]:
    scored = {}
    for name, vector in usable_vectors(engine).items():
        heldout = heldout_of([vector])
        if heldout:
            scored[name] = (vector, next(iter(heldout.values())))
    if not scored:
        raise BadInput(
            "No saved vector of the loaded model was built from a shipped contrast, whose held-out pairs are "
            "needed; build one on Contrast, or give pairs of your own to evaluate subset --heldout FILE."
        )
    key = "evaluate.tools.subset.vector"
    if st.session_state.get(key) not in scored:
        st.session_state[key] = next(iter(scored))
    name = st.selectbox("Vector", list(scored), key=key, **KEEP)
    return scored[name]


def _draw_numbers() -> tuple[float, float]:
    left, right = st.columns(2)
    st.session_state.setdefault("evaluate.tools.subset.scale", 2.0)
    st.session_state.setdefault("evaluate.tools.subset.keep", 90)
    scale = left.number_input("Strength \u03bb", step=0.5, format="%g", key="evaluate.tools.subset.scale",
                              help="Of the effect that is kept", **KEEP)  # fmt: skip
    keep = right.slider("Share of the effect to keep", 10, 100, step=5, format="%d %%",
                        key="evaluate.tools.subset.keep", **KEEP)  # fmt: skip
    return float(scale), keep / 100


def _begin(
    engine: Engine, vector: VectorFile, pairs: PairSet, scale: float, keep: float
) -> Generator[Any, None, None]:
    # the atlas is looked up for this session, which the background knows nothing of
    return _steps(engine, vector, pairs, scale, keep, get_atlas(engine))


def _steps(
    engine: Engine, vector: VectorFile, pairs: PairSet, scale: float, keep: float, atlas: Atlas | None
) -> Generator[Any, None, None]:
    events = smallest_subset(engine, vector, pairs, scale, keep=keep, strongest=_MOST_PAIRED, seeds=_SEEDS)
    with closing(events):
        for event in events:
            if isinstance(event, Step):
                doing = f"{event.left} latents left, which keep {event.kept:.0%}"
                yield ToolStep(doing, event.done, event.total, event.waiting)
            else:
                yield score_subset(engine, event, atlas)


def _draw_result(engine: Engine, found: Finished) -> None:
    scored, (vector,) = found.report, found.asked.files
    report = scored.report
    st.markdown(plain(subset_sentence(report)))
    left, right = st.columns(2, gap="large")
    with left:
        draw_plot(
            effects(report), "subset-effects", "Effect of the whole vector, the subset and random parts"
        )
    with right:
        if report.interference.meetings:
            draw_plot(
                interference(report.interference, report.unit), "subset-interference",
                "What every two latents do at once beyond the sum of what each does alone",
            )  # fmt: skip
        else:
            st.text("One latent is enough, so there are no two to try together.")
    written = {latent.index: latent.label for latent in report.latents if latent.label}
    frame = _frame(scored, names_of(engine, [latent.index for latent in report.latents], written))
    _draw_latents(frame, scored)
    _draw_save(engine, vector, scored)
    draw_away(
        _TOOL, {**facts(engine), **scored.document()}, {"Latents": frame.to_csv(index=False)},
        command_line("subset", found.asked.options),
    )  # fmt: skip


def _frame(scored: ScoredSubset, called: Mapping[int, Name]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [
            {
                "latent": one.index, "value": one.value, "lost_dev": one.lost_dev,
                "lost": one.lost.value, "lost_low": one.lost.low, "lost_high": one.lost.high,
                "alone": one.alone.value, "alone_low": one.alone.low, "alone_high": one.alone.high,
                "output_score": scored.outputs[one.index],
            }
            for one in scored.report.latents
        ]
    )  # fmt: skip
    return frame.assign(**name_columns(called, frame["latent"].tolist()))


def _draw_latents(frame: pd.DataFrame, scored: ScoredSubset) -> None:
    unit, latents = scored.report.unit, frame["latent"].tolist()
    key = table_key("evaluate.tools.subset.latents")
    number = st.column_config.NumberColumn
    st.dataframe(
        frame, hide_index=True, key=key, selection_mode="single-row", placeholder="",
        on_select=partial(row_selected, key, latents, open_latent),
        height=35 * (min(len(latents), _ROWS_SEEN) + 1) + 3,
        alt=f"{len(latents)} latents in the order of need; a click on a row opens its card",
        column_config={
            "latent": number("Latent", format="%d", width=70),
            "value": number("Value", format="%+.3f", width=75),
            "lost_dev": None, "lost_low": None, "lost_high": None, "alone_low": None, "alone_high": None,
            "lost": number("Lost without it", format="%+.3f", width=115, help=f"On the other half, {unit}"),
            "alone": number("Alone", format="%+.3f", width=75, help=f"This latent by itself, {unit}"),
            "output_score": number(
                "Output score", format="%.2f", width=100,
                help="0 to 1: how far the latent decides the next token (arXiv 2505.20063)",
            ),
            **name_config(None),
        },
    )  # fmt: skip
    st.caption(
        "The most needed first, by what the half that chose loses without it. The search is greedy, so "
        "another set may be smaller still. Select a row to open its card."
    )
    if scored.remark is not None:
        st.caption(plain(scored.remark))


def _draw_save(engine: Engine, vector: VectorFile, scored: ScoredSubset) -> None:
    problem, saved = (st.session_state.pop(name, None) for name in (_PROBLEM, _SAVED))
    if problem is not None:
        st.error(plain(problem), icon=":material/error:")
    if saved is not None:
        st.success(f"Saved as {plain(saved)}.", icon=":material/check:")
    proposed = get_shelf().free_name(subset_name(vector.name))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # the proposal is part of the key: another subset, another proposal
        key = f"evaluate.tools.subset.name.{proposed}"
        st.text_input("Name", proposed, max_chars=MAX_NAME_CHARS, key=key, width=320)
        st.button("Save as vector", icon=":material/bookmark_add:", key="evaluate.tools.subset.save",
                  on_click=_save, args=(engine, vector, scored, key))  # fmt: skip


def _save(engine: Engine, vector: VectorFile, scored: ScoredSubset, key: str) -> None:
    name = st.session_state[key].strip()
    try:
        require_free_name(get_shelf(), name)
        get_shelf().save(pruned_vector(engine, vector, scored.report, name), "composed")
    except SteerscopeError as error:
        st.session_state[_PROBLEM] = str(error)
        return
    st.session_state[_SAVED] = name
