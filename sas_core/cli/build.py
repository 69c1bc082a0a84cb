"""`vector build`: contrastive pairs -> ranking -> vector file, with what a reader should know on stderr."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sas_core.cli.common import Loading, placed, takes_engine
from sas_core.cli.files import check_writable
from sas_core.cli.output import note, note_table, quiet, show_steps, table
from sas_core.cli.vector import COLUMNS, columns
from sas_core.contrast.lint import lint, usable
from sas_core.contrast.pairs import PairSet, Problem
from sas_core.contrast.parse import read_pairs
from sas_core.contrast.positions import Position, resolve_position
from sas_core.contrast.shipped import load_behaviour
from sas_core.errors import BadInput
from sas_core.steering.spec import LARGEST_STRENGTH
from sas_core.text_file import write_file
from sas_core.vectors.schema import VectorFile, dump_vector, name_fault

if TYPE_CHECKING:
    from rich.table import Table

    from sas_core.contrast.choice import Choice
    from sas_core.contrast.ranking import Ranking
    from sas_core.contrast.select import Sides
    from sas_core.steering.engine import Engine

_SHOWN = 10
_MOST_PROBLEMS = 10


@takes_engine
def build(
    loading: Loading,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the vector is written, as JSON.")],
    behaviour: Annotated[
        str | None, typer.Option(metavar="NAME", help="A shipped contrast; `behaviours` lists them.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own pairs: CSV, JSONL or CAA's JSON.")
    ] = None,
    tau: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a side's texts in which a kept latent fires.")
    ] = 0.7,
    position: Annotated[
        Literal["auto", "answer", "last", "completion-mean", "completion-often"],
        typer.Option(help="Where latents are read; auto: answer, or completion-mean for free text."),
    ] = "auto",
    sides: Annotated[
        Literal["both", "positive", "negative"], typer.Option(help="Keep v+ and v-, or one of them.")
    ] = "both",
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Keep the k largest latents of each side.",
            show_default="32 for free text, unless it is said what becomes of shared ones",
        ),
    ] = None,
    keep_shared: Annotated[
        bool | None,
        typer.Option(
            "--keep-shared/--drop-shared",
            show_default="kept for free text",
            help="Keep the difference of latents that pass tau on both sides, or drop them.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the vector.", show_default="the behaviour's or file's")
    ] = None,
    strength: Annotated[float, typer.Option(help="The scale at which a user should start.")] = 1.0,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Leave out the recorded run that `vector check` repeats.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """Build the SAS vector of a contrast and write it to a file."""
    check_writable(out, force=force)
    contrast = _contrast(behaviour, pairs)
    name = _checked_name(name or behaviour or Path(contrast.name).stem)
    _check_strength(strength)
    read_at = resolve_position(position, contrast.form)
    with quiet():
        from sas_core.vectors.build import sas_vector_file

        engine = loading.engine()
        ranking = _ranking(engine, contrast, read_at)
        choice = _choice(contrast, tau, sides, top_k, keep_shared)
        file = sas_vector_file(engine, name, ranking, choice, strength=strength, verify=not no_verify)
        write_file(out, dump_vector(file))
        note(ranking.vector(choice)[1].sentence())
        note_table(_largest(engine, file))
    note(f"{file.name!r} with {len(file.features):,} latents is in {out}. {placed(engine)}")


def _choice(
    contrast: PairSet, tau: float, sides: "Sides", top_k: int | None, keep_shared: bool | None
) -> "Choice":
    """What was said, and for the rest what pairs of this form begin with."""
    from sas_core.contrast.choice import Choice, begin_with

    if keep_shared is not None:
        return Choice(tau, sides, top_k, drop_shared=not keep_shared)
    begun = begin_with(contrast.form)
    return Choice(tau, sides, top_k or begun.top_k, drop_shared=begun.drop_shared)


def _contrast(behaviour: str | None, path: Path | None) -> PairSet:
    """The pairs to rank, with what is wrong with them told on stderr."""
    if (behaviour is None) == (path is None):
        raise BadInput("Give --behaviour NAME or --pairs FILE, one of the two.")
    if behaviour is not None:
        pairs, problems = load_behaviour(behaviour).train, ()
    else:
        parsed = read_pairs(str(path))
        pairs, problems = parsed.pairs, parsed.problems
    found: tuple[Problem, ...] = (*problems, *lint(pairs))
    for problem in found[:_MOST_PROBLEMS]:
        note(f"{problem.severity.capitalize()}: {problem.message}")
    if len(found) > _MOST_PROBLEMS:
        note(f"And {len(found) - _MOST_PROBLEMS} more findings about these pairs.")
    if not len(usable(pairs)):
        raise BadInput(f"{pairs.name} has no pair with two different sides; add at least one.")
    return pairs


def _checked_name(name: str) -> str:
    fault = name_fault(name)
    if fault:
        raise BadInput(f"The vector's name {fault}; give another with --name.")
    return name


def _check_strength(strength: float) -> None:
    if not math.isfinite(strength) or abs(strength) > LARGEST_STRENGTH:
        raise BadInput(f"The strength {strength:g} is not usable; choose one within ±{LARGEST_STRENGTH:g}.")


def _ranking(engine: "Engine", pairs: PairSet, position: Position) -> "Ranking":
    from sas_core.contrast.ranking import Ranking, rank

    finished: list[Ranking] = []

    def steps() -> Iterator[tuple[str, float]]:
        for event in rank(engine, pairs, position):
            if isinstance(event, Ranking):
                finished.append(event)
            else:
                yield f"Reading the pairs: {event.done:,} of {event.total:,} texts", event.done / event.total

    show_steps(steps())
    return finished[0]


def _largest(engine: "Engine", vector: VectorFile) -> "Table":
    from sas_core.atlas.lens import writes

    features = vector.features[:_SHOWN]
    tokens = writes(engine, [feature.index for feature in features], k=4)
    rows = [(*columns(f), " ".join(map(repr, w.up))) for f, w in zip(features, tokens, strict=True)]
    return table((*COLUMNS, "raises the tokens"), rows, right=COLUMNS)
