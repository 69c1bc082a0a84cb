"""The comparison with lm-evaluation-harness sees each difference, on logs made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import check_lm_eval as check
from sas_core.evaluation.capability.measure import answer_logprobs, asked
from sas_core.evaluation.capability.question_rows import Question, question_of
from sas_core.evaluation.capability.report import figures_of
from sas_core.steering.engine import Engine
from tests.evaluation.capability.easy_questions import mmlu_rows, truthful_rows

MMLU = [question_of("row 1", mmlu_rows()[0])]
TRUTHFUL = [question_of("row 1", truthful_rows()[0])]


def logged(engine: Engine, task: check.Task, question: Question) -> dict[str, Any]:
    """What the harness would log if it agreed."""
    context, texts = check._asked(task, question, "Q: Is it late?\nA: No.\n\nQ: ")
    found = answer_logprobs(engine, asked(engine.turns, context, texts), [None], "generated")
    parts = {"letters": [found, found], "texts": [found, found]}
    many = np.zeros((1, len(question.many or ())))
    parts["mc1"], parts["mc2"] = [np.hstack([found, many])], [np.hstack([np.zeros((1, 4)), found])]
    figures = figures_of(question, parts[task.name])
    return {
        "doc_id": 0,
        "filtered_resps": [[str(x), "False"] for x in found[0]],
        "arguments": {"gen_args_0": {"arg_0": context}},
        **{there: float(figures[here][0]) for there, here in task.figures.items()},
    }


@pytest.mark.parametrize("questions", [MMLU, TRUTHFUL])
def test_a_log_that_agrees_is_told_so_and_each_difference_is_seen(engine: Engine, questions) -> None:
    for task in check._tasks(questions):
        row = logged(engine, task, questions[0])
        agreed = check._compared(engine, task, [row], questions)
        assert (agreed["same_context"], agreed["unlike"]) == (1, 0) and agreed["difference"] < 1e-6
        first = float(row["filtered_resps"][0][0])
        other = {**row, "filtered_resps": [[str(first + 0.5), "False"], *row["filtered_resps"][1:]]}
        assert check._compared(engine, task, [other], questions)["difference"] == pytest.approx(0.5)
        figure = next(iter(task.figures))
        wrong = {**row, figure: 1.0 - row[figure]}
        assert check._compared(engine, task, [wrong], questions)["unlike"] == 1
        context = row["arguments"]["gen_args_0"]["arg_0"]
        spaced = {**row, "arguments": {"gen_args_0": {"arg_0": f"{context} "}}}
        assert check._compared(engine, task, [spaced], questions)["same_context"] == 0


def test_a_task_extends_the_harness_own_file_on_local_data() -> None:
    letters, texts = check._tasks(MMLU)
    document = letters.document(Path("/tasks"), Path("/data.json"))
    assert document["include"] == "/tasks/mmlu/default/_default_template_yaml"
    assert document["dataset_kwargs"] == {"data_files": {"test": "/data.json"}}
    assert "doc_to_text" not in document, "four answers are asked in the harness's own words"
    assert list(texts.figures) == ["acc", "acc_norm", "acc_bytes"]
    two = [question_of("row 1", {"question": "?", "choices": ["a", "b"], "answer": 0})]
    assert "loop.index0" in check._tasks(two)[0].document(Path("/t"), Path("/d"))["doc_to_text"]
