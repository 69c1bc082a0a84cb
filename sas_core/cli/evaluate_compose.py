"""`evaluate compose`: vectors together over a grid of strengths, scored on every behaviour."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sas_core.cli.common import AsJson, Loading, takes_engine
from sas_core.cli.evaluated import read_heldout, with_interval
from sas_core.cli.output import finish, note, plain, quiet, show, show_json, table
from sas_core.cli.terms import find_vector
from sas_core.cli.zone import parse_scales
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.shipped import load_behaviour
from sas_core.errors import BadInput
from sas_core.evaluation.composition.told import composition_document, strongest
from sas_core.evaluation.facts import facts, finite
from sas_core.evaluation.heldout import behaviour_of, heldout_of
from sas_core.vectors.fields import VectorFile

if TYPE_CHECKING:
    from sas_core.evaluation.composition.measure import CompositionReport


@takes_engine
def compose(
    loading: Loading,
    vector: Annotated[
        list[str], typer.Option(metavar="FILE|NAME", help="A vector file or a saved vector; two at least.")
    ],
    scales: Annotated[
        str, typer.Option(help="Strengths (lambda) of each vector; 0 is always measured.")
    ] = "-2,0,2",
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SCALES", help="Other strengths for one vector; may be repeated."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE", help="Score this behaviour, or file of pairs, too; may be repeated."
        ),
    ] = None,
    at: Annotated[
        float | None,
        typer.Option(help="Strength of the off-target matrix.", show_default="the largest of each vector"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Steer with several vectors at every combination of strengths; score every behaviour they come from."""
    files = [find_vector(text) for text in vector]
    asked = _grid([file.name for file in files], scales, grid or [])
    heldout = _behaviours(files, on or [])
    with quiet():
        from sas_core.evaluation.composition.measure import check_grid, evaluate_composition
        from sas_core.evaluation.margin import Progress

        strengths = check_grid([file.name for file in files], asked)
        alone = _alone([file.name for file in files], strengths, at)
        engine = loading.engine()
        events = evaluate_composition(engine, files, heldout, asked)
        report = finish(events, Progress, f"{' + '.join(file.name for file in files)}: scoring the pairs")
    if as_json:
        return show_json(finite(composition_document(facts(engine), report, alone)))
    return show(_points(report), _off_target(report, alone), plain(_sentences(report)))


def _grid(names: Sequence[str], scales: str, others: Sequence[str]) -> list[tuple[float, ...]]:
    """The strengths of each vector. Raises BadInput, naming the option that cannot be read."""
    asked = dict.fromkeys(names, parse_scales(scales) or ())
    for text in others:
        # a name may hold the sign itself
        name, _, own = text.rpartition("=")
        if name not in asked:
            raise BadInput(f"--grid {text[:60]!r} names none of the vectors ({', '.join(names)}).")
        try:
            asked[name] = tuple(float(part) for part in own.split(",") if part.strip())
        except ValueError:
            raise BadInput(f"--grid {text[:60]!r} is not a name and strengths like sea=-2,0,2.") from None
    return [asked[name] for name in names]


def _alone(
    names: Sequence[str], strengths: Sequence[tuple[float, ...]], at: float | None
) -> tuple[float, ...]:
    if at is None:
        return strongest(strengths)
    for name, own in zip(names, strengths, strict=True):
        if at not in own or not at:
            raise BadInput(f"--at {at:g} is none of the strengths of {name} other than 0; add it to them.")
    return (at,) * len(names)


def _behaviours(files: Sequence[VectorFile], others: Sequence[str]) -> dict[str, PairSet]:
    """Behaviour -> held-out pairs: those behind the vectors, then those asked for."""
    found = heldout_of(files)
    for file in files:
        if behaviour_of(file) is None and not others:
            note(f"{file.name} names no shipped contrast, so its own behaviour is not scored; see --on.")
    for text in others:
        is_file = Path(text).is_file()
        found[text] = read_heldout(Path(text), files) if is_file else load_behaviour(text).heldout
    if not found:
        raise BadInput("None of the vectors was built from a shipped contrast; say what to score with --on.")
    return found


def _points(report: "CompositionReport") -> Any:
    rows = [
        (
            *(f"{s:+g}" for s in point.strengths), behaviour.name, with_interval(point.changes[n]),
            with_interval(point.extra[n]) if point.extra else "",
        )
        for point in report.points
        if any(point.strengths)
        for n, behaviour in enumerate(report.behaviours)
    ]  # fmt: skip
    columns = (*report.vectors, "on", "change [95 %]", "extra [95 %]")
    return table(columns, rows, right=(*report.vectors, *columns[-2:]))


def _off_target(report: "CompositionReport", alone: Sequence[float]) -> Any:
    rows = [
        (f"{name} alone at {strength:+g}", *map(with_interval, changes))
        for name, strength, changes in zip(
            report.vectors, alone, report.off_target(alone), strict=True
        )
    ]  # fmt: skip
    columns = tuple(f"on {behaviour.name} [95 %]" for behaviour in report.behaviours)
    return table(("off target", *columns), rows, right=columns)


def _sentences(report: "CompositionReport") -> str:
    pairs = ", ".join(f"{b.name} on {b.count} pairs in {b.unit}" for b in report.behaviours)
    return (
        f"Change of the margin against the unsteered model: {pairs}.\n"
        "Extra: the change, less those under each vector alone; 0 where effects add."
    )
