"""Answers' log-likelihoods and figures of `evaluate capability` against lm-evaluation-harness, unsteered.

    python3 -m venv cache/lm-eval && cache/lm-eval/bin/pip install lm-eval[hf]==0.4.13
    PYTHONPATH=. python benchmarks/check_lm_eval.py --items FILE --most 40 --harness cache/lm-eval/bin/python

Both read the same model folder in float32 and the same questions. The harness asks them with its own tasks
mmlu, mmlu continuation, truthfulqa_mc1 and truthfulqa_mc2, pointed at a local JSON file, and what it logs is
compared: contexts to the letter, log-likelihoods of every answer, figures of every question. Its mmlu is
written for four answers; for another number its lines are looped. TruthfulQA's preamble is the harness's.
No test runs this.
"""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from sas_core.cli.output import quiet, show, show_json, table
from sas_core.evaluation.capability import prompts
from sas_core.evaluation.capability.measure import answer_logprobs, asked
from sas_core.evaluation.capability.question_rows import Answers, Question
from sas_core.evaluation.capability.questions import read_questions
from sas_core.evaluation.capability.report import figures_of
from sas_core.model.presets import get_preset, load_engine
from sas_core.steering.engine import Engine

# the harness sums an answer's tokens in float32, so a long one is told less exactly
_MOST_APART, _MOST_A_TOKEN = 1e-3, 1e-4
_DEMO = Path("cache/models/SmolLM2-135M-Instruct")
_LOOPED = "{{question.strip()}}{% for c in choices %}\n{{letters[loop.index0]}}. {{c}}{% endfor %}\nAnswer:"


