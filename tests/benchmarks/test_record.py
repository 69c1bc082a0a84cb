"""The arithmetic behind the figures: order of the arms, paired ratios, the last line."""

import json

import pytest

from benchmarks.record import environment, in_turn, ratio, report


def test_arms_run_in_turn_and_the_first_round_is_not_counted() -> None:
    order: list[str] = []
    seconds = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert {name: len(took) for name, took in seconds.items()} == {"a": 2, "b": 2}


def test_a_ratio_is_the_median_of_ratios_of_the_same_round() -> None:
    # the second round was slow for both: a ratio of medians would give 2, not 3
    seconds = {"a": [3.0, 40.0, 6.0], "b": [1.0, 10.0, 3.0]}
    assert ratio(seconds, "a", "b") == 3.0
    assert ratio(seconds, "b", "a") == pytest.approx(1 / 3)


def test_the_last_line_is_one_json_document_with_the_commit_and_the_device(capsys) -> None:
    document = {"benchmark": "none", "environment": environment("cpu", "float32")}
    report("title", ("arm", "ms"), [("a", "1")], document)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found == document
    assert found["environment"]["commit"]
    assert found["environment"]["device"].startswith("cpu (")
