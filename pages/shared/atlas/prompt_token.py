"""One token of a text that was read: every latent that fires there, and what can be done with one of them."""

from collections.abc import Mapping

import streamlit as st

from pages.shared.latent.head import draw_tray, draw_tray_problem
from pages.shared.latent.state import open_latent
from pages.shared.naming import Name, name_columns, name_config
from pages.shared.tokens import plain, visible
from sas_core.atlas.probe import PromptView
from sas_core.atlas.store import Atlas
from sas_core.steering.engine import Engine

_WRITTEN = 3


def draw_token(
    engine: Engine,
    atlas: Atlas | None,
    view: PromptView,
    position: int,
    names: Mapping[int, Name],
    *,
    key: str,
    pin_key: str,
) -> None:
    """The token's list, strongest first, with one row chosen. `pin_key` holds the latent that colours."""
    st.markdown(f"**Token {position + 1}** &ensp;{plain(visible(view.pieces[position]))}")
    found = view.token(position)
    if not found:
        st.caption(_why_none(position in view.excluded))
        return
    st.caption(
        f"{len(found):,} latents fire here, strongest first." if len(found) > 1 else "1 latent fires here."
    )
    actions = st.container(horizontal=True)
    latent = _draw_list(atlas, found, names, f"{key}.latents.{position}")
    with actions:
        _draw_actions(engine, atlas, latent, pin_key)
    draw_tray_problem()


def _why_none(excluded: bool) -> str:
    if excluded:
        return "A special token or an attention sink: its code means nothing, so its latents are not listed."
    return "No latent fires here."


def _draw_list(
    atlas: Atlas | None, found: tuple[tuple[int, float], ...], names: Mapping[int, Name], key: str
) -> int:
    """The table; returns the latent of the chosen row."""
    latents = [latent for latent, _ in found]
    columns: dict[str, list] = {
        "latent": latents,
        "activation": [value for _, value in found],
        **name_columns(names, latents),
    }
    if atlas is not None:
        rows = atlas.rows(latents)
        columns["share"] = [
            100 * value / row.max if row.max else None for (_, value), row in zip(found, rows, strict=True)
        ]
        columns["writes"] = ["  ".join(map(visible, row.positive[:_WRITTEN])) for row in rows]
    event = st.dataframe(
        columns, hide_index=True, key=key, on_select="rerun", selection_mode="single-row-required",
        selection_default={"selection": {"rows": [0]}}, alt="Latents that fire at the token",
        height=300, column_config=_columns(), placeholder="",
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    return found[chosen[0] if chosen and chosen[0] < len(found) else 0][0]


def _columns() -> dict[str, object]:
    column = st.column_config
    return {
        "latent": column.NumberColumn("Latent", width=65, format="%d", pinned=True),
        "activation": column.NumberColumn("Activation", width=80, format="%.3f"),
        **name_config(110),
        "share": column.NumberColumn(
            "Of its max", width=80, format="%.0f %%", help="Against its largest activation in the atlas"
        ),
        "writes": column.TextColumn("Writes", width=130, help="Tokens its decoder row raises (logit lens)"),
    }


def _draw_actions(engine: Engine, atlas: Atlas | None, latent: int, pin_key: str) -> None:
    pinned = st.session_state.get(pin_key) == latent
    st.button("Colours the text" if pinned else f"Colour by {latent}", key="atlas.prompt.colour",
              icon=":material/format_color_fill:", disabled=pinned, on_click=_pin,
              args=(pin_key, latent))  # fmt: skip
    draw_tray(engine, latent, atlas.latent(latent) if atlas else None, "atlas.prompt")
    st.button("Open card", key="atlas.prompt.card", icon=":material/open_in_full:", on_click=open_latent,
              args=(latent,))  # fmt: skip


def _pin(pin_key: str, latent: int) -> None:
    st.session_state[pin_key] = latent
