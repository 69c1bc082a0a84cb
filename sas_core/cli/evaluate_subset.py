"""`evaluate subset`: the fewest latents of a vector that keep its effect, and what they do two at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sas_core.cli.atlas_open import AtlasPath, opened
from sas_core.cli.common import AsJson, Loading, takes_engine
from sas_core.cli.evaluated import heldout_pairs, with_interval
from sas_core.cli.files import check_writable
from sas_core.cli.output import note, plain, quiet, show, show_json, show_steps, table
from sas_core.cli.terms import find_vector
from sas_core.errors import BadInput, SteerscopeError
from sas_core.evaluation.facts import facts, finite
from sas_core.evaluation.subset.told import pruned_vector, subset_name, subset_sentence
from sas_core.text_file import write_file
from sas_core.vectors.fields import name_fault
from sas_core.vectors.schema import dump_vector

if TYPE_CHECKING:
    from sas_core.evaluation.bootstrap import Estimate
    from sas_core.evaluation.subset.search import SubsetReport
    from sas_core.evaluation.subset.told import ScoredSubset
    from sas_core.steering.engine import Engine


@takes_engine
def subset(
    loading: Loading,
    vector: Annotated[str, typer.Option(metavar="FILE|NAME", help="A vector file, or a saved vector.")],
    heldout: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Held-out pairs.", show_default="the behaviour's own"),
    ] = None,
    scale: Annotated[float, typer.Option(help="Strength (lambda) of the effect that is kept.")] = 2.0,
    keep: Annotated[float, typer.Option(help="Share of the effect to keep.")] = 0.9,
    pairs: Annotated[
        int, typer.Option(help="So many of its latents, the most needed, are tried two at a time.")
    ] = 12,
    seeds: Annotated[int, typer.Option(help="Random parts of equal size to compare with.")] = 3,
    split_seed: Annotated[int, typer.Option(min=0, help="Of the halves that choose and report.")] = 0,
    cache: AtlasPath = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the pruned vector here.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the pruned vector.", show_default="NAME subset")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prune a vector to few latents that keep its effect: chosen on half of the pairs, told on the rest."""
    file = find_vector(vector)
    scored = heldout_pairs(file, heldout)
    called = name if name is not None else subset_name(file.name)
    if fault := name_fault(called):
        raise BadInput(f"The pruned vector's name {fault}; give another with --name.")
    if out is not None:
        check_writable(out, force=force)
    with quiet():
        from sas_core.evaluation.subset.search import check_asked, smallest_subset

        check_asked(scale, keep, pairs, seeds)
        engine = loading.engine()
        atlas = _atlas_of(engine, cache)
        report = _finished(
            smallest_subset(
                engine, file, scored, scale, keep=keep, strongest=pairs, seeds=seeds, split_seed=split_seed
            ),
            file.name,
        )
        scored_latents = _scored(engine, report, atlas)
        if out is not None:
            write_file(out, dump_vector(pruned_vector(engine, file, report, called)))
            note(f"The pruned vector is in {out}.")
    if as_json:
        return show_json(finite({**facts(engine), **scored_latents.document()}))
    return show(_effects(report), _latents(scored_latents), _matrix(report), plain(_sentences(report)))


def _finished(events: "Iterable[Any]", name: str) -> "SubsetReport":
    """Show the steps as a bar with what is left, return the report."""
    from sas_core.evaluation.subset.search import Step

    found: list[Any] = []

    def steps() -> Iterator[tuple[str, float]]:
        for event in events:
            if isinstance(event, Step):
                yield f"{name}: {event.left} latents keep {event.kept:.0%}", event.done / event.total
            else:
                found.append(event)

    show_steps(steps())
    return found[0]


def _atlas_of(engine: "Engine", cache: Path | None) -> Path | None:
    """The atlas that is named, else one of this SAE if there is any. Raises BadInput, Mismatch."""
    from sas_core.atlas.find import find_atlas

    if cache is None:
        try:
            return find_atlas(engine)
        except SteerscopeError as error:
            # nobody asked for it, and all but one column comes without
            note(str(error))
            return None
    with opened(cache) as (atlas, _):
        atlas.check(engine)
    return cache


def _scored(engine: "Engine", report: "SubsetReport", path: Path | None) -> "ScoredSubset":
    from sas_core.evaluation.subset.told import score_subset

    if path is None:
        found = score_subset(engine, report)
    else:
        with opened(path) as (atlas, _):
            found = score_subset(engine, report, atlas)
    if found.remark:
        note(found.remark)
    return found


def _effects(report: "SubsetReport") -> Any:
    count = len(report.latents)
    rows = [
        (f"the whole vector, {report.size} latents", f"{report.full_dev:+.3f}", with_interval(report.full)),
        (f"the subset, {count}", f"{report.subset_dev:+.3f}", with_interval(report.subset)),
        *((f"random part {n}, {count}", "", with_interval(part)) for n, part in enumerate(report.random, 1)),
    ]
    columns = ("effect of", "half that chose", "other half [95 %]")
    return table(columns, rows, right=columns[1:])


def _latents(found: "ScoredSubset") -> Any:
    rows = [
        (
            latent.index, f"{latent.value:+.3f}", f"{latent.lost_dev:+.3f}", with_interval(latent.lost),
            with_interval(latent.alone), _score(found.outputs[latent.index]),
            _score(found.inputs[latent.index]),
            latent.label or "",
        )
        for latent in found.report.latents
    ]  # fmt: skip
    columns = ("latent", "value", "lost, chose", "lost without it [95 %]", "alone [95 %]", "output", "input")
    return table((*columns, "label"), rows, right=columns)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _matrix(report: "SubsetReport") -> Any:
    found = report.interference
    extra = {(m.one, m.other): _marked(m.extra) for m in found.meetings}
    rows = [
        (i, *(extra.get((i, j)) or extra.get((j, i)) or "" for j in found.latents)) for i in found.latents
    ]
    columns = ("together", *map(str, found.latents))
    return table(columns, rows, right=columns)


def _marked(found: "Estimate") -> str:
    return f"{found.value:+.2g}{'*' if found.low > 0 or found.high < 0 else ''}"


def _sentences(report: "SubsetReport") -> str:
    return (
        f"{subset_sentence(report)}\n"
        "Together: the effect of two latents at once, less that of each alone, on the other half; a star "
        "where its 95 % interval leaves 0 out. Output and input: the scores of arXiv 2505.20063, 0 to 1.\n"
        "Without any latent of the subset less would be kept. Another set may be smaller still: the search "
        "is greedy."
    )
