"""Question files of every form, and what is said of rows that cannot be asked."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sas_core.errors import BadInput, Unavailable
from sas_core.evaluation.capability.questions import read_questions
from tests.evaluation.capability.easy_questions import EASY, mmlu_rows, truthful_rows

CAA = {"prompt": "What eats grass?\n\nChoices:\n(A) a stone\n(B) a cow", "correct": "(B)", "incorrect": "(A)",
       "category": "farm_animals"}  # fmt: skip


def written(path: Path, rows: list[dict]) -> str:
    path.write_text(json.dumps(rows) if path.suffix == ".json" else "\n".join(map(json.dumps, rows)))
    return str(path)


def as_table(path: Path, rows: list[list[str]], delimiter: str = ",") -> str:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return str(path)


def test_every_format_gives_the_same_questions(tmp_path: Path) -> None:
    rows = mmlu_rows()
    wide = [["question", "A", "B", "C", "D", "answer", "subject"]]
    wide += [[q, *choices, "ABCD"[right], subject] for subject, q, choices, right in EASY]
    nested = [["subject", "question", "choices", "answer"]]
    nested += [[r["subject"], r["question"], json.dumps(r["choices"]), str(r["answer"])] for r in rows]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "q.parquet")
    plain = Path(as_table(tmp_path / "q.csv", wide)).read_bytes()
    (tmp_path / "q.csv.gz").write_bytes(gzip.compress(plain))
    names = [
        written(tmp_path / "q.json", rows),
        written(tmp_path / "q.jsonl", rows),
        str(tmp_path / "q.csv"),
        str(tmp_path / "q.csv.gz"),
        as_table(tmp_path / "q.tsv", nested, "\t"),
        str(tmp_path / "q.parquet"),
    ]
    sets = [read_questions(name) for name in names]
    assert len({found.sha256 for found in sets}) == 1
    first = sets[0].questions[0]
    assert (first.place, first.text, first.subject) == ("row 1", EASY[0][1], "the sky")
    assert first.one.texts == tuple(EASY[0][2]) and first.one.right == (False, True, False, False)
    assert [q.one.first_right for q in sets[0].questions] == [right for *_, right in EASY]
    assert sets[1].questions[4].place == "line 5" and sets[2].questions[0].place == "row 2"


def test_truthful_rows_keep_both_sets_of_answers(tmp_path: Path) -> None:
    found = read_questions(written(tmp_path / "t.json", truthful_rows()))
    assert found.form == "truthful" and len(found.questions) == 12
    sky = found.questions[0]
    assert sky.one.texts == ("blue", "green", "red", "black") and sky.one.first_right == 0
    assert sky.many.texts == ("blue", "blue, I think", "green") and sky.many.right == (True, True, False)


def test_a_prompt_with_lettered_answers_is_taken_apart(tmp_path: Path) -> None:
    three = {
        "prompt": "Which?\n (A) x (B is no answer)\n (B) y\n (C) z\n",
        "correct": "C",
        "incorrect": "(A)",
    }
    found = read_questions(written(tmp_path / "caa.json", [CAA, three]))
    first, second = found.questions
    assert (first.text, first.one.texts, first.subject) == (
        "What eats grass?",
        ("a stone", "a cow"),
        "farm_animals",
    )
    assert first.one.first_right == 1
    assert second.one.texts == ("x (B is no answer)", "y", "z") and second.one.first_right == 2


def test_the_most_questions_are_spread_over_the_file_and_dev_rows_are_examples(tmp_path: Path) -> None:
    rows = [{**row, "split": "dev" if i % 4 == 0 else "test"} for i, row in enumerate(mmlu_rows())]
    name = written(tmp_path / "q.json", rows)
    found = read_questions(name, most=3)
    assert [q.subject for q in found.questions] == ["the sky", "animals", "numbers"]
    assert [q.text for q in found.dev] == [EASY[i][1] for i in (0, 4, 8)]
    assert len(read_questions(name, most=99).questions) == 9


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"answer": "E"}, "\"answer\" is 'E' and there are 4 answers"),
        ({"answer": 4}, '"answer" is 4 and there are 4 answers'),
        ({"answer": -1}, '"answer" is -1'),
        ({"answer": True}, '"answer" is True and should be a letter'),
        ({"answer": None}, '"answer" is None and should be'),
        ({"answer": "9" * 5000}, "should be a letter"),
        ({"question": " "}, '"question" is missing, empty or no text'),
        ({"choices": ["only"]}, '"choices" has 1 answers and needs 2 to 26'),
        ({"choices": ["a", ""]}, '"choices" is no list of texts, none of them empty'),
        ({"choices": "['a' 'b']"}, '"choices" is no list of texts'),
        ({"choices": None}, "there is no question with answers"),
        ({"subject": 3}, '"subject" is missing, empty or no text'),
        ({"mc1_targets": {"choices": ["a", "b"], "labels": [1, 1]}}, "2 labels of 1 and needs exactly one"),
        (
            {"mc1_targets": {"choices": ["a", "b"], "labels": [1]}},
            '"mc1_targets.labels" needs a 0 or a 1 for',
        ),
        ({"mc1_targets": ["a"]}, '"mc1_targets" is no object with choices and labels'),
        ({"mc2_targets": {"choices": ["a", "b"], "labels": [1, 0]}}, '"mc1_targets" is no object'),
    ],
)
def test_a_bad_row_is_one_sentence_with_file_row_and_field(
    tmp_path: Path, change: dict, sentence: str
) -> None:
    rows = mmlu_rows()
    rows[2] = {**rows[2], **change}
    with pytest.raises(BadInput) as told:
        read_questions(written(tmp_path / "mine.json", rows))
    assert str(told.value).startswith("mine.json, row 3: ") and sentence in str(told.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"incorrect": "(B)"}, "name the same letter"),
        ({"incorrect": None}, '"incorrect" is None'),
        ({"prompt": "What eats grass?"}, '"prompt" needs its answers as (A), (B)'),
        ({"prompt": "What?\n(A) a stone\n(C) a cow"}, '"prompt" needs its answers as (A), (B)'),
    ],
)
def test_a_bad_row_of_lettered_prompts_too(tmp_path: Path, change: dict, sentence: str) -> None:
    with pytest.raises(BadInput, match="row 2: ") as told:
        read_questions(written(tmp_path / "caa.json", [CAA, {**CAA, **change}]))
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([["question", "A", "B", "answer"], ["Why?", "", "x", "A"]], "row 2: there is no question"),
        ([["question", "A", "B", "C", "answer"], ["Why?", "x", "", "y", "A"]], 'row 2: "B" is empty'),
        ([["question", "A", "B", "answer"], ["Why?", "x"]], "row 2 has more or fewer fields"),
        ([["question", "A", "B", "answer"]], "has no question to ask"),
    ],
)
def test_a_bad_table_names_the_row(tmp_path: Path, rows: list[list[str]], sentence: str) -> None:
    with pytest.raises(BadInput) as told:
        read_questions(as_table(tmp_path / "q.csv", rows))
    assert sentence in str(told.value)


def test_one_file_holds_one_form(tmp_path: Path) -> None:
    mixed = [mmlu_rows()[0], truthful_rows()[0]]
    with pytest.raises(BadInput, match=r"m\.json, row 2 has other fields than row 1"):
        read_questions(written(tmp_path / "m.json", mixed))


def test_what_is_no_file_is_said_or_asked_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no file"):
        read_questions(str(tmp_path / "none.json"))
    with pytest.raises(BadInput, match="leave them out"):
        read_questions(written(tmp_path / "q.json", mmlu_rows()), split="test")
    with pytest.raises(Unavailable, match=r"cais/mmlu \(subset all, split test\) is neither a file here"):
        read_questions("cais/mmlu")
