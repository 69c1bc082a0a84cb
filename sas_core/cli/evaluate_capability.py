"""`evaluate capability`: what a vector costs in knowledge, on MMLU's, TruthfulQA's or other questions."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from sas_core.cli.common import AsJson, Loading, takes_engine
from sas_core.cli.output import finish, plain, quiet, show, show_json, table
from sas_core.cli.terms import find_vector
from sas_core.cli.zone import parse_scales
from sas_core.errors import BadInput
from sas_core.evaluation.capability.questions import read_questions
from sas_core.evaluation.plan import plan


@takes_engine
def capability(
    loading: Loading,
    vector: Annotated[str, typer.Option(metavar="FILE|NAME", help="A vector file, or a saved vector.")],
    items: Annotated[
        str,
        typer.Option(
            metavar="FILE|NAME", help="Questions in MMLU's, TruthfulQA's or CAA's form, or a hub name."
        ),
    ],
    scales: Annotated[str, typer.Option(help="Strengths (lambda); 0 is always measured.")] = "-2,-1,0,1,2",
    subset: Annotated[str | None, typer.Option(help="Of a hub data set.", show_default="the usual")] = None,
    split: Annotated[str | None, typer.Option(help="Of a hub data set.", show_default="the usual")] = None,
    most: Annotated[int, typer.Option(min=1, help="So many questions, spread over the file.")] = 100,
    shots: Annotated[
        int,
        typer.Option(min=0, help="Solved questions before each: rows of the same subject with split dev."),
    ] = 0,
    chat: Annotated[bool, typer.Option("--chat/--no-chat", help="Ask through the chat template.")] = False,
    preamble: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What stands before truthful questions.", show_default="our own"),
    ] = None,
    control: Annotated[
        bool, typer.Option("--control/--no-control", help="A random direction of equal norm beside it.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Accuracy on questions with any number of answers per strength, as lm-evaluation-harness scores them."""
    file, wanted = find_vector(vector), plan(parse_scales(scales) or (), (), 1).scales
    before = {} if preamble is None else {"preamble": _text(preamble)}
    with quiet():
        questions = read_questions(items, subset=subset, split=split, most=most, shots=shots)
        from sas_core.evaluation.capability.measure import evaluate_capability
        from sas_core.evaluation.margin import Progress

        engine = loading.engine()
        events = evaluate_capability(
            engine, file, questions, wanted, shots=shots, chat=chat, control=control, **before
        )
        report = finish(events, Progress, f"{file.name}: asking the questions")
    if as_json:
        sae = engine.dictionary.identity
        facts = {"model": engine.name, "sae": {"hook_name": sae.hook_name, "sha256": sae.sha256},
                 "device": engine.placement.device, "dtype": engine.placement.dtype}  # fmt: skip
        return show_json({**facts, **asdict(report), "at_chance": report.at_chance})
    return show(_table(report), plain("\n".join(report.sentences())))


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}). Check the path.") from error
    if not text:
        raise BadInput(f"{path} is empty; write solved questions into it, or leave --preamble out.")
    return text


def _table(report: Any) -> Any:
    names = tuple(report.chance)
    rows = [
        (row.arm, f"{row.scale:+g}", "" if row.moved is None else f"{row.moved:.2f}",
         *(_shown(row.scores[name].value) for name in names))
        for row in report.rows
    ]  # fmt: skip
    columns = ("answers", "lambda", "moved", *(f"{name} [95 %]" for name in names))
    return table(columns, rows, right=columns[1:])


def _shown(found: Any) -> str:
    return "not finite" if found is None else f"{found.value:.3f} [{found.low:.2f}, {found.high:.2f}]"
