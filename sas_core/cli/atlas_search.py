"""`atlas search`: latents by words, by likeness, or by a text that makes them fire.

Only the last needs a model; torch is imported for it alone.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from sas_core.atlas.find import find_atlas
from sas_core.atlas.search import Hit, by_words, like
from sas_core.atlas.store import read_made_of
from sas_core.atlas.types import LatentRow
from sas_core.cli.atlas_card import automatic_document, context_document, excerpt, named, share
from sas_core.cli.atlas_open import AtlasPath, opened
from sas_core.cli.common import AsJson, Loading, placed, takes_engine
from sas_core.cli.files import read_text_option
from sas_core.cli.output import note, quiet, show, show_json, table
from sas_core.errors import BadInput

if TYPE_CHECKING:
    from sas_core.atlas.probe import FiredLatent, Firing
    from sas_core.steering.engine import Engine

Measure = Literal["max", "mean", "distinctive"]

_WAYS = {
    "label": "label",
    "auto": "automatic label",
    "words": "words (BM25)",
    "cosine": "cosine",
    "together": "Jaccard",
}
_NOTHING = "No latent was found."


@takes_engine
def search(
    loading: Loading,
    cache: AtlasPath = None,
    words: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Words in your labels, in the automatic ones, or around the peaks."
        ),
    ] = None,
    fires_on: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A text to run; - reads standard input.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --fires-on: a text they should not fire on.")
    ] = None,
    by: Annotated[
        Measure | None,
        typer.Option(
            help="With --fires-on: maximum or mean over the text; distinctive: the maximum as a share of "
            "the latent's own, times its rarity.",
            show_default="max",
        ),
    ] = None,
    alike: Annotated[
        int | None, typer.Option("--like", metavar="INDEX", help="A latent whose like are sought.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most latents to print, the best first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Find latents by words, by a text that makes them fire, or by likeness.

    Only --fires-on loads a model, which must be the one that the atlas was built with.
    """
    if [words, fires_on, alike].count(None) != 2:
        raise BadInput("Give --words TEXT, --fires-on TEXT or --like INDEX, one of the three.")
    if fires_on is not None:
        return _search_by_text(loading, cache, fires_on, against, by or "max", limit, as_json)
    if against is not None or by is not None:
        raise BadInput("--against and --by are of --fires-on; give that too, or leave them out.")
    with opened(cache) as (atlas, _):
        hits = by_words(atlas, words, limit) if words is not None else like(atlas, alike, limit)
    if as_json:
        return show_json([_hit_document(hit) for hit in hits])
    return show(_hit_table(hits)) if hits else note(_NOTHING)


def _search_by_text(
    loading: Loading,
    cache: Path | None,
    text: str,
    against: str | None,
    by: Measure,
    limit: int,
    as_json: bool,
) -> None:
    text = read_text_option(text, "text")
    against = None if against is None else read_text_option(against, "text of --against")
    with quiet():
        from sas_core.atlas.probe import fires_on

        if cache is not None:
            # what is wrong with it is told before a model is loaded
            read_made_of(cache)
        engine = loading.engine()
        with opened(cache or atlas_of(engine)) as (atlas, _):
            atlas.check(engine)
            measure, weigh = ("max", atlas.distinctive) if by == "distinctive" else (by, None)
            firing = fires_on(engine, text, by=measure, against=against, weigh=weigh, k=limit)
            rows = atlas.rows([found.latent for found in firing.rows])
    if as_json:
        return show_json([_fired_document(*each, firing) for each in zip(rows, firing.rows, strict=True)])
    if rows:
        show(_fired_table(rows, firing, by))
    return note(placed(engine) if rows else _NOTHING)


def atlas_of(engine: "Engine") -> Path:
    """The atlas to open for this engine. Raises BadInput where there is none."""
    path = find_atlas(engine)
    if path is None:
        raise BadInput(f"There is no atlas of {engine.name} with this SAE; build one, or name one: --cache.")
    return path


def _hit_document(hit: Hit) -> dict[str, Any]:
    context = hit.context and context_document(hit.context)
    return {
        **_row_document(hit.row), "score": hit.score, "how": hit.how, "context": context,
        "matched": hit.matched,
    }  # fmt: skip


def _row_document(row: LatentRow) -> dict[str, Any]:
    facts = asdict(row)
    facts.pop("auto")
    return {**facts, "automatic_label": row.auto and automatic_document(row.auto)}


def _hit_table(hits: Sequence[Hit]) -> Table:
    numbers = ("latent", "density", "score")
    rows = [
        (
            _named(hit.row),
            share(hit.row.density),
            f"{hit.score:.3g}" if hit.score else "",
            _WAYS[hit.how],
            excerpt(hit.context, hit.matched[0] if hit.matched else None) if hit.context else "",
            _writes(hit.row),
        )
        for hit in hits
    ]
    return table((*numbers, "found by", "context", "raises"), rows, right=numbers[1:])


def _fired_document(row: LatentRow, found: "FiredLatent", firing: "Firing") -> dict[str, Any]:
    return {
        **_row_document(row),
        "score": found.value - (found.against_value or 0.0),
        "how": "fires on",
        "value": found.value,
        "against_value": found.against_value,
        "peak": found.peak,
        "token": firing.pieces[found.peak],
    }


def _fired_table(rows: Sequence[LatentRow], firing: "Firing", by: Measure) -> Table:
    numbers = ("density", "mean" if by == "mean" else "max", "against")
    cells = [
        (
            _named(row),
            share(row.density),
            f"{found.value:.2f}",
            "" if found.against_value is None else f"{found.against_value:.2f}",
            repr(firing.pieces[found.peak]),
            _writes(row),
        )
        for row, found in zip(rows, firing.rows, strict=True)
    ]
    return table(("latent", *numbers, "strongest at", "raises"), cells, right=numbers)


def _named(row: LatentRow) -> str:
    return f"{row.index} {named(row)}".rstrip()


def _writes(row: LatentRow) -> str:
    return " ".join(map(repr, row.positive))
