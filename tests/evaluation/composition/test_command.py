"""`evaluate compose` from arguments to stdout, on the tiny model."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

from sas_core.contrast.shipped import load_behaviour
from sas_core.evaluation.composition.measure import evaluate_composition
from sas_core.vectors.build import latents_file
from sas_core.vectors.fields import PairsPart
from sas_core.vectors.schema import dump_vector

ROWS = (
    ("Tell me about your day.", "We walked along the warm river.", "The train was late."),
    ("What is the sea like?", "It is low and warm in autumn.", "It is late this morning again."),
)


@pytest.fixture
def two(engine, vector):
    return vector, latents_file(engine, "late=ness", {7: 1.4, 13: 1.8}, verify=False)


@pytest.fixture
def run(on_tiny: Callable[..., Result], two) -> Callable[..., Result]:
    """Invoke the command with the two vectors of this folder."""
    for place, file in zip(("a.json", "b.json"), two, strict=True):
        Path(place).write_text(dump_vector(file))
    named = [dict(zip(("prompt", "positive", "negative"), row, strict=True)) for row in ROWS]
    Path("held.jsonl").write_text("\n".join(map(json.dumps, named)))
    return partial(on_tiny, "compose")


BOTH = ("--vector", "a.json", "--vector", "b.json", "--on", "held.jsonl")


def test_json_holds_what_the_function_measures_at_every_combination(run, engine, two, pairs) -> None:
    done = run(*BOTH, "--scales", "-2,2", "--grid", "late=ness=3", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    held = type(pairs)("held", pairs.pairs[:2])
    *_, report = evaluate_composition(engine, two, {"held": held}, ((-2.0, 2.0), (3.0,)))
    assert found["vectors"] == ["weather", "late=ness"]
    assert found["grid"] == [[-2.0, 0.0, 2.0], [0.0, 3.0]]
    assert [p["strengths"] for p in found["points"]] == [list(p.strengths) for p in report.points]
    for told, point in zip(found["points"], report.points, strict=True):
        assert told["changes"][0]["value"] == pytest.approx(point.changes[0].value, abs=1e-5)
        if point.extra is None:
            assert told["extra"] is None
        else:
            assert told["extra"][0]["low"] == pytest.approx(point.extra[0].low, abs=1e-5)
    assert found["off_target"]["strengths"] == [2.0, 3.0]
    wanted = report.off_target((2.0, 3.0))
    assert found["off_target"]["changes"][1][0]["value"] == pytest.approx(wanted[1][0].value, abs=1e-5)


def test_the_tables_show_every_combination_and_each_vector_alone(run) -> None:
    done = run(*BOTH, "--scales", "-2,2", "--at", "-2")
    assert done.exit_code == 0, done.stderr
    assert sum(line.strip().startswith(("-2", "+0", "+2")) for line in done.stdout.splitlines()) == 8
    assert "late=ness alone at -2" in done.stdout
    assert "held.jsonl on 2 pairs in nats per token" in done.stdout


def test_behaviours_behind_the_vectors_are_scored_before_those_asked_for(run, two) -> None:
    sea = load_behaviour("sea")
    part = PairsPart(name="sea", count=len(sea.train), sha256=sea.train.sha256)
    Path("a.json").write_text(dump_vector(two[0].model_copy(update={"pairs": part})))
    done = run(*BOTH[:4], "--scales", "2", "--json")
    assert done.exit_code == 0, done.stderr
    assert [(b["name"], b["count"]) for b in json.loads(done.stdout)["behaviours"]] == [
        ("sea", len(sea.heldout))
    ]
    assert "late=ness names no shipped contrast" in done.stderr
    done = run(*BOTH, "--scales", "2", "--json")
    assert [b["name"] for b in json.loads(done.stdout)["behaviours"]] == ["sea", "held.jsonl"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--vector", "a.json", "--on", "held.jsonl"), "two or more"),
        (("--vector", "a.json", "--vector", "a.json", "--on", "held.jsonl"), "same name"),
        (BOTH[:4], "say what to score with --on"),
        ((*BOTH[:4], "--on", "nobody"), "No behaviour is named 'nobody'"),
        ((*BOTH, "--scales", "0"), "strength other than 0"),
        ((*BOTH, "--scales", "1,two"), "not a list of numbers"),
        ((*BOTH, "--grid", "sea=1"), "names none of the vectors"),
        ((*BOTH, "--grid", "weather=x"), "not a name and strengths"),
        ((*BOTH, "--at", "1.5"), "none of the strengths of weather"),
        ((*BOTH, "--at", "0"), "none of the strengths of weather"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(run, args, sentence) -> None:
    done = run(*args)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert sentence in done.stderr
