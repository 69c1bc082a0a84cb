"""`evaluate price` from arguments to stdout, on the tiny model."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

from sas_core.evaluation.price import evaluate_price
from sas_core.evaluation.texts import read_texts
from sas_core.steering.spec import Sampling
from sas_core.vectors.schema import dump_vector
from tests.evaluation.commands import check_refused

ITEMS = [
    {"prompt": "What is the sea like?\n\nChoices:\n(A) warm\n(B) late", "correct": "(A)", "incorrect": "(B)"},
    {"prompt": "And the train?\n\nChoices:\n(A) kind\n(B) late", "correct": "(B)", "incorrect": "(A)"},
    {"prompt": "And the sun?\n\nChoices:\n(A) low\n(B) a book", "correct": "(A)", "incorrect": "(B)"},
]
TEXTS = ("The train was late again.", "We walked along the river.", "The days are still warm.")


@pytest.fixture
def run(on_tiny: Callable[..., Result], vector) -> Callable[..., Result]:
    """Invoke the command on the tiny model with texts, prompts and a vector of its own."""
    Path("v.json").write_text(dump_vector(vector))
    Path("texts.txt").write_text("\n".join(TEXTS))
    Path("prompts.txt").write_text("Tell me more.\nWhat is the sea like?\nAnd then?\n")
    Path("items.json").write_text(json.dumps(ITEMS))
    given = ("--vector", "v.json", "--texts", "texts.txt", "--prompts", "prompts.txt",
             "--max-new-tokens", "6")  # fmt: skip
    return partial(on_tiny, "price", *given)


def test_json_holds_what_the_function_measures(run, engine, vector) -> None:
    done = run("--scales", "-2,2", "--items", "items.json", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    *_, report = evaluate_price(
        engine, vector, (-2.0, 2.0), texts=read_texts(Path("texts.txt"), engine.turns, 9),
        prompts=("Tell me more.", "What is the sea like?", "And then?"), sampling=Sampling(6),
    )  # fmt: skip
    assert (found["texts"], found["prompts"], found["items"]) == (3, 3, 3)
    assert found["sae"]["sha256"] == vector.sae.sha256
    assert found["sampling"]["max_new_tokens"] == 6
    assert len(found["rows"]) == len(report.rows) == 5
    for told, row in zip(found["rows"], report.rows, strict=True):
        assert (told["arm"], told["scale"]) == (row.arm, row.scale)
        assert told["texts"]["kl"]["value"] == pytest.approx(row.texts.kl.value, abs=1e-5)
        assert told["texts"]["perplexity"]["high"] == pytest.approx(row.texts.perplexity.high, rel=1e-4)
        assert told["written"]["perplexity"]["value"] == pytest.approx(row.written.perplexity.value, rel=1e-4)
        assert told["written"]["distinct"][1]["value"] == pytest.approx(row.written.distinct[1].value)
    assert 0.0 <= found["rows"][0]["accuracy"]["value"] <= 1.0
    assert found["capability_at_chance"] in (True, False)


def test_the_tables_have_a_row_per_strength_of_the_vector_and_of_the_control(run) -> None:
    done = run("--scales", "-2,2")
    assert done.exit_code == 0, done.stderr
    rows = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith((" vector", " random"))]
    arms = [["vector", "-2"], ["vector", "+0"], ["vector", "+2"], ["random-matched", "-2"],
            ["random-matched", "+2"]]  # fmt: skip
    assert rows == arms * 2
    assert "weather: 3 held-out texts" in done.stdout
    assert "random-matched" not in run("--scales", "2", "--no-control").stdout


def test_most_limits_the_rows_of_every_file(run) -> None:
    done = run("--scales", "1", "--no-control", "--items", "items.json", "--most", "2", "--json")
    found = json.loads(done.stdout)
    assert (found["texts"], found["prompts"], found["items"]) == (2, 2, 2)


def test_numbers_that_are_not_finite_become_null_and_are_told(run, vector) -> None:
    wild = tuple(f.model_copy(update={"value": 1e38}) for f in vector.features)
    Path("v.json").write_text(dump_vector(vector.model_copy(update={"features": wild})))
    done = run("--scales", "1000", "--no-control", "--json")
    assert done.exit_code == 0, done.stderr
    broken = json.loads(done.stdout)["rows"][1]
    assert (broken["texts"], broken["written"], broken["not_finite"]) == (None, None, 1.0)
    shown = run("--scales", "1000", "--no-control").stdout
    assert "Lambda +1000, vector: 100% of the answers broke off" in shown


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--scales", "0"), "strength other than 0"),
        (("--scales", "1,two"), "not a list of numbers"),
        (("--texts", "missing.txt"), "There is no file missing.txt"),
        (("--prompts", "missing.txt"), "There is no file missing.txt"),
        (("--items", "texts.txt"), "header"),
        (("--max-new-tokens", "0"), "0 new tokens asked"),
        (("--vector", "missing.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(run, args, sentence) -> None:
    check_refused(run(*args), sentence)


def test_a_bad_item_is_named_by_its_row_and_the_others_are_asked(run) -> None:
    Path("items.json").write_text(json.dumps([ITEMS[0], {"prompt": "Hm?", "correct": "(A)"}, ITEMS[1]]))
    done = run("--scales", "1", "--no-control", "--items", "items.json", "--json")
    assert 'Row 2: "incorrect" is missing' in done.stderr
    assert json.loads(done.stdout)["items"] == 2
