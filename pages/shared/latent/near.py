"""What lies near a latent, what fires with it, and the saved vectors that use it."""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from pages.shared.latent.state import row_selected, table_key
from pages.shared.latent.writes import derived_of
from pages.shared.loaded import get_shelf
from pages.shared.naming import name_columns, name_config, names_of
from pages.shared.tokens import plain, visible
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import Latent
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.vectors.uses import uses_of

_LISTED = 8
_WRITES = 3
_LEAST_WIDTH = 330


def draw_near(
    engine: Engine,
    atlas: Atlas | None,
    index: int,
    latent: Latent | None,
    *,
    key: str,
    go: Callable[[int], None],
) -> None:
    """Both lists of neighbours; a click on a row turns to that latent."""
    sides = st.grid(2, min_column_width=_LEAST_WIDTH)
    with sides.cell():
        st.markdown(
            f"**What is near latent {index}**", help="Cosine between decoder rows, in the space the SAE reads"
        )
        found = latent.neighbours if latent and latent.neighbours else derived_of(engine, [index])[index].near
        _draw_rows(engine, atlas, found[:_LISTED], "Cosine", f"{key}.near.{index}", go)
    if atlas is None:
        return
    with sides.cell():
        st.markdown(
            "**What fires with it**",
            help="Jaccard: of the sampled windows in which either fires, the share in which both do",
        )
        found = atlas.cofiring(index, _LISTED)
        if found:
            _draw_rows(engine, atlas, found, "Jaccard", f"{key}.together.{index}", go)
        else:
            st.caption("It fires in none of the sampled windows.")


def draw_uses(engine: Engine, index: int) -> None:
    st.markdown("**Where you use it**")
    try:
        uses = uses_of(get_shelf(), index, engine.dictionary.identity.sha256)
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if not uses:
        st.caption("In no saved vector.")
        return
    st.dataframe(
        {
            "vector": [use.name for use in uses],
            "value": [use.value for use in uses],
            "place": [f"{use.place} of {use.count}" for use in uses],
        },
        hide_index=True, width="content", alt=f"{len(uses)} saved vectors use this latent",
        column_config={
            "vector": st.column_config.TextColumn("Vector", width=220),
            "value": st.column_config.NumberColumn("Value", format="%+.3f", width=80,
                                                   help="What the vector adds at strength 1"),
            "place": st.column_config.TextColumn("By size", width=90),
        },
    )  # fmt: skip


def _draw_rows(
    engine: Engine,
    atlas: Atlas | None,
    found: Sequence[tuple[int, float]],
    measure: str,
    key: str,
    go: Callable[[int], None],
) -> None:
    key = table_key(key)
    indices = [index for index, _ in found]
    st.dataframe(
        {"latent": indices, "value": [value for _, value in found], **_told(engine, atlas, indices)},
        hide_index=True, key=key, selection_mode="single-row", placeholder="",
        on_select=partial(row_selected, key, indices, go),
        alt=f"{len(found)} latents by {measure.lower()}; a selected row opens its card",
        column_config={
            "latent": st.column_config.NumberColumn("Latent", format="%d", width=62),
            "value": st.column_config.NumberColumn(measure, format="%.2f", width=64),
            **name_config(110),
            "fires": st.column_config.TextColumn("Fires at", width=84),
            "writes": st.column_config.TextColumn("Writes", width=150),
        },
    )  # fmt: skip


def _told(engine: Engine, atlas: Atlas | None, indices: Sequence[int]) -> dict[str, list]:
    """What is known of each in a few words; a column only where it holds something."""
    names = name_columns(names_of(engine, indices), indices)
    if atlas is None:
        derived = derived_of(engine, indices)
        pieces = {i: engine.turns.pieces([t for t, _ in derived[i].up[:_WRITES]]) for i in indices}
        return {**names, "writes": [_join(pieces[i]) for i in indices]}
    rows = atlas.rows(indices)
    columns = {
        "fires": ["" if row.peak_token is None else visible(row.peak_token) for row in rows],
        "writes": [_join(row.positive[:_WRITES]) for row in rows],
    }
    return names | {name: cells for name, cells in columns.items() if any(cells)}


def _join(pieces: Sequence[str]) -> str:
    return "  ".join(visible(piece) for piece in pieces)
