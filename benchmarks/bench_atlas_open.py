"""Reading a wide atlas: a latent's card, a page of the list, a count, a search for words.

    PYTHONPATH=. python benchmarks/bench_atlas_open.py --latents 1000000

On a synthetic atlas, written first (about six minutes and 4 GB for a million latents), since the cost of
reading depends on sizes alone.
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.record import environment, report
from benchmarks.synthetic_atlas import Sizes, words, write_atlas
from sas_core.atlas import search
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import Filter

CARD, COLD = "card", "card, opened from a file that is not in memory"
_SLOWEST = 0.95


def main(
    latents: Annotated[int, typer.Option(min=1_000, help="Latents of the atlas.")] = 1_000_000,
    windows: Annotated[int, typer.Option(min=1_000, help="Windows its contexts lie in.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="Counted rounds; each asks for something else.")] = 50,
    path: Annotated[Path | None, typer.Option(help="Keep the atlas here, or measure the one here.")] = None,
) -> None:
    """Measure every way of reading and print a table and a JSON line."""
    where = environment("cpu", "float32")
    with tempfile.TemporaryDirectory() as folder:
        file = path or Path(folder) / "atlas.db"
        began, there = time.perf_counter(), file.exists()
        if not there:
            write_atlas(file, Sizes(latents, windows=windows))
        written = None if there else time.perf_counter() - began
        with closing(Atlas.open(file)) as atlas:
            results = {name: _measured(ask, rounds) for name, ask in _arms(atlas).items()}
            latents = atlas.made_of.d_sae
        size = file.stat().st_size
    document = {
        "benchmark": "atlas_open", "latents": latents, "bytes": size, "written_s": written, "rounds": rounds,
        "results": results, "environment": where,
    }  # fmt: skip
    rows = [(name, f"{1e3 * r['median']:.1f}", f"{1e3 * r['p95']:.1f}") for name, r in results.items()]
    title = f"Reading an atlas of {latents:,} latents ({size / 1e9:.2f} GB), {rounds} rounds"
    report(title, ("what", "median, ms", "95th percentile, ms"), rows, document)


def _arms(atlas: Atlas) -> dict[str, Callable[[], object]]:
    draw = random.Random(0)
    spoken = words(Sizes.vocabulary)
    width = atlas.made_of.d_sae

    def card(of: Atlas = atlas) -> object:
        latent = of.latent(draw.randrange(width))
        return of.contexts(latent.index), of.rows([index for index, _ in latent.neighbours])

    def cold() -> object:
        _forget(atlas.path)
        with closing(Atlas.open(atlas.path)) as fresh:
            return card(fresh)

    def page(filter: Filter, order: Any, deepest: int) -> Callable[[], object]:
        return lambda: atlas.page(filter, order, draw.random() < 0.5, 100, draw.randrange(deepest))

    def count() -> object:
        # a filter that was not asked before, since a count is remembered
        return atlas.count(Filter(density_class="normal", min_max=draw.random() * 20))

    def by_words(first: int, end: int) -> Callable[[], object]:
        return lambda: search.by_words(atlas, draw.choice(spoken[first:end]))

    return {
        CARD: card,
        COLD: cold,
        "latents that fire together": lambda: atlas.cofiring(draw.randrange(width)),
        "page by index": page(Filter(), "index", width),
        "page by max": page(Filter(), "max", width),
        "page by mean": page(Filter(), "mean", width),
        "page of a filter, by index": page(Filter(density_class="dense"), "index", 200),
        "page of a filter, by mean": page(Filter(density_class="normal", min_max=20.0), "mean", width // 20),
        "count of a filter": count,
        "search, a rare word": by_words(20_000, 30_000),
        "search, a word of 3 %": by_words(900, 1_100),
        "search, a word of 20 %": by_words(90, 110),
        "search, the commonest words": by_words(0, 10),
        "search, two letters": lambda: search.by_words(atlas, draw.choice(spoken)[:2]),
        "search, two words": lambda: search.by_words(atlas, " ".join(draw.sample(spoken[300:3_000], 2))),
    }


def _measured(ask: Callable[[], object], rounds: int) -> dict[str, float]:
    """Seconds, after one round that is not counted."""
    took = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        ask()
        took.append(time.perf_counter() - began)
    counted = sorted(took[1:])
    return {"median": statistics.median(counted), "p95": counted[int(_SLOWEST * (len(counted) - 1))]}


def _forget(path: Path) -> None:
    """Ask the system to drop the file from memory, where it can be asked."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    typer.run(main)
