"""The whole dictionary as a table: one page of rows at a time comes from SQL, however many there are."""

import zlib

import streamlit as st

from pages.shared.atlas.state import (
    BY_NUMBER,
    ORDER,
    PAGE,
    ROWS_A_PAGE,
    get_moves,
    get_opened,
    new_search,
    open_card,
)
from pages.shared.naming import Name, name_columns, name_config
from pages.shared.tokens import visible
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import Filter, LatentRow, Order

_HEIGHT = 470
_ORDERS: dict[str, tuple[Order, bool]] = {
    "by number": ("index", False),
    "strongest first": ("max", True),
    "weakest first": ("max", False),
    "densest first": ("density", True),
    "rarest first": ("density", False),
    "largest mean first": ("mean", True),
    "smallest mean first": ("mean", False),
    "one token first": ("token_share", True),
}
_KEY, _LISTED = "atlas.table_key", "atlas.listed"


def draw_table(atlas: Atlas, chosen: Filter) -> LatentRow | None:
    """Draw the page of rows that is turned to; returns its first latent that fires."""
    total = atlas.count(chosen)
    if not total:
        st.text("No latent passes these filters. Clear them to list all.")
        return None
    order, place = _draw_order(), st.container()
    # below the table, because above it the table's own tools lie over the buttons
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        page = _draw_pager(total)
    first = (page - 1) * ROWS_A_PAGE
    rows = atlas.page(chosen, *_ORDERS[order], ROWS_A_PAGE, first)
    fires = next((row for row in rows if row.fired), None)
    with place:
        _draw_rows(rows, fires, f"{total:,} latents, {order}: {first + 1:,} to {first + len(rows):,}")
    return fires


def _draw_order() -> str:
    st.session_state.setdefault(ORDER, BY_NUMBER)
    return st.selectbox(
        "Order", list(_ORDERS), key=ORDER, persist_state="session", on_change=new_search, width=176,
        label_visibility="collapsed",
    )  # fmt: skip


def _draw_pager(total: int) -> int:
    last = -(-total // ROWS_A_PAGE)
    st.session_state[PAGE] = min(max(st.session_state.get(PAGE, 1), 1), last)
    st.button("", key="atlas.back", icon=":material/chevron_left:", type="tertiary", on_click=_turn,
              args=(-1,), disabled=st.session_state[PAGE] == 1, help="The page before")  # fmt: skip
    page = st.number_input(
        "Page", 1, last, key=PAGE, persist_state="session", width=84, label_visibility="collapsed"
    )
    st.text(f"of {last:,}", width="content")
    st.button("", key="atlas.next", icon=":material/chevron_right:", type="tertiary", on_click=_turn,
              args=(1,), disabled=page == last, help="The next page")  # fmt: skip
    return page


def _turn(by: int) -> None:
    st.session_state[PAGE] += by


def _draw_rows(rows: list[LatentRow], fires: LatentRow | None, said: str) -> None:
    indices = [row.index for row in rows]
    opened = get_opened()
    if opened is None and fires is not None:
        opened = fires.index
    # a selection is a position: other rows, or a card opened elsewhere, need another table
    st.session_state[_KEY] = f"atlas.rows.{zlib.crc32(repr(indices).encode())}.{get_moves()}"
    st.session_state[_LISTED] = indices
    marked = [(indices.index(opened), "index")] if opened in indices else []
    st.dataframe(
        _columns(rows), hide_index=True, height=_HEIGHT, column_config=_config(), on_select=_clicked,
        # a cell and not a row, because then a click anywhere and the arrow keys open cards
        selection_mode="single-cell", key=st.session_state[_KEY],
        selection_default={"selection": {"cells": marked}},
        alt=said, placeholder="",
    )  # fmt: skip
    st.caption(f"{said}. A click opens the card.")


def _clicked() -> None:
    cells = st.session_state[st.session_state[_KEY]]["selection"]["cells"]
    listed = st.session_state[_LISTED]
    if cells and cells[0][0] < len(listed):
        # the table marks its own cell, so it need not be another one
        open_card(listed[cells[0][0]], moved=False)


def _columns(rows: list[LatentRow]) -> dict[str, list[object]]:
    names = {row.index: name for row in rows if (name := Name.of(row.label, row.auto))}
    return {
        "index": [row.index for row in rows],
        **name_columns(names, [row.index for row in rows]),
        "peak": ["" if row.peak_token is None else visible(row.peak_token) for row in rows],
        "writes": ["  ".join(visible(piece) for piece in row.positive) for row in rows],
        "density": [row.density * 100 for row in rows],
        "class": [row.density_class for row in rows],
        "max": [row.max if row.fired else None for row in rows],
        "mean": [row.mean_nonzero for row in rows],
        "share": [None if row.token_share is None else row.token_share * 100 for row in rows],
    }


def _config() -> dict[str, object]:
    column = st.column_config
    return {
        "index": column.NumberColumn("Latent", format="%d", width=62, pinned=True),
        **name_config(160),
        "peak": column.TextColumn(
            "Fires at", width=84, help="Token that stands most often where it is strongest"
        ),
        "writes": column.TextColumn("Writes", width=150, help="Tokens its decoder row raises (logit lens)"),
        "density": column.NumberColumn(
            "Density", format="%.3f %%", width=82, help="Share of tokens at which it fires"
        ),
        "class": column.TextColumn("Class", width=66),
        "max": column.NumberColumn("Max", format="%.2f", width=60, help="Its largest activation"),
        "mean": column.NumberColumn(
            "Mean", format="%.2f", width=60, help="Over the tokens at which it fires: its typical activation"
        ),
        "share": column.NumberColumn(
            "One token", format="%.0f %%", width=76, help="Share of its peaks that are its commonest token"
        ),
    }
