"""Overlap: what saved vectors have in common, from their files alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

import pandas as pd
import streamlit as st

from pages.shared.evaluation.tools.pick import KEEP, command_line, draw_away, pick_vectors
from pages.shared.evaluation.tools.plot import draw_plot
from pages.shared.latent.state import open_latent, row_selected, table_key
from pages.shared.naming import Name, name_columns, name_config, names_of
from sas_core.evaluation.anatomy.measures import (
    Meeting,
    Shared,
    matrix,
    meetings,
    shared_latents,
    sparsity_of,
)
from sas_core.evaluation.anatomy.pairs import Anatomy
from sas_core.evaluation.anatomy.told import anatomy_document
from sas_core.evaluation.plots import overlap
from sas_core.steering.engine import Engine
from sas_core.vectors.fields import VectorFile

_FIGURES = {
    "jaccard": ("Jaccard", "Latents of both vectors / latents of either", False),
    "signed_jaccard": ("Signed", "The same, a latent counted as shared only where its signs agree", False),
    "latent_cosine": ("Cosine", "Of the values, latents as axes; from -1 to 1", True),
    "decoded_cosine": ("Decoded cosine", "Of the directions that the vectors add to the residual", True),
}
_ROWS_SEEN = 10


def draw_overlap(engine: Engine) -> None:
    """Raises BadInput while there are fewer than two vectors."""
    vectors = pick_vectors(engine, "overlap")
    met, shared = meetings(vectors), shared_latents(vectors)
    names = [vector.name for vector in vectors]
    written = {row.index: row.label for row in shared if row.label}
    frame = _shared_frame(names, shared, names_of(engine, [row.index for row in shared], written))
    plot, table = st.columns([5, 4], gap="large")
    with plot:
        _draw_matrix(names, met)
    with table:
        _draw_counts(vectors)
    _draw_shared(names, shared, frame)
    document = anatomy_document([Anatomy(vector, sparsity_of(vector)) for vector in vectors], met)
    tables = {
        "Overlaps": pd.DataFrame([asdict(meeting) for meeting in met]).to_csv(index=False),
        "Shared latents": frame.to_csv(index=False),
    }
    draw_away("overlap", document, tables, command_line("anatomy", [("vector", name) for name in names]))


def _draw_matrix(names: Sequence[str], met: Sequence[Meeting]) -> None:
    figure = st.segmented_control(
        "Figure", tuple(_FIGURES), format_func=lambda name: _FIGURES[name][0], default="jaccard",
        required=True, key="evaluate.tools.overlap.figure", label_visibility="collapsed", **KEEP,
    )  # fmt: skip
    title, said, signed = _FIGURES[str(figure)]
    # a cosine with a vector of zeros is not defined: no cell
    values = [[float("nan") if v is None else v for v in row] for row in matrix(names, met, str(figure))]
    draw_plot(
        overlap(names, values, signed, title=title), f"overlap-{figure}", f"{title} of every two vectors"
    )
    st.caption(said)


def _draw_counts(vectors: Sequence[VectorFile]) -> None:
    found = [sparsity_of(vector) for vector in vectors]
    number = st.column_config.NumberColumn
    st.dataframe(
        {
            "vector": [vector.name for vector in vectors],
            "nonzero": [one.nonzero for one in found],
            "positive": [one.positive for one in found],
            "negative": [one.negative for one in found],
            "participation": [one.participation for one in found],
        },
        hide_index=True, key="evaluate.tools.overlap.counts",
        alt="How many latents each vector has, by sign, and how many carry its weight",
        column_config={
            "vector": st.column_config.TextColumn("Vector"),
            "nonzero": number("Latents", width=65, help="Values that are not 0"),
            "positive": number("+", width=50, help="Values above 0"),
            "negative": number("\u2212", width=50, help="Values below 0"),
            "participation": number(
                "Participation", format="%.1f", width=95,
                help="(sum |v|)\u00b2 / sum v\u00b2: how many latents carry the weight, 1 to their number",
            ),
        },
    )  # fmt: skip


def _draw_shared(names: Sequence[str], shared: Sequence[Shared], frame: pd.DataFrame) -> None:
    if not shared:
        st.text("These vectors have no latent in common.")
        return
    opposite = sum(row.opposite for row in shared)
    st.markdown(f"**{len(shared)} shared latents**, {opposite} of them with opposite signs")
    key, latents = table_key("evaluate.tools.overlap.shared"), [row.index for row in shared]
    number = st.column_config.NumberColumn
    st.dataframe(
        frame, hide_index=True, key=key, selection_mode="single-row", placeholder="",
        on_select=partial(row_selected, key, latents, open_latent),
        height=35 * (min(len(shared), _ROWS_SEEN) + 1) + 3,
        alt=f"{len(shared)} latents of more than one vector; a click on a row opens its card",
        column_config={
            "latent": number("Latent", format="%d", width=70),
            **{f"value in {name}": number(name, format="%+.3f", width=110) for name in names},
            "signs": st.column_config.TextColumn("Signs", width=80),
            **name_config(None),
        },
    )  # fmt: skip
    st.caption("Select a row to open its card.")


def _shared_frame(names: Sequence[str], shared: Sequence[Shared], called: Mapping[int, Name]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "latent": [row.index for row in shared],
            **{f"value in {name}": [row.values[n] or None for row in shared] for n, name in enumerate(names)},
            "signs": ["opposite" if row.opposite else "same" for row in shared],
            **name_columns(called, [row.index for row in shared]),
        }
    )
