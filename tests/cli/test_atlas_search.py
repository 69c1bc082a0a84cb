"""`atlas search`: by words, by likeness, and by what the model does with a text."""

from pathlib import Path

import numpy as np
import pytest

from sas_core.steering.engine import Engine
from tests.atlas.tiny_atlas import DEAD, tiny_atlas
from tests.atlas.tiny_atlas import tiny as made_up
from tests.cli.atlas import AGAINST, SOME, TEXT, described, strict, strongest
from tests.cli.conftest import Run
from tests.cli.test_usage import said


def test_words_are_found_in_labels_first_and_then_around_the_peaks(cli: Run, atlas_path: Path) -> None:
    cli("atlas", "label", DEAD, "the sea, silent", "--cache", atlas_path)
    hits = strict(cli("atlas", "search", "--words", "sea", "--limit", "6", "--cache", atlas_path, "--json"))
    first, *rest = hits
    assert (first["index"], first["how"], first["label"]) == (DEAD, "label", "the sea, silent")
    assert len(rest) == 5 and all(hit["how"] == "words" for hit in rest)
    for hit in rest:
        start, end = hit["matched"]
        assert "sea" in "".join(hit["context"]["tokens"][start:end])
        assert hit["context"] in described(made_up(), hit["index"])["contexts"]
    scores = [hit["score"] for hit in rest]
    assert scores == sorted(scores, reverse=True) and scores[-1] > 0
    table = cli("atlas", "search", "--words", "sea", "--limit", "6", "--cache", atlas_path)
    assert table.code == 0 and "the sea, silent" in table.out and table.out.count("words (BM25)") == 5


def test_words_that_stand_nowhere_give_an_empty_list(cli: Run, atlas_path: Path) -> None:
    command = ["atlas", "search", "--words", "zeppelin", "--cache", atlas_path]
    assert strict(cli(*command, "--json")) == []
    ran = cli(*command)
    assert (ran.code, ran.out) == (0, "") and "No latent was found" in ran.err


def test_like_lists_the_neighbours_and_then_what_fires_together(cli: Run, atlas_path: Path) -> None:
    near = described(made_up(), SOME)["neighbours"]
    hits = strict(cli("atlas", "search", "--like", SOME, "--limit", "14", "--cache", atlas_path, "--json"))
    assert [[hit["index"], hit["score"]] for hit in hits[: len(near)]] == near
    assert [hit["how"] for hit in hits] == ["cosine"] * len(near) + ["together"] * (14 - len(near))
    assert SOME not in {hit["index"] for hit in hits} and len({hit["index"] for hit in hits}) == 14
    assert "Jaccard" in cli("atlas", "search", "--like", SOME, "--cache", atlas_path).out


@pytest.mark.parametrize("mean", [False, True])
def test_fires_on_ranks_the_latents_by_what_the_model_does_with_the_text(
    cli: Run, tiny: list[object], engine: Engine, tmp_path: Path, mean: bool
) -> None:
    of_engine = tiny_atlas(tmp_path / "engine.db", engine=engine)
    by = ["--by", "mean"] if mean else []
    ran = cli("atlas", "search", "--fires-on", "-", *by, "--cache", of_engine, "--limit", "5", "--json",
              *tiny, stdin=TEXT)  # fmt: skip
    values = strongest(engine, TEXT, mean=mean)
    hits = strict(ran)
    assert [hit["index"] for hit in hits] == np.argsort(-values, kind="stable")[:5].tolist()
    np.testing.assert_allclose([hit["value"] for hit in hits], np.sort(values)[::-1][:5], rtol=1e-4)
    assert [hit["against_value"] for hit in hits] == [None] * 5
    pieces = engine.turns.pieces(engine.turns.encode(TEXT, chat=False).ids)
    assert [hit["token"] for hit in hits] == [pieces[hit["peak"]] for hit in hits]


def test_against_a_second_text_only_what_fires_more_on_the_first_is_listed(
    cli: Run, tiny: list[object], engine: Engine, tmp_path: Path
) -> None:
    # without --cache: the atlas of this engine in the data folder
    tiny_atlas(tmp_path / "cache" / "atlas" / "engine.db", engine=engine)
    command = ["atlas", "search", "--fires-on", TEXT, "--against", AGAINST, "--limit", "48", *tiny]
    hits = strict(cli(*command, "--json"))
    more = strongest(engine, TEXT) - strongest(engine, AGAINST)
    assert {hit["index"] for hit in hits} == set(np.flatnonzero(more > 0).tolist()) != set()
    for hit in hits:
        assert hit["score"] == pytest.approx(hit["value"] - hit["against_value"])
        assert hit["score"] == pytest.approx(more[hit["index"]], rel=1e-3, abs=1e-4)
    ran = cli(*command)
    assert ran.code == 0 and "against" in ran.out and "Ran on cpu" in ran.err


def test_fires_on_refuses_the_atlas_of_another_sae(
    cli: Run, tiny: list[object], engine: Engine, tmp_path: Path
) -> None:
    other = tiny_atlas(tmp_path / "other.db", engine=engine, sae_sha256="b" * 64)
    command = ["atlas", "search", "--fires-on", TEXT, *tiny]
    assert "another SAE" in said(cli, *command, "--cache", other)
    assert "There is no atlas of" in said(cli, *command)
