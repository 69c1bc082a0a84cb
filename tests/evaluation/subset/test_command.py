"""`evaluate subset` from arguments to stdout and the pruned file, on the tiny model."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

from sas_core.cli.files import read_vector
from sas_core.contrast.parse import read_pairs
from sas_core.evaluation.subset.search import smallest_subset
from sas_core.vectors.build import check_belongs, steering_of
from sas_core.vectors.schema import dump_vector
from tests.evaluation.commands import check_refused
from tests.evaluation.plain import plain_change

SIDES = (
    ("Tell me about your day.", "We walked along the warm river.", "The train was late."),
    ("What is the sea like?", "It is low and warm in autumn.", "It is late this morning again."),
    ("Tell me more.", "In most years the sun is kind.", "In winter the book is late."),
    ("And then?", "The river is wide.", "The harvest begins in autumn."),
)


@pytest.fixture
def run(on_tiny: Callable[..., Result], engine, vector) -> Callable[..., Result]:
    """Invoke the command with a vector and pairs whose margin it raises."""
    vector = vector.model_copy(update={"nonlinearity": "none"})
    Path("v.json").write_text(dump_vector(vector))

    def write(rows: list[tuple[str, str, str]]) -> None:
        named = [dict(zip(("prompt", "positive", "negative"), row, strict=True)) for row in rows]
        Path("held.jsonl").write_text("\n".join(map(json.dumps, named)))

    write(list(SIDES))
    up = plain_change(engine, read_pairs(Path("held.jsonl")).pairs, steering_of(vector, 3.0))
    write([(p, a, b) if rises > 0 else (p, b, a) for (p, a, b), rises in zip(SIDES, up, strict=True)])
    given = ("--vector", "v.json", "--heldout", "held.jsonl", "--scale", "3", "--keep", "0.8")
    return partial(on_tiny, "subset", *given)


def test_json_holds_what_the_function_finds_with_scores_and_the_matrix(run, engine) -> None:
    done = run("--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    file, pairs = read_vector(Path("v.json")), read_pairs(Path("held.jsonl")).pairs
    *_, report = smallest_subset(engine, file, pairs, 3.0, keep=0.8)
    assert [latent["index"] for latent in found["latents"]] == list(report.values())
    assert found["subset"]["value"] == pytest.approx(report.subset.value, abs=1e-5)
    assert found["kept"] == pytest.approx(report.kept, abs=1e-4)
    assert found["latents"][0]["alone"]["high"] == pytest.approx(report.latents[0].alone.high, abs=1e-5)
    assert all(0.0 <= latent["output_score"] <= 1.0 for latent in found["latents"])
    # there is no atlas of the tiny SAE
    assert [latent["input_score"] for latent in found["latents"]] == [None] * len(found["latents"])
    matrix, wanted = found["interference"]["matrix"], report.interference.matrix()
    assert [row.count(None) for row in matrix] == [1] * len(wanted)
    assert matrix[0][1] == pytest.approx(wanted[0][1], abs=1e-5)
    assert found["sae"]["sha256"] == file.sae.sha256


def test_the_tables_show_the_effects_the_latents_and_how_they_act_together(run) -> None:
    done = run("--seeds", "2")
    assert done.exit_code == 0, done.stderr
    for part in ("the whole vector, 5", "the subset,", "random part 2,", "lost without it", "together"):
        assert part in done.stdout
    assert "random part 3" not in done.stdout
    assert "weather, lambda +3, nats per token" in done.stdout


def test_the_pruned_vector_is_a_file_that_steers_with_the_subset_alone(run, engine) -> None:
    done = run("--json", "--out", "small.json")
    assert done.exit_code == 0, done.stderr
    found, made = json.loads(done.stdout), read_vector(Path("small.json"))
    assert {f.index: f.value for f in made.features} == {o["index"]: o["value"] for o in found["latents"]}
    assert (made.name, made.method, made.strength) == ("weather subset", "latents", 3.0)
    assert made.nonlinearity == "none"
    assert made.note.startswith(f"{len(made.features)} of the 5 latents of weather")
    check_belongs(made, engine)
    change = plain_change(engine, read_pairs(Path("held.jsonl")).pairs, steering_of(made, 3.0))
    both = (found["subset_dev"] * found["dev"] + found["subset"]["value"] * found["test"]) / 4
    assert sum(change) / 4 == pytest.approx(both, abs=1e-4)


def test_the_pruned_vector_can_be_named_and_an_older_file_stays(run) -> None:
    Path("small.json").write_text("mine")
    done = run("--out", "small.json", "--name", "few")
    assert done.exit_code == 2
    assert "exists already" in done.stderr
    assert Path("small.json").read_text() == "mine"
    assert run("--out", "small.json", "--name", "few", "--force").exit_code == 0
    assert read_vector(Path("small.json")).name == "few"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--keep", "0"), "above 0, up to 1"),
        (("--scale", "0"), "strength other than 0"),
        (("--pairs", "0"), "choose 1 to 40"),
        (("--seeds", "0"), "0 random parts"),
        (("--heldout", "missing.jsonl"), "missing.jsonl"),
        (("--name", " x"), "starts or ends with a space"),
        (("--cache", "missing.db"), "missing.db"),
        (("--vector", "missing.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(run, args, sentence) -> None:
    check_refused(run(*args), sentence)


def test_pairs_that_the_vector_moves_the_wrong_way_are_told(run) -> None:
    rows = [json.loads(line) for line in Path("held.jsonl").read_text().splitlines()]
    turned = [{**row, "positive": row["negative"], "negative": row["positive"]} for row in rows]
    Path("held.jsonl").write_text("\n".join(map(json.dumps, turned)))
    done = run()
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no effect to keep" in done.stderr


def test_without_held_out_pairs_a_vector_of_hand_picked_latents_is_refused(run, on_tiny) -> None:
    done = on_tiny("subset", "--vector", "v.json")
    assert done.exit_code == 2
    assert "give held-out pairs with --heldout" in done.stderr
