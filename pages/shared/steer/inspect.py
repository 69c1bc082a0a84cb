"""One generated token under the glass: what each lane would have written there, and the latents behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from pages.shared.header import session_id
from pages.shared.latent.head import draw_tray, draw_tray_problem
from pages.shared.latent.state import open_latent
from pages.shared.loaded import get_atlas
from pages.shared.naming import name_columns, name_config, names_of
from pages.shared.steer.stage import INSPECTED
from pages.shared.steer.strip_values import Finished
from pages.shared.tokens import plain, safe, show_html, visible
from sas_core.errors import Cancelled, SteerscopeError
from sas_core.steering.compare import Alternative, LatentThere, TokenInspection, inspect_token
from sas_core.steering.engine import Engine

_FOUND = "steer.inspection"
_HEIGHT = 300
_WRITTEN = 3


@dataclass(frozen=True)
class Looked:
    """A token of a run: its lane and its position, both from 0."""

    run: tuple[str, ...]
    lane: int
    position: int


def look_at(run: Finished, lane: int, position: int) -> None:
    """Open the inspector on a token, until the run is another or it is closed."""
    st.session_state[INSPECTED] = Looked(run.keys, lane, position)


def looked_at(run: Finished) -> Looked | None:
    """The token of this very run that is open."""
    looked: Looked | None = st.session_state.get(INSPECTED)
    return looked if looked is not None and looked.run == run.keys else None


def close_inspector() -> None:
    """Forget the token. Fit for widget callbacks."""
    st.session_state.pop(INSPECTED, None)


def draw_inspector(run: Finished, looked: Looked) -> None:
    """What is expected in the token's place in every lane; the latents before and after the lane's edit."""
    lane = run.lanes[looked.lane]
    with st.container(border=True, key="steer-inspector", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**Token {looked.position + 1}** &ensp;{plain(_piece(lane.pieces[looked.position]))}&ensp; "
                f":gray[of {plain(lane.name)}]",
                width="stretch",
            )
            st.button("Close", key="steer.inspect.close", icon=":material/close:", type="tertiary",
                      on_click=close_inspector)  # fmt: skip
        try:
            with st.spinner("Looking at the token"):
                found = _found(run, looked)
        except Cancelled:
            return
        except SteerscopeError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        left, right = st.columns(2, gap="medium")
        with left.container(border=False, height=_HEIGHT):
            st.caption("Likeliest tokens here, after the words of this lane")
            show_html(alternatives_html([each.name for each in run.lanes], found))
        with right.container(border=False, height=_HEIGHT, gap="xsmall"):
            _draw_latents(run.engine, found, looked)


def _found(run: Finished, looked: Looked) -> TokenInspection:
    kept: tuple[Looked, TokenInspection] | None = st.session_state.get(_FOUND)
    if kept is None or kept[0] != looked:
        found = inspect_token(
            run.engine, run.request, run.lanes, looked.lane, looked.position, session=session_id()
        )
        kept = looked, found
        st.session_state[_FOUND] = kept
    return kept[1]


def alternatives_html(names: Sequence[str], found: TokenInspection) -> str:
    """A block of bars per lane, side by side; the token that was written is bold and has a tick."""
    blocks = "".join(
        _block(name, alternatives, found.token_id)
        for name, alternatives in zip(names, found.alternatives, strict=True)
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:0.8rem 1.4rem">{blocks}</div>'


def _block(name: str, alternatives: Sequence[Alternative], chosen: int) -> str:
    rows = "".join(_bar(each, chosen=each.token_id == chosen) for each in alternatives)
    if all(each.token_id != chosen for each in alternatives):
        rows += '<div style="opacity:0.7;font-size:0.8rem">The written token is less likely than these.</div>'
    head = "font-weight:600;white-space:nowrap;overflow:hidden;text-overflow:ellipsis"
    return (
        f'<div style="flex:1 1 200px;min-width:0;max-width:340px">'
        f'<div style="{head}" title="{safe(name)}">{safe(name)}</div>{rows}</div>'
    )


def _bar(each: Alternative, *, chosen: bool) -> str:
    share = math.exp(each.logprob)
    said = f"{safe(_piece(each.piece))} {share:.3g} ({each.logprob:.2f} nats){', written' if chosen else ''}"
    text = "white-space:nowrap;overflow:hidden;text-overflow:ellipsis;flex:0 0 45%"
    fill = f"height:0.6rem;width:{100 * share:.1f}%;min-width:1px;background:currentColor;opacity:0.55"
    weight = "font-weight:700" if chosen else ""
    tick = "\u2713 " if chosen else ""
    return (
        f'<div style="display:flex;align-items:center;gap:0.4rem;line-height:1.5;{weight}" title="{said}">'
        f'<div style="{text}">{tick}{safe(_piece(each.piece))}</div>'
        f'<div style="flex:1"><div style="{fill}"></div></div>'
        f'<div style="font-variant-numeric:tabular-nums;font-size:0.85rem">{100 * share:.1f} %</div></div>'
    )


def _piece(piece: str) -> str:
    return visible(piece) or "(nothing)"


def _draw_latents(engine: Engine, found: TokenInspection, looked: Looked) -> None:
    if found.excluded:
        st.caption("An attention sink: no edit touches it, and its latents mean nothing.")
        return
    if not found.latents:
        st.caption("No latent fires in the residual that chose this token.")
        return
    st.caption("Latents of the residual that chose it, before and after this lane's edit")
    actions = st.container(horizontal=True)
    latent = _draw_table(engine, found.latents, f"steer.inspect.latents.{looked.lane}.{looked.position}")
    atlas = get_atlas(engine)
    with actions:
        st.button(f"Open card of {latent}", key="steer.inspect.card", icon=":material/open_in_full:",
                  on_click=open_latent, args=(latent,))  # fmt: skip
        draw_tray(engine, latent, atlas.latent(latent) if atlas else None, "steer.inspect")
    draw_tray_problem()


def _draw_table(engine: Engine, latents: Sequence[LatentThere], key: str) -> int:
    """The latents, strongest first, with one row chosen; returns the latent of that row."""
    indices = [there.index for there in latents]
    columns: dict[str, list] = {
        "latent": indices,
        "before": [there.unsteered for there in latents],
        "after": [there.steered for there in latents],
        **name_columns(names_of(engine, indices), indices),
    }
    atlas = get_atlas(engine)
    if atlas is not None:
        columns["writes"] = ["  ".join(map(visible, row.positive[:_WRITTEN])) for row in atlas.rows(indices)]
    event = st.dataframe(
        columns, hide_index=True, key=key, on_select="rerun", selection_mode="single-row-required",
        selection_default={"selection": {"rows": [0]}}, alt="Latents active at the token", height=210,
        column_config=_columns(), placeholder="",
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    return indices[chosen[0] if chosen and chosen[0] < len(indices) else 0]


def _columns() -> dict[str, object]:
    column = st.column_config
    return {
        "latent": column.NumberColumn("Latent", width=65, format="%d", pinned=True),
        "before": column.NumberColumn("Before", width=75, format="%.2f", help="Read as the residual came"),
        "after": column.NumberColumn("After", width=75, format="%.2f", help="Read again after the edit"),
        **name_config(110),
        "writes": column.TextColumn("Writes", width=140, help="Tokens its decoder row raises (logit lens)"),
    }
