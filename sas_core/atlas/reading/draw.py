"""Random live latents of an atlas and what a judge is asked of each. Needs the file alone; knows no model."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from sas_core.atlas.decode import array, ask, numbers, pieces
from sas_core.atlas.made_of import DEDUPE_TOKENS
from sas_core.atlas.reading.places import Place, Pool, Task, Window, halves, shuffled, task_of
from sas_core.atlas.store import Atlas
from sas_core.errors import BadInput

POOL_WINDOWS = 400
POOL_LATENTS = 400
"""Places against are peaks of so many random latents in so many random windows, lest all must be read."""

PASSED_OVER_AT_MOST = 20
"""So many live latents are tried for each one asked."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """`tasks`: of one latent each. `nobody`: as many with places of random others.

    Of `live` latents `tried` were drawn; `few` had too few contexts apart, and `everywhere` fire in so many
    windows that too few are left in which they are silent.
    """

    tasks: tuple[Task, ...]
    nobody: tuple[Task, ...]
    pool: Pool
    windows: dict[int, Window]
    live: int
    tried: int
    few: int
    everywhere: int


def draw_tasks(atlas: Atlas, sample: int, seed: int) -> Drawn:
    """Tasks for `sample` live latents, each as likely as any other that can be scored.

    Raises BadInput where that many cannot be had.
    """
    draw = np.random.default_rng(seed)
    live = draw.permutation(np.flatnonzero(atlas.densities()))
    firing = _firing(atlas, draw)
    pool = _pool(atlas, live[:POOL_LATENTS], firing, draw)
    tasks: list[Task] = []
    few = everywhere = 0
    for latent in live[: PASSED_OVER_AT_MOST * sample].tolist():
        if len(tasks) == sample:
            break
        own = halves(*_places(atlas, latent))
        task = own and task_of(latent, own, pool, lambda at, i=latent: i not in firing[at], draw)
        few, everywhere = few + (own is None), everywhere + (own is not None and task is None)
        tasks += [task] if task else []
    if len(tasks) < sample:
        raise BadInput(
            f"Only {len(tasks)} of {few + everywhere + len(tasks):,} live latents have enough contexts to be "
            "scored. Choose a smaller --sample, or an atlas of more text."
        )
    nobody = tuple(filter(None, (shuffled(task, pool, draw) for task in tasks)))
    asked = {place.window for task in (*tasks, *nobody) for place in task.places}
    windows = _windows(atlas, asked | {place.window for place in pool.top + pool.sampled})
    return Drawn(
        tuple(tasks), nobody, pool, windows, len(live), len(tasks) + few + everywhere, few, everywhere
    )


def _firing(atlas: Atlas, draw: np.random.Generator) -> dict[int, frozenset[int]]:
    """The latents that fire in each of `POOL_WINDOWS` windows, of those of which that is known."""
    with atlas.reading() as connection:
        known = ask(
            connection, "SELECT window FROM cofiring WHERE window IN (SELECT id FROM windows) ORDER BY 1"
        )
        chosen = draw.permutation([row["window"] for row in known])[:POOL_WINDOWS]
        rows = ask(
            connection,
            "SELECT window, latents FROM cofiring WHERE window IN (SELECT value FROM json_each(?))",
            array(chosen),
        )
    return {row["window"]: frozenset(numbers(row["latents"], "<u4")) for row in rows}


def _places(atlas: Atlas, latent: int) -> tuple[list[Place], list[Place]]:
    """The strongest places of a latent and its sampled ones, each from the strongest down."""
    top, sampled = [], []
    for context in atlas.contexts(latent):
        ending = context.token_ids[max(0, context.peak - DEDUPE_TOKENS + 1) : context.peak + 1]
        place = Place(context.window, context.document, context.peak, ending)
        (top if context.band == "top" else sampled).append(place)
    return top, sampled


def _pool(
    atlas: Atlas, latents: Int64[np.ndarray, " n"], windows: Collection[int], draw: np.random.Generator
) -> Pool:
    """The peaks of these latents in these windows."""
    with atlas.reading() as connection:
        rows = ask(
            connection,
            "SELECT c.band, c.window, c.peak, w.document FROM contexts c JOIN windows w ON w.id = c.window "
            "WHERE c.latent IN (SELECT value FROM json_each(?)) ORDER BY c.latent, c.band, c.rank",
            array(latents),
        )
    found = [(row["band"], Place(row["window"], row["document"], row["peak"])) for row in rows]
    mixed = [found[at] for at in draw.permutation(len(found))]
    known = [(band, place) for band, place in mixed if place.window in windows]
    return Pool(
        tuple(place for band, place in known if band == 0), tuple(place for band, place in known if band)
    )


def _windows(atlas: Atlas, asked: Iterable[int]) -> dict[int, Window]:
    with atlas.reading() as connection:
        rows = ask(
            connection,
            "SELECT id, document, token_ids, excluded FROM windows "
            "WHERE id IN (SELECT value FROM json_each(?))", array(asked),
        )  # fmt: skip
        ids = [numbers(row["token_ids"], "<u4") for row in rows]
        texts = pieces(connection, set().union(*ids))
    return {
        row["id"]: Window(
            row["id"], row["document"], tokens, tuple(texts[token] for token in tokens),
            frozenset(numbers(row["excluded"], "<u2")),
        )
        for row, tokens in zip(rows, ids, strict=True)
    }  # fmt: skip
