"""`evaluate capability` from arguments to stdout, on the tiny model."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

from sas_core.evaluation.capability.measure import evaluate_capability
from sas_core.evaluation.capability.questions import read_questions
from sas_core.vectors.schema import dump_vector
from tests.evaluation.capability.easy_questions import mmlu_rows, truthful_rows
from tests.evaluation.commands import check_refused


@pytest.fixture
def run(on_tiny: Callable[..., Result], vector) -> Callable[..., Result]:
    """Invoke the command on the tiny model beside two question files and a vector."""
    Path("v.json").write_text(dump_vector(vector))
    Path("q.json").write_text(json.dumps(mmlu_rows()))
    Path("t.json").write_text(json.dumps(truthful_rows()))
    Path("before.txt").write_text("Q: Is it late?\nA: No.\n")
    return partial(on_tiny, "capability", "--vector", "v.json")


def test_json_holds_what_the_function_measures(run, engine, vector) -> None:
    done = run("--items", "q.json", "--most", "3", "--scales", "2", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    *_, report = evaluate_capability(engine, vector, read_questions("q.json", most=3), (2.0,))
    assert (found["vector"], found["questions"], found["sha256"]) == ("weather", "q.json", report.sha256)
    assert found["chance"] == {"letter": 0.25, "acc": 0.25, "acc_norm": 0.25, "acc_bytes": 0.25}
    assert found["places"] == ["row 1", "row 5", "row 9"] and found["form"] == "lettered"
    assert [(r["arm"], r["scale"]) for r in found["rows"]] == [(r.arm, r.scale) for r in report.rows]
    for told, row in zip(found["rows"], report.rows, strict=True):
        assert told["moved"] == pytest.approx(row.moved, abs=1e-4)
        assert told["scores"]["acc"]["items"] == list(row.scores["acc"].items)
        assert told["scores"]["letter"]["value"]["low"] == row.scores["letter"].value.low
    assert set(found["at_chance"]) <= set(found["chance"])


def test_the_table_has_a_row_per_strength_and_the_sentences_below(run) -> None:
    done = run("--items", "t.json", "--preamble", "before.txt", "--scales", "-2,2", "--most", "4")
    assert done.exit_code == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    rows = [line[:2] for line in lines if line and line[0] in ("vector", "random-matched")]
    assert rows == [["vector", "-2"], ["vector", "+0"], ["vector", "+2"], ["random-matched", "-2"],
                    ["random-matched", "+2"]]  # fmt: skip
    assert "mc1 [95 %]" in done.stdout and "mc2 [95 %]" in done.stdout
    assert "weather, 4 questions of 't.json', no examples, no chat template" in done.stdout
    assert "begins at the prompt's last token" in done.stdout


def test_examples_and_the_chat_template_are_options(run) -> None:
    rows = [{"question": "Is it?", "choices": ["no", "so"], "answer": 1, "split": "dev"},
            {"question": "Was it?", "choices": ["so", "no"], "answer": "A"}]  # fmt: skip
    Path("shot.json").write_text(json.dumps(rows))
    options = ("--items", "shot.json", "--shots", "1", "--scales", "2", "--no-control", "--json")
    plain, chat = (json.loads(run(*options, flag).stdout) for flag in ("--no-chat", "--chat"))
    assert (plain["shots"], plain["chat"], chat["chat"], len(chat["rows"])) == (1, False, True, 2)
    assert plain["rows"][1]["moved"] != chat["rows"][1]["moved"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--items", "none.json"), "There is no file none.json"),
        (("--items", "bad.json"), 'bad.json, row 1: "answer" is 9 and there are 2 answers'),
        (("--items", "q.json", "--scales", "0"), "strength other than 0"),
        (("--items", "q.json", "--shots", "1"), "of 1 examples asked, 0 are there"),
        (("--items", "q.json", "--split", "dev"), "leave them out"),
        (("--items", "t.json", "--preamble", "none.txt"), "none.txt cannot be read"),
        (("--items", "t.json"), "t.json, row 1: The prompt has"),
        (("--items", "cais/mmlu"), "neither a file here nor a data set the hub would give"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(run, args, sentence) -> None:
    Path("bad.json").write_text(json.dumps([{"question": "?", "choices": ["a", "b"], "answer": 9}]))
    check_refused(run(*args), sentence)
