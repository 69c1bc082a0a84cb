"""`measure-sae`: what a dictionary loses on held-out text, as a table, JSON, or its card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sas_core.cli.common import AsJson, Loading, takes_engine
from sas_core.cli.output import quiet, show, show_json, table, working
from sas_core.errors import BadInput

_COLUMNS = (
    "fvu", "l0", "ce_increase", "kl", "recovered_zero", "recovered_mean", "dead_share", "positions",
)  # fmt: skip


@takes_engine
def measure_sae(
    loading: Loading,
    text: Annotated[
        list[str], typer.Option(metavar="NAME=PATH", help="Held-out text of one kind; may be repeated.")
    ],
    windows: Annotated[int, typer.Option(min=1, help="Windows of text for each kind.")] = 64,
    context_size: Annotated[int, typer.Option(min=2, help="Tokens in a window.")] = 256,
    card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="training.json of the SAE: write its card beside it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure an SAE on held-out text: FVU, L0, cross-entropy when spliced in, silent latents."""
    kinds = dict(named_text(each) for each in text)
    training = None if card is None else _read_training(card)
    with quiet():
        from sas_core.dictionary.corpus import read_held_out
        from sas_core.dictionary.measure import measure

        engine = loading.engine()
        taken = read_held_out(kinds, engine.turns.tokenizer, windows, context_size)
        found = {}
        for kind, held_out in taken.items():
            with working(f"Measuring on {kind}"):
                found[kind] = measure(engine.model, engine.dictionary, iter(held_out)).as_dict()
    if card is not None:
        from sas_core.dictionary.card import write_card

        write_card(card.parent, training, found)
    if as_json:
        return show_json(found)
    return show(figures_table(found))


def figures_table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The figures of each kind of text."""
    rows = [(kind, *(f"{m[c]:,}" for c in _COLUMNS)) for kind, m in found.items()]
    return table(("text", *_COLUMNS), rows, right=_COLUMNS)


def named_text(text: str) -> tuple[str, str]:
    """`NAME=PATH`, or a path alone, named after its file."""
    name, _, path = text.rpartition("=")
    return (name or Path(path).name.partition(".")[0]), path


def _read_training(path: Path) -> dict[str, Any]:
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        # what every card tells
        made["spec"]["model_name"], made["positions_kept"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{path} is not a readable training.json ({type(error).__name__}).") from error
    return made
