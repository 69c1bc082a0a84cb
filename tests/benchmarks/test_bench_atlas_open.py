"""The synthetic atlas has what every way of reading looks for, and the last line says how fast."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import bench_atlas_open
from benchmarks.synthetic_atlas import Sizes, words, write_atlas
from sas_core.atlas.search import by_words
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import BANDS, DENSITY_CLASSES, Filter

SIZES = Sizes(1_000, k=8, windows=1_000, vocabulary=2_000, fire_together=50)


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(bench_atlas_open.main)
    return made


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("synthetic") / "atlas.db"
    write_atlas(file, SIZES)
    return file


def test_every_way_of_reading_is_timed_and_the_last_line_says_so(app, path) -> None:
    done = CliRunner().invoke(app, ["--path", str(path), "--rounds", "2"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["latents"] == 1_000 and found["bytes"] == path.stat().st_size
    assert all(r["median"] > 0 and r["p95"] > 0 for r in found["results"].values())
    assert len(found["results"]) > 10 and bench_atlas_open.CARD in found["results"]


def test_the_synthetic_atlas_is_as_full_as_a_built_one(path) -> None:
    atlas = Atlas.open(path)
    alive = next(row.index for row in atlas.page() if row.fired)
    shown = atlas.contexts(alive)
    assert [context.band for context in shown] == [BANDS[0]] * 8 + [b for b in BANDS[1:] for _ in range(2)]
    assert all(c.activations[c.peak] == c.max == max(c.activations) for c in shown)
    card = atlas.latent(alive)
    assert (len(card.positive), len(card.negative), len(card.neighbours)) == (20, 20, 10)
    counts = [atlas.count(Filter(density_class=name)) for name in DENSITY_CLASSES]
    assert sum(counts) == 1_000 and counts[0] > 0 and counts[2] > counts[3]
    assert atlas.cofiring(alive, 1_000) != ()
    atlas.close()


def test_a_word_of_the_synthetic_index_stands_in_the_contexts_it_leads_to(path) -> None:
    atlas = Atlas.open(path)
    hits = by_words(atlas, words(2_000)[200])
    assert hits and all(hit.matched is not None for hit in hits)
    atlas.close()


def test_words_are_distinct() -> None:
    assert len(set(words(32_768))) == 32_768
