"""`activations`: which latents fire at each token of a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sas_core.cli.common import AsJson, Loading, placed, takes_engine
from sas_core.cli.files import read_text_option
from sas_core.cli.output import note, quiet, show, show_json, table

if TYPE_CHECKING:
    from torch import Tensor

    from sas_core.steering.engine import Engine

_SHOWN = 8


@takes_engine
def activations(
    loading: Loading,
    text: Annotated[str, typer.Option(help="The text to read; - reads standard input.")],
    chat: Annotated[
        bool, typer.Option("--chat", help="Read it as a user's turn, template included.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help="Latents per token, the strongest first.", show_default=f"all, or {_SHOWN} in a table"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the active latents of every token of a text.

    Special tokens and attention sinks are listed with their latents and marked: their codes mean nothing,
    and rankings leave them out.
    """
    text = read_text_option(text, "text")
    with quiet():
        engine = loading.engine()
        ids = engine.turns.encode(text, chat=chat).ids
        latents, excluded = engine.latents_of(ids)
        rows = [_row(engine, token, latents[at], bool(excluded[at])) for at, token in enumerate(ids)]
    if as_json:
        return show_json([{**row, "features": row["features"][:top]} for row in rows])
    show(_table(rows, top or _SHOWN))
    return note(f"Latents of {engine.hook_name}. {placed(engine)}")


def _row(engine: "Engine", token: int, latents: "Tensor", excluded: bool) -> dict[str, Any]:
    active = latents.nonzero().squeeze(-1)
    values, order = latents[active].sort(descending=True, stable=True)
    why = "special token" if token in engine.turns.special_ids else "attention sink"
    return {
        "token": engine.turns.pieces([token])[0],
        "token_id": token,
        "features": [
            [index, value] for index, value in zip(active[order].tolist(), values.tolist(), strict=True)
        ],
        "excluded": why if excluded else None,
    }


def _table(rows: Sequence[dict[str, Any]], top: int) -> Any:
    columns = ("position", "token", "active", "strongest latents", "left out")
    cells = [
        (at, repr(row["token"]), len(row["features"]), _spelt(row["features"][:top]), row["excluded"] or "")
        for at, row in enumerate(rows)
    ]
    return table(columns, cells, right=("position", "active"))


def _spelt(features: Sequence[Sequence[float]]) -> str:
    return ", ".join(f"{index}: {value:.2f}" for index, value in features)
