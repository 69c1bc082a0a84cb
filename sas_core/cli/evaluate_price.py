"""`evaluate price`: what a vector costs on texts, answers and questions that have nothing to do with it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sas_core.cli.common import AsJson, Loading, takes_engine
from sas_core.cli.output import finish, note, quiet, show, show_json, table
from sas_core.cli.terms import find_vector
from sas_core.cli.zone import parse_scales
from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.parse import read_pairs
from sas_core.errors import BadInput
from sas_core.evaluation.bootstrap import Estimate
from sas_core.evaluation.choices import items_of
from sas_core.evaluation.facts import facts, finite
from sas_core.evaluation.plan import plan
from sas_core.evaluation.price_report import PriceReport, PriceRow
from sas_core.steering.spec import Sampling

if TYPE_CHECKING:
    pass


@takes_engine
def price(
    loading: Loading,
    vector: Annotated[str, typer.Option(metavar="FILE|NAME", help="A vector file, or a saved vector.")],
    scales: Annotated[str, typer.Option(help="Strengths (lambda); 0 is always measured.")] = "-2,-1,0,1,2",
    texts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Held-out texts, one a row.", show_default="neutral answers"),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prompts to answer.", show_default="neutral questions"),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Two-answer questions, as CAA writes its own and MMLU."),
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="So many rows of each file, the first.")] = 100,
    max_new_tokens: Annotated[int, typer.Option(help="Of each answer.")] = 40,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the draws and of the control's direction.")] = 0,
    control: Annotated[
        bool, typer.Option("--control/--no-control", help="A random direction of equal norm beside it.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Perplexity of held-out text and of steered answers, repetition, KL and accuracy, per strength."""
    file, wanted = find_vector(vector), plan(parse_scales(scales) or (), (), 1).scales
    sampling = Sampling(max_new_tokens, temperature, seed=seed)
    questions = None if items is None else _questions(items, most)
    for path in (texts, prompts):
        if path is not None and not path.is_file():
            raise BadInput(f"There is no file {path}. Check the path.")
    with quiet():
        from sas_core.evaluation.margin import Progress
        from sas_core.evaluation.price import evaluate_price
        from sas_core.evaluation.texts import read_prompts, read_texts

        asked = None if prompts is None else read_prompts(prompts, most)
        engine = loading.engine()
        held_out = None if texts is None else read_texts(texts, engine.turns, most)
        events = evaluate_price(
            engine, file, wanted, texts=held_out, prompts=asked, items=questions, sampling=sampling,
            control=control, seed=seed,
        )  # fmt: skip
        report = finish(events, Progress, f"{file.name}: measuring the price")
    if as_json:
        return show_json({**facts(engine), **finite(_document(report)), "sampling": asdict(sampling)})
    return show(_reading(report), _writing(report), _sentences(report))


def _questions(path: Path, most: int) -> PairSet:
    found = read_pairs(path)
    for problem in found.problems:
        note(f"{problem.severity.capitalize()}: {problem.message}")
    pairs = usable(found.pairs)
    some = PairSet(pairs.name, pairs.pairs[:most], pairs.form)
    if not items_of(some):
        raise BadInput(f"{path} has no usable item; add at least one with two different answers.")
    return some


def _document(report: PriceReport) -> dict[str, Any]:
    rows = [
        {
            **asdict(row),
            "texts": row.texts and {**asdict(row.texts), "perplexity": asdict(row.texts.perplexity)},
            "written": row.written and {**asdict(row.written), "perplexity": asdict(row.written.perplexity)},
        }
        for row in report.rows
    ]
    return {**asdict(report), "rows": rows, "capability_at_chance": report.capability_at_chance}


def _reading(report: PriceReport) -> Any:
    columns = ("reading", "lambda", "perplexity [95 %]", "extra nats [95 %]", "KL [95 %]", "accuracy [95 %]")
    rows = [(row.arm, f"{row.scale:+g}", *_read_cells(row), _shown(row.accuracy)) for row in report.rows]
    return table(columns, rows, right=columns[1:])


def _read_cells(row: PriceRow) -> tuple[str, ...]:
    found = row.texts
    if found is None:
        return "not finite", "", ""
    return _shown(found.perplexity, ".4g"), _shown(found.extra, "+.3f"), _shown(found.kl)


def _writing(report: PriceReport) -> Any:
    columns = ("writing", "lambda", "perplexity [95 %]", "KL", "distinct 1/2/3", "repeated", "zlib", "tokens")
    rows = [(row.arm, f"{row.scale:+g}", *_written_cells(row)) for row in report.rows]
    return table(columns, rows, right=columns[1:])


def _written_cells(row: PriceRow) -> tuple[str, ...]:
    found = row.written
    if found is None:
        return ("not finite", *("",) * 5)
    return (
        _shown(found.perplexity, ".4g"),
        f"{found.kl.value:.3f}",
        "/".join(f"{each.value:.2f}" for each in found.distinct),
        f"{found.repeated.value:.1%}",
        f"{found.compression.value:.2f}",
        f"{found.tokens.value:.1f}",
    )


def _shown(found: Estimate | None, form: str = ".3f") -> str:
    if found is None:
        return ""
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _sentences(report: PriceReport) -> str:
    said = [
        f"{report.vector}: {report.texts} held-out texts ({report.scored_tokens:,} tokens), {report.prompts} "
        f"answers, {report.items} questions. Nats and KL are per token; the perplexity of answers is the "
        "unsteered model's.",
        *filter(None, map(_warning, report.rows)),
    ]
    if report.capability_at_chance:
        said.append(
            "Unsteered accuracy is at chance: this model does not answer such questions, so a flat column "
            "says nothing about the vector."
        )
    return "\n".join(said)


def _warning(row: PriceRow) -> str:
    """What the figures of a row leave out, or hide."""
    parts = []
    if row.not_finite:
        parts.append(f"{row.not_finite:.0%} of the answers broke off, their activations not finite numbers")
    if row.written is not None and row.written.without_effect:
        parts.append(f"in {row.written.without_effect:.0%} of the answers nothing was changed")
    return f"Lambda {row.scale:+g}, {row.arm}: {'; '.join(parts)}." if parts else ""
