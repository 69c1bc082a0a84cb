"""`atlas score`: do the contexts of random latents mean one thing, and do they act on what they read?"""

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

import typer

from sas_core.atlas.intervals import Within
from sas_core.atlas.reading.document import agreement, document, groups, method, output_and_input, told_of
from sas_core.atlas.reading.draw import Drawn, draw_tasks
from sas_core.atlas.reading.report import INPUT_LEVELS, Report, Spread, Step, spread
from sas_core.atlas.store import read_made_of
from sas_core.cli.atlas_open import AtlasPath, opened
from sas_core.cli.atlas_search import atlas_of
from sas_core.cli.common import STOPPED, AsJson, Loading, placed, takes_engine
from sas_core.cli.output import note, plain, quiet, show, show_json, show_steps, table
from sas_core.cli.stopping import Stopping
from sas_core.evaluation.facts import facts, finite

_JUDGES = {"embedding": "the model", "words": "words"}
_CONTEXTS = {"top": "strongest", "every": "and sampled"}


@takes_engine
def score(
    loading: Loading,
    cache: AtlasPath = None,
    sample: Annotated[int, typer.Option(min=1, help="So many random live latents.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score random latents: can a second reader tell their contexts from others?

    Detection by examples, by two judges: the model itself at another place than the SAE's, and plain words.
    Beside it the input and output scores. With --json every latent is there, and the method in words.
    """
    if cache is not None:
        # what is wrong with it is told before a model is loaded
        read_made_of(cache)
    with quiet(), Stopping():
        from sas_core.atlas.reading.judge import judge_latents

        try:
            engine = loading.engine()
            with opened(cache or atlas_of(engine)) as (atlas, _):
                atlas.check(engine)
                drawn = draw_tasks(atlas, sample, seed)
                report = _finished(judge_latents(engine, atlas, drawn, seed))
                made = atlas.made_of
        except KeyboardInterrupt:
            note("Stopped; nothing is kept.")
            raise typer.Exit(STOPPED) from None
    for remark in report.remarks:
        note(remark)
    if as_json:
        return show_json(finite({**facts(engine), **document(report, drawn, made, sample, seed)}))
    show(_detection(report), _scores(report), plain(_sentences(report, drawn)))
    return note(placed(engine))


def _finished(events: Iterator[Any]) -> Report:
    """Show the steps as a bar, return the report."""
    found: list[Any] = []

    def steps() -> Iterator[tuple[str, float]]:
        with closing(events):
            for event in events:
                if isinstance(event, Step):
                    yield (
                        f"{event.sentence}: {event.done:,} of {event.total:,} tokens",
                        event.done / event.total,
                    )
                else:
                    found.append(event)

    show_steps(steps())
    return found[0]


def _detection(report: Report) -> Any:
    rows = [
        (name, judge_name, kind_name, *_spread(spread(told_of(group, judge, kind))))
        for name, group in groups(report).items()
        for judge, judge_name in _JUDGES.items()
        for kind, kind_name in _CONTEXTS.items()
    ]
    columns = ("contexts of", "judge", "which", "n", "one thing [95 %]", "median AUROC", "10 % to 90 %")
    return table(columns, rows, right=columns[3:])


def _spread(found: Spread) -> tuple[str, ...]:
    if found.one_thing is None:
        return "0", "", "", ""
    return (
        str(found.count), _percent(found.one_thing), f"{found.deciles[4]:.2f}",
        f"{found.deciles[0]:.2f} to {found.deciles[-1]:.2f}",
    )  # fmt: skip


def _percent(found: Within) -> str:
    return f"{found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"


def _scores(report: Report) -> Any:
    rows = [
        (
            name,
            found.count,
            *(f"{each:.2g}" for each in found.quartiles),
            *(f"{each:.0%}" for each in found.above),
        )
        for name, found in output_and_input(report).items()
        if found.count
    ]
    columns = (
        "score",
        "n",
        "lower quartile",
        "median",
        "upper quartile",
        *(f"above {x:g}" for x in INPUT_LEVELS),
    )
    return table(columns, rows, right=columns[1:])


def _sentences(report: Report, drawn: Drawn) -> str:
    agreed, words = agreement(report), method(report)
    return (
        f"Of {drawn.live:,} live latents {drawn.tried:,} were drawn; {drawn.few:,} had too few contexts "
        f"apart, {drawn.everywhere:,} fire nearly everywhere. One thing by both judges: {agreed['both']}, "
        f"by either: {agreed['either']}, by neither: {agreed['neither']}.\n"
        f"One thing: {words['one_thing']}. Chance is 0.5.\n"
        f"The model: {words['embedding']}."
    )
