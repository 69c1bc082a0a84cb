"""`atlas show` and `info`: what is printed is what the file holds, and none of it is obeyed."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from sas_core.atlas.made_of import MadeOf
from tests.atlas.tiny_atlas import DEAD, DENSE, ONE_TOKEN, ONE_WINDOW, tiny_atlas
from tests.atlas.tiny_atlas import tiny as made_up
from tests.cli.atlas import SOME, described, strict
from tests.cli.conftest import Run
from tests.cli.test_usage import ROOT, said


@pytest.mark.parametrize("index", [DEAD, DENSE, ONE_TOKEN, ONE_WINDOW, SOME])
def test_show_prints_everything_the_atlas_has_to_say(cli: Run, atlas_path: Path, index: int) -> None:
    document = strict(cli("atlas", "show", index, "--cache", atlas_path, "--json"))
    wanted = described(made_up(), index)
    assert document == wanted and list(document) == list(wanted)
    assert bool(document["contexts"]) == (index != DEAD)


def test_a_latent_that_never_fired_has_no_mean_and_an_atlas_may_lack_what_is_derived(
    cli: Run, tmp_path: Path
) -> None:
    bare = tiny_atlas(tmp_path / "bare.db", derived=False)
    document = strict(cli("atlas", "show", DEAD, "--cache", bare, "--json"))
    assert document["mean_nonzero"] is None and document["density"] == 0
    assert document["logits"] == {"positive": [], "negative": []} and document["neighbours"] == []
    card = cli("atlas", "show", DEAD, "--cache", bare)
    assert card.code == 0 and "not in this atlas" in card.out and "«" not in card.out
    assert f"never fired in {made_up().expected.tokens_seen} tokens: at most" in card.out


def test_the_card_marks_the_peak_draws_the_histogram_and_names_the_neighbours(
    cli: Run, atlas_path: Path
) -> None:
    assert cli("atlas", "label", SOME, "ships at sea", "--note", "see row 4", "--cache", atlas_path).code == 0
    read = described(made_up(), SOME)
    card = cli("atlas", "show", SOME, "--cache", atlas_path)
    assert (card.code, card.err) == (0, "")
    assert "ships at sea" in card.out and "see row 4" in card.out
    strongest = read["contexts"][0]
    assert f"«{strongest['tokens'][strongest['peak']].strip(' ')}»" in card.out
    assert f"{strongest['max']:.2f}" in card.out and "0-25 %" in card.out
    longest = max(read["histogram"]["counts"])
    assert any(line.split()[-2:] == [str(longest), "#" * 40] for line in card.out.splitlines())
    assert str(read["neighbours"][0][0]) in card.out and repr(read["logits"]["positive"][0][0]) in card.out


def test_nothing_of_a_corpus_is_read_as_markup_or_obeyed_by_the_terminal(cli: Run, tmp_path: Path) -> None:
    odd = tiny_atlas(tmp_path / "odd.db", ["a [red]b[/red] <img onerror> ![](http://x) $x$ \x1b[31m c"])
    for index in range(4, 48):
        card = cli("atlas", "show", index, "--cache", odd)
        assert card.code == 0 and "\x1b" not in card.out
    assert "[/" in cli("atlas", "show", DENSE, "--cache", odd).out.replace("«", "").replace("»", "")


def test_reading_an_atlas_needs_no_torch(atlas_path: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from sas_core.cli import app
path = ["--cache", {str(atlas_path)!r}]
for arguments in (["show", "5"], ["show", "5", "--json"], ["info"], ["search", "--words", "sea"],
                  ["search", "--like", "5"], ["label", "5", "sea"], ["labels", "export"]):
    assert CliRunner().invoke(app, ["atlas", *arguments, *path]).exit_code == 0, arguments
print(*sorted({{"torch", "transformers", "sae_lens", "datasets"}} & set(sys.modules)))
"""
    environment = {**os.environ, "STEERSCOPE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == ""


def test_info_prints_what_the_atlas_is_made_of_and_how_much_is_in_it(cli: Run, atlas_path: Path) -> None:
    document = strict(cli("atlas", "info", "--cache", atlas_path, "--json"))
    expected = made_up().expected
    assert {field.name for field in fields(MadeOf)} < set(document)
    assert document["sae_sha256"] == "a" * 64 and document["tokens_seen"] == expected.tokens_seen
    assert (document["path"], document["bytes"]) == (str(atlas_path), atlas_path.stat().st_size)
    assert document["contexts"] == len(expected.contexts)
    assert document["windows_kept"] == len(expected.windows)
    classes = [row["density_class"] for row in expected.latents]
    dead = classes.count("dead")
    kinds = {kind: classes.count(kind) for kind in ("dead", "rare", "normal", "dense")}
    assert document["latents"] == {"live": 48 - dead, **kinds} and dead == 1
    table = cli("atlas", "info", "--cache", atlas_path)
    assert table.code == 0 and f"{expected.tokens_seen} tokens" in table.out


def test_info_of_an_unfinished_atlas_says_how_far_it_is_and_the_others_how_to_go_on(
    cli: Run, tmp_path: Path
) -> None:
    unfinished = tiny_atlas(tmp_path / "unfinished.db", finished=None)
    document = strict(cli("atlas", "info", "--cache", unfinished, "--json"))
    assert document["finished"] is None and document["tokens_read"] == made_up().expected.tokens_read
    assert "--resume goes on" in cli("atlas", "info", "--cache", unfinished).out
    assert "--resume" in said(cli, "atlas", "show", 1, "--cache", unfinished)
