"""Scores from files: what is found again, and how faults are told."""

import csv
import json
from pathlib import Path

import pytest

from sas_core.errors import BadInput
from sas_core.evaluation.scorers.given import GivenScorer, written_prompt

TALK = ({"role": "user", "content": "Hé?"}, {"role": "assistant", "content": "I"})
HEADER = ["arm", "prompt", "text", "score"]


def table(tmp_path: Path, *rows: list[object], header: list[str] = HEADER, encoding: str = "utf-8") -> Path:
    path = tmp_path / "scores.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def lines(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "scores.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_a_score_is_found_by_prompt_and_text_and_nothing_else_is(tmp_path) -> None:
    path = table(
        tmp_path, ["v", "Q", ' He said "no",\nthen left.', 0.25], ["v", "R", "x", "-3"], ["v", "Q", "y", ""]
    )
    scorer = GivenScorer("tone", path)
    assert scorer.figures == ("scores:tone",)
    assert scorer.score("Q", ' He said "no",\nthen left.') == {"scores:tone": 0.25}
    assert scorer.score("R", "x") == {"scores:tone": -3.0}
    assert scorer.score("Q", "x") == {}, "of another prompt"
    assert scorer.score("Q", "y") == {}, "its score is empty"


def test_what_a_spreadsheet_does_to_a_table_makes_no_difference(tmp_path) -> None:
    path = table(tmp_path, ["v", "Q", "two\r\nlines", 1], encoding="utf-8-sig", header=HEADER)
    assert GivenScorer("s", path).score("Q", " two\nlines ") == {"scores:s": 1.0}


def test_json_lines_are_read_with_talks_as_prompts(tmp_path) -> None:
    path = lines(
        tmp_path,
        {"prompt": list(TALK), "text": "a\u2028b", "score": 2},
        "",
        {"prompt": written_prompt(TALK), "text": "c", "score": "0.5"},
        {"prompt": "Q", "text": "", "score": 0},
        {"prompt": "Q", "text": "later", "score": None},
    )
    scorer = GivenScorer("s", path)
    assert scorer.score(TALK, "a\u2028b") == {"scores:s": 2.0}
    assert scorer.score(TALK, "c") == {"scores:s": 0.5}
    assert scorer.score("Q", "") == {"scores:s": 0.0}
    assert scorer.score("Q", "later") == {}


def test_a_talk_in_one_field_can_be_read_back() -> None:
    assert json.loads(written_prompt(TALK)) == list(TALK)
    assert written_prompt("plain") == "plain"


def test_equal_texts_may_be_scored_twice_but_not_differently(tmp_path) -> None:
    same = ["v", "Q", "x", 1]
    assert GivenScorer("s", table(tmp_path, same, same)).score("Q", "x") == {"scores:s": 1.0}
    with pytest.raises(BadInput, match=r"scores\.csv, row 3 scores its text 2, and .* prompt and text 1"):
        GivenScorer("s", table(tmp_path, same, ["v", "Q", "x", 2]))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (["v", "Q", "x", "high"], r"scores\.csv, row 3 has the score 'high', which is no finite number"),
        (["v", "Q", "x", "nan"], r"row 3 has the score 'nan'"),
        (["v", "Q"], r"row 3 has no text"),
    ],
)
def test_a_bad_row_of_a_table_is_named(tmp_path, row, told) -> None:
    with pytest.raises(BadInput, match=told):
        GivenScorer("s", table(tmp_path, ["v", "Q", "fine", 1], row))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{", r"scores\.jsonl, row 2 is not JSON"),
        ([1], r"row 2 is not a JSON object"),
        ({"prompt": "Q", "score": 1}, r"row 2 has no text"),
        ({"prompt": 3, "text": "x", "score": 1}, r"row 2 has no prompt"),
        ({"prompt": "Q", "text": "x", "score": [1]}, r"row 2 has the score \[1\]"),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, told) -> None:
    with pytest.raises(BadInput, match=told):
        GivenScorer("s", lines(tmp_path, {"prompt": "Q", "text": "fine", "score": 1}, row))


def test_a_file_that_cannot_be_used_is_named(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"none\.csv cannot be read: No such file"):
        GivenScorer("s", tmp_path / "none.csv")
    with pytest.raises(BadInput, match=r"first row of scores\.csv lacks text, score"):
        GivenScorer("s", table(tmp_path, header=["prompt"]))
    with pytest.raises(BadInput, match=r"scores\.csv has no score"):
        GivenScorer("s", table(tmp_path, ["v", "Q", "x", " "]))
    unclosed = tmp_path / "open.csv"
    unclosed.write_text('prompt,text,score\nQ,x,1\nQ,"y,2\n')
    with pytest.raises(BadInput, match=r"open\.csv is broken after row 2"):
        GivenScorer("s", unclosed)
    unclosed.write_bytes(b"prompt,text,score\nQ,\xff,1\n")
    with pytest.raises(BadInput, match=r"open\.csv is not UTF-8 text: byte 20"):
        GivenScorer("s", unclosed)
