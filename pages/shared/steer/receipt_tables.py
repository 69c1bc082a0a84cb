"""The receipt of one lane as two tables: token by token and latent by latent, one click away."""

from functools import partial

import streamlit as st

from pages.shared.latent.state import open_latent, row_selected, table_key
from pages.shared.naming import name_columns, name_config, names_of
from pages.shared.steer.strip_values import KL, SHARE, Finished, known_values
from pages.shared.tokens import visible
from sas_core.steering.engine import Engine
from sas_core.steering.receipt import Receipt, TokenReceipt

_LANE = "steer.receipt.lane"
_ROWS = 100
_LEFT_ALONE = {"sink": "left alone: attention sink", "gate": "left alone: every gate shut"}


def draw_details(run: Finished) -> None:
    """The receipt of one lane by token and by latent, one click away."""
    lanes = [i for i, lane in enumerate(run.lanes) if lane.receipt is not None and lane.receipt.by_token()]
    if not lanes:
        return
    with st.expander("Receipt by token and by latent"):
        index = _choose(run, lanes)
        lane = run.lanes[index]
        by_token, by_latent = st.columns(2, gap="medium")
        with by_token:
            _draw_by_token(run, index, lane.receipt)
        with by_latent:
            if lane.receipt.latents:
                _draw_by_latent(run.engine, lane.receipt)
            else:
                st.caption("This lane adds a direction of the residual; it asks no latent for anything.")


def _choose(run: Finished, lanes: list[int]) -> int:
    # by name: a lane that is promoted changes its place, and the choice stays with it
    named = {run.lanes[i].name: i for i in reversed(lanes)}
    names = sorted(named, key=named.__getitem__)
    if len(names) == 1:
        return named[names[0]]
    if st.session_state.get(_LANE) not in named:
        st.session_state[_LANE] = names[0]
    return named[st.selectbox("Receipt of", names, key=_LANE, persist_state="session")]


def _draw_by_token(run: Finished, index: int, receipt: Receipt) -> None:
    tokens = receipt.by_token()
    changes = known_values(run, index, KL) or ()
    pieces = _pieces(run, index, tokens)
    columns: dict[str, list] = {
        "token": [token.place + 1 if token.place >= 0 else None for token in tokens],
        "text": pieces,
        "edit": [_LEFT_ALONE[t.left_alone] if t.left_alone else "steered" for t in tokens],
        "share": [token.share if token.left_alone is None else None for token in tokens],
    }
    if changes:
        columns["kl"] = [changes[t.place] if 0 <= t.place < len(changes) else None for t in tokens]
    top = max(1.0, max((token.share for token in tokens), default=0.0))
    st.dataframe(
        columns, hide_index=True, height=280, key="steer.receipt.tokens", placeholder="",
        alt="Every token of the steered region with what was added there",
        column_config={
            "token": st.column_config.NumberColumn("Token", width=55, format="%d"),
            "text": st.column_config.TextColumn("Chosen there", width=95),
            "edit": st.column_config.TextColumn("Edit", width=85),
            "share": st.column_config.ProgressColumn(
                SHARE.name.capitalize(), min_value=0.0, max_value=top, format="%.3f", help=SHARE.help
            ),
            "kl": st.column_config.NumberColumn("KL, nats", width=75, format="%.3f", help=KL.help),
        },
    )  # fmt: skip
    st.caption("One row for each token of the steered region: the token that was chosen from its residual.")


def _pieces(run: Finished, index: int, tokens: tuple[TokenReceipt, ...]) -> list[str]:
    """The token chosen at each place; inside the prompt, the prompt's own token there."""
    prompt = run.engine.prompt_of(run.request, run.request.lanes[index]).ids
    read = run.engine.turns.pieces(prompt)
    written = run.lanes[index].pieces
    found = []
    for token in tokens:
        if token.place < 0:
            found.append(f"in the prompt: {visible(read[len(read) - 1 + token.place])}")
        else:
            # the last token may have been stopped before it was written
            found.append(visible("".join(written[token.place : token.place + 1])) or "(nothing)")
    return found


def _draw_by_latent(engine: Engine, receipt: Receipt) -> None:
    rows = sorted(receipt.latents, key=lambda r: -abs(r.requested - r.before))[:_ROWS]
    key, indices = table_key("steer.receipt"), [r.index for r in rows]
    st.dataframe(
        {
            "latent": indices,
            **name_columns(names_of(engine, indices), indices),
            "before": [r.before for r in rows],
            "requested": [r.requested for r in rows],
            "realised": [r.realised for r in rows],
        },
        hide_index=True,
        key=key,
        on_select=partial(row_selected, key, indices, open_latent),
        selection_mode="single-row",
        column_config={
            **{
                name: st.column_config.NumberColumn(format="%.2f")
                for name in ("before", "requested", "realised")
            },
            **name_config(),
        },
        height=280,
        placeholder="",
    )
    st.caption(
        "Means over the steered tokens. Realised: the edited residual encoded again; directions of "
        "different latents overlap, so it differs from what was requested. Select a row to open its card."
    )
