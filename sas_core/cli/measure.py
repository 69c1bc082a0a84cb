"""`measure-sae`: what a dictionary loses on held-out text, as a table, JSON, or its card."""

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sas_core.cli.common import AsJson, Loading, takes_engine
from sas_core.cli.output import quiet, show, show_json, table, working
from sas_core.errors import BadInput

if TYPE_CHECKING:
    from sas_core.steering.engine import Engine

_COLUMNS = ("fvu", "l0", "ce_increase", "recovered_zero", "recovered_mean", "dead_share", "positions")


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
    kinds = dict(_named(each) for each in text)
    with quiet():
        engine = loading.engine()
        found = {kind: _measure(engine, kind, path, windows, context_size) for kind, path in kinds.items()}
        if card is not None:
            _write_card(card, found)
    if as_json:
        return show_json(found)
    rows = [(kind, *(f"{m[c]:,}" for c in _COLUMNS)) for kind, m in found.items()]
    return show(table(("text", *_COLUMNS), rows, right=_COLUMNS))


def _named(text: str) -> tuple[str, str]:
    name, _, path = text.rpartition("=")
    return (name or Path(path).name.partition(".")[0]), path


def _measure(engine: "Engine", kind: str, path: str, count: int, context_size: int) -> dict[str, Any]:
    from sas_core.dictionary import corpus
    from sas_core.dictionary.measure import measure

    source = corpus.windows([corpus.Source(path)], engine.turns.tokenizer, context_size)
    with working(f"Measuring on {kind}"):
        taken = list(itertools.islice(source, count))
        if not taken:
            raise BadInput(f"{path} holds less than one window of {context_size} tokens; give more text.")
        return measure(engine.model, engine.dictionary, iter(taken)).as_dict()


def _write_card(training: Path, found: dict[str, dict[str, Any]]) -> None:
    from sas_core.dictionary.card import write_card

    try:
        made = json.loads(training.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{training} is not a readable training.json ({type(error).__name__}).") from error
    write_card(training.parent, made, found)