@dataclass(frozen=True)
class Task:
    """A task of the harness: the file it extends, what is changed in it, its figures there and here."""

    name: str
    base: str
    figures: dict[str, str]
    changes: dict[str, Any]

    def document(self, tasks: Path, data: Path) -> dict[str, Any]:
        """The task on a local file, without examples."""
        return {
            "include": str(tasks / self.base), "task": f"local_{self.name}", "dataset_path": "json",
            "dataset_name": None, "dataset_kwargs": {"data_files": {"test": str(data)}}, "test_split": "test",
            "validation_split": None, "fewshot_split": None, "fewshot_config": None, "num_fewshot": 0,
            "metric_list": [
                {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in self.figures
            ],
            **self.changes,
        }  # fmt: skip


def main(
    items: Annotated[str, typer.Option(help="Questions, as `evaluate capability` reads them.")],
    harness: Annotated[Path, typer.Option(help="The python of an environment with lm-eval in it.")],
    most: Annotated[int, typer.Option(min=1, help="So many questions, spread over the file.")] = 40,
    model: Annotated[Path, typer.Option(help="Folder of the preset's model.")] = _DEMO,
    preset: Annotated[str, typer.Option(help="The same model here, with its SAE.")] = "demo",
) -> None:
    """Print the largest difference of each task and a JSON line; leave with 1 where they do not agree."""
    questions = read_questions(items, most=most).questions
    tasks = _tasks(questions)
    with tempfile.TemporaryDirectory() as folder:
        theirs = _samples(harness, model, tasks, questions, Path(folder))
    with quiet():
        engine = load_engine(get_preset(preset), device="cpu", dtype="float32")
        found = [_compared(engine, task, theirs[task.name], questions) for task in tasks]
    columns = (
        "task",
        "questions",
        "answers",
        "same context",
        "most apart, nats",
        "a token",
        "figures unlike",
    )
    rows = [tuple(f"{v:.1e}" if isinstance(v, float) else v for v in row.values()) for row in found]
    show(table(columns, rows, right=columns[1:]))
    show_json({"check": "lm-eval", "items": Path(items).name, "results": found})
    if any(r["a_token"] > _MOST_A_TOKEN or r["same_context"] < r["questions"] or r["unlike"] for r in found):
        raise typer.Exit(1)


def _tasks(questions: Sequence[Question]) -> list[Task]:
    if questions[0].form == "truthful":
        made = [Task("mc1", "truthfulqa/truthfulqa_mc1.yaml", {"acc": "mc1"}, {})]
        if questions[0].many is not None:
            made.append(Task("mc2", "truthfulqa/truthfulqa_mc2.yaml", {"acc": "mc2"}, {}))
        return made
    four = all(len(question.one) == 4 for question in questions)
    kinds = "multiple choice questions", "questions"
    described = [
        {"description": f"The following are {k} (with answers) about {{{{subject}}}}.\n\n"} for k in kinds
    ]
    looped = {} if four else {"doc_to_text": _LOOPED, "doc_to_choice": "{{letters}}"}
    same = {name: name for name in ("acc", "acc_norm", "acc_bytes")}
    return [
        Task("letters", "mmlu/default/_default_template_yaml", {"acc": "letter"}, described[0] | looped),
        Task("texts", "mmlu/continuation/_continuation_template_yaml", same, described[1]),
    ]


def _samples(
    harness: Path, model: Path, tasks: Sequence[Task], questions: Sequence[Question], folder: Path
) -> dict[str, list[dict[str, Any]]]:
    """What the harness logs of each task, by question."""
    data = folder / "questions.json"
    data.write_text(json.dumps([_document(question) for question in questions]))
    where = subprocess.run(
        [str(harness), "-c", "import lm_eval; print(lm_eval.__path__[0])"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    for task in tasks:
        document = task.document(Path(where.stdout.strip()) / "tasks", data)
        (folder / f"{task.name}.yaml").write_text(yaml.safe_dump(document))
    command = [
        str(harness), "-m", "lm_eval", "run", "--model", "hf",
        "--model_args", f"pretrained={model.resolve()},dtype=float32", "--device", "cpu", "--batch_size", "1",
        "--tasks", ",".join(f"local_{task.name}" for task in tasks), "--include_path", str(folder),
        "--log_samples", "--output_path", str(folder / "out"),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return {task.name: _logged(folder / "out", task.name) for task in tasks}


def _document(question: Question) -> dict[str, Any]:
    """A question with the fields of the data sets the tasks are written for."""
    one = {"question": question.text, "choices": list(question.one.texts), "answer": question.one.first_right,
           "letters": list(prompts.letters(question)), "subject": question.subject.replace("_", " "),
           "mc1_targets": _targets(question.one)}  # fmt: skip
    return one if question.many is None else one | {"mc2_targets": _targets(question.many)}


def _targets(answers: Answers) -> dict[str, Any]:
    return {"choices": list(answers.texts), "labels": [int(right) for right in answers.right]}


def _logged(folder: Path, name: str) -> list[dict[str, Any]]:
    (file,) = folder.rglob(f"samples_local_{name}_*.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return sorted(rows, key=lambda row: row["doc_id"])


def _compared(
    engine: Engine, task: Task, theirs: Sequence[dict[str, Any]], questions: Sequence[Question]
) -> dict[str, Any]:
    """Contexts that are the same, largest difference of an answer's log-likelihood, figures that differ."""
    same = answers = unlike = 0
    largest = a_token = 0.0
    for row, question in zip(theirs, questions, strict=True):
        logged = np.array([[float(answer[0]) for answer in row["filtered_resps"]]])
        context = row["arguments"]["gen_args_0"]["arg_0"]
        ours, texts = _asked(task, question, context)
        ready = asked(engine.turns, ours, texts)
        found = answer_logprobs(engine, ready, [None], "generated")
        apart = np.abs(logged - found)[0]
        same += ours == context
        answers += found.size
        largest = max(largest, float(apart.max()))
        a_token = max(a_token, float((apart / [len(ids) for ids in ready.answers]).max()))
        figures = _figures(task, question, found)
        unlike += sum(
            abs(float(row[there]) - figures[here]) > _MOST_APART for there, here in task.figures.items()
        )
    return {"task": task.name, "questions": len(theirs), "answers": answers, "same_context": same,
            "difference": largest, "a_token": a_token, "unlike": unlike}  # fmt: skip


def _asked(task: Task, question: Question, context: str) -> tuple[str, tuple[str, ...]]:
    """Our context and answers; before truthful questions the preamble that the harness's own context has."""
    if task.name == "letters":
        return prompts.by_letter(question), prompts.letters(question)
    if task.name == "texts":
        return prompts.by_text(question), question.one.texts
    preamble = context[: context.rindex("\n\nQ: ")]
    answers = question.one if task.name == "mc1" else question.many
    return prompts.truthful(question, preamble), answers.texts


def _figures(task: Task, question: Question, found: np.ndarray) -> dict[str, float]:
    """This task's figures; the other task's answers are not asked, so anything stands for them."""
    other = np.zeros((1, len(question.one)))
    arrays = {
        "letters": [found, other],
        "texts": [other, found],
        "mc1": [np.concatenate([found, np.zeros((1, len(question.many or ())))], axis=1)],
        "mc2": [np.concatenate([other, found], axis=1)],
    }[task.name]
    return {name: float(values[0]) for name, values in figures_of(question, arrays).items()}


if __name__ == "__main__":
    typer.run(main)
