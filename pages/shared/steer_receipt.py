"""What steering did, in words, with the numbers one click away."""

from functools import partial

import streamlit as st

from pages.shared.latent_state import open_latent, row_selected, table_key
from pages.shared.steer_stage import Stage
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import LaneResult, Request, first_difference
from sas_core.steering.receipt import Receipt

_ROWS = 100


def draw_receipt(
    engine: Engine, request: Request, lanes: tuple[LaneResult, ...], stage: Stage, *, finished: bool
) -> None:
    """Receipt sentence, colour switch and the table, under the lanes."""
    if len(lanes) < 2 or lanes[1].problem:
        return
    with stage.below:
        receipt = lanes[1].receipt
        if receipt is not None:
            st.text(f"{receipt.sentence()} {_difference(lanes)}")
        if finished and st.toggle(
            "Colour by change of log-probability", key="steer.colour", persist_state="session",
            help="Nats, for the same text. Orange: likelier under steering than without; blue: less likely",
        ):  # fmt: skip
            _colour(engine, request, lanes, stage)
        if receipt is not None and receipt.latents:
            with st.expander(f"Receipt: {len(receipt.latents)} latents before, requested and realised"):
                _table(receipt)


def _difference(lanes: tuple[LaneResult, ...]) -> str:
    at = first_difference(lanes[0].token_ids, lanes[1].token_ids)
    if at is None:
        return "Both lanes chose the same tokens."
    return f"The lanes part at token {at + 1} (underlined)."


def _colour(engine: Engine, request: Request, lanes: tuple[LaneResult, ...], stage: Stage) -> None:
    cached = st.session_state.get("steer.changes")
    if cached is None or cached[0] != lanes[1].token_ids:
        try:
            changes = engine.logprob_change(request, request.lanes[1], lanes[1])
        except SteerscopeError as error:
            st.error(str(error), icon=":material/error:")
            return
        cached = (lanes[1].token_ids, changes)
        st.session_state["steer.changes"] = cached
    stage.draw(lanes, cached[1])


def _table(receipt: Receipt) -> None:
    rows = sorted(receipt.latents, key=lambda r: -abs(r.requested - r.before))[:_ROWS]
    key = table_key("steer.receipt")
    st.dataframe(
        {
            "latent": [r.index for r in rows],
            "before": [r.before for r in rows],
            "requested": [r.requested for r in rows],
            "realised": [r.realised for r in rows],
        },
        hide_index=True,
        key=key,
        on_select=partial(row_selected, key, [r.index for r in rows], open_latent),
        selection_mode="single-row",
        column_config={
            name: st.column_config.NumberColumn(format="%.2f") for name in ("before", "requested", "realised")
        },
        height=280,
    )
    st.caption(
        "Means over the steered tokens. Realised: the edited residual encoded again; directions of "
        "different latents overlap, so it differs from what was requested. Select a row to open its card."
    )
