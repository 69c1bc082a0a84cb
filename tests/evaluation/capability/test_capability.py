"""Capability against plain whole runs, option by option, and against figures reckoned by hand."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from sas_core.errors import BadInput
from sas_core.evaluation.capability import prompts
from sas_core.evaluation.capability.measure import answer_logprobs, asked, evaluate_capability
from sas_core.evaluation.capability.question_rows import question_of
from sas_core.evaluation.capability.questions import QuestionSet
from sas_core.evaluation.capability.report import CapabilityReport, chance_of, figures_of
from sas_core.evaluation.controls import arms
from sas_core.evaluation.plan import plan
from sas_core.steering.engine import Engine
from sas_core.vectors.build import steering_of
from sas_core.vectors.fields import VectorFile
from tests.evaluation.capability.easy_questions import EASY, mmlu_rows, truthful_rows
from tests.helpers import slow_edit, slow_logits

SHORT = "Q: Is it late?\nA: No."
Change = Callable[[torch.Tensor], torch.Tensor] | None


def questions(rows: Sequence[dict], *, dev: Sequence[dict] = (), count: int = 12) -> QuestionSet:
    made = [question_of(f"row {i}", row) for i, row in enumerate(rows[:count], 1)]
    return QuestionSet("easy.json", tuple(made), tuple(question_of("dev", row) for row in dev))


def report_of(*args: object, **options: object) -> CapabilityReport:
    *_, report = evaluate_capability(*args, **options)
    return report


def plain_logprob(
    engine: Engine, prompt: str, answer: str, change: Change = None, first: int | None = None
) -> float:
    """Whole text at once, no cache, no batch: the answer's tokens are those after the prompt's."""
    before = engine.turns.tokenizer.encode(prompt, add_special_tokens=False)
    ids = engine.turns.tokenizer.encode(prompt + answer, add_special_tokens=False)
    assert ids[: len(before)] == before and len(ids) > len(before)
    steered = range(len(before) - 1 if first is None else first, len(ids))
    logits = slow_logits(
        engine.model, engine.hook_name, ids[:-1], change, [p for p in steered if p < len(ids) - 1]
    )
    p = logits.double().log_softmax(dim=-1)
    return sum(float(p[at - 1, ids[at]]) for at in range(len(before), len(ids)))


def changes(engine: Engine, vector: VectorFile, scales: Sequence[float]) -> list[Change]:
    """The vector at each strength (None at 0) as published, then the control at each but 0."""

    def of(steering: object) -> Change:
        return lambda residual: slow_edit(engine.dictionary.sae, residual, steering)

    own = [of(steering_of(vector, scale)) if scale else None for scale in scales]
    control = [arm.edit for arm in arms(engine, vector, plan(scales, ("random-matched",), 1))][1::2]
    return [*own, *(lambda residual, e=edit: e.apply(residual).residual for edit in control)]


def mmlu_prompt(subject: str, question: str, choices: Sequence[str]) -> str:
    return (
        f"The following are multiple choice questions (with answers) about {subject}.\n\n{question}\n"
        f"A. {choices[0]}\nB. {choices[1]}\nC. {choices[2]}\nD. {choices[3]}\nAnswer:"
    )


def continuation_prompt(subject: str, question: str) -> str:
    return f"The following are questions (with answers) about {subject}.\n\nQuestion: {question}\nAnswer:"


def test_every_figure_of_lettered_questions_is_that_of_plain_runs(engine: Engine, vector: VectorFile) -> None:
    scales = (-3.0, 0.0, 2.0)
    report = report_of(engine, vector, questions(mmlu_rows(), count=2), scales)
    assert [(row.arm, row.scale) for row in report.rows] == [
        ("vector", -3.0), ("vector", 0.0), ("vector", 2.0), ("random-matched", -3.0), ("random-matched", 2.0)
    ]  # fmt: skip
    for row, change in zip(report.rows, changes(engine, vector, scales), strict=True):
        for i, (subject, question, choices, right) in enumerate(EASY[:2]):
            prompt = mmlu_prompt(subject, question, choices)
            letters = [plain_logprob(engine, prompt, f" {letter}", change) for letter in "ABCD"]
            prompt = continuation_prompt(subject, question)
            texts = [plain_logprob(engine, prompt, f" {text}", change) for text in choices]
            each = [t / len(c) for t, c in zip(texts, choices, strict=True)]
            said = {name: score.items[i] for name, score in row.scores.items()}
            assert said == {
                "letter": float(np.argmax(letters) == right),
                "acc": float(np.argmax(texts) == right),
                "acc_norm": float(np.argmax(each) == right),
                "acc_bytes": float(np.argmax(each) == right),
            }


def test_truthful_figures_are_those_of_plain_runs(engine: Engine, vector: VectorFile) -> None:
    scales = (0.0, 2.0)
    rows = truthful_rows()
    report = report_of(engine, vector, questions(rows, count=3), scales, preamble=SHORT)
    for row, change in zip(report.rows, changes(engine, vector, scales), strict=True):
        for i, data in enumerate(rows[:3]):
            prompt = f"{SHORT}\n\nQ: {data['question']}\nA:"
            one, many = (
                [plain_logprob(engine, prompt, f" {text}", change) for text in data[name]["choices"]]
                for name in ("mc1_targets", "mc2_targets")
            )
            p = np.exp(many) / np.exp(many).sum()
            assert row.scores["mc1"].items[i] == float(np.argmax(one) == 0)
            true = p[np.array(data["mc2_targets"]["labels"]) == 1].sum()
            assert row.scores["mc2"].items[i] == pytest.approx(true, abs=1e-4)


@pytest.mark.parametrize(("tokens", "first"), [("generated", None), ("all", 1)])
def test_an_answers_log_likelihood_is_that_of_a_plain_run(
    engine: Engine, vector: VectorFile, tokens: str, first: int | None
) -> None:
    prompt, answers = "What falls from a cloud?\nAnswer:", ["water", "sand and salt", "A", "B", "sand"]
    both = [None, *changes(engine, vector, (2.0,))[:1]]
    edits = [None, engine.edit_for(steering_of(vector, 2.0))]
    found = answer_logprobs(engine, asked(engine.turns, prompt, answers), edits, tokens)
    wanted = [[plain_logprob(engine, prompt, f" {a}", change, first) for a in answers] for change in both]
    assert np.allclose(found, wanted, atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 1e-2


def test_few_logits_at_once_change_no_number(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = asked(engine.turns, "What is late?\nAnswer:", ["the train", "it", "a book of the sea"])
    whole = answer_logprobs(engine, ready, [None, None], "generated")
    monkeypatch.setattr("sas_core.evaluation.capability.measure._MOST_LOGITS", 1)
    assert np.allclose(answer_logprobs(engine, ready, [None, None], "generated"), whole, atol=1e-5)


def test_means_changes_and_what_moved_belong_to_the_items(engine: Engine, vector: VectorFile) -> None:
    report = report_of(engine, vector, questions(truthful_rows()), (-3.0, 2.0), preamble=SHORT, control=False)
    plain = report.unsteered
    assert plain.moved == 0.0 and len(report.rows) == 3
    for row in report.rows:
        for name, score in row.scores.items():
            apart = np.array(score.items) - np.array(plain.scores[name].items)
            assert score.value.value == pytest.approx(np.mean(score.items))
            assert score.change.value == pytest.approx(apart.mean())
            assert score.change.low <= score.change.value <= score.change.high
        assert (row.moved > 0.01) == (row.scale != 0.0)
    assert report.places == tuple(f"row {i}" for i in range(1, 13))


def test_figures_of_a_question_reckoned_by_hand() -> None:
    question = question_of("row 1", {"question": "?", "choices": ["é", "abcd", "xy"], "answer": "B"})
    letters = np.log([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    # per character -3, -1, -2.5; per byte -1.5, -1, -2.5: the first has one character and two bytes
    texts = np.array([[-3.0, -4.0, -5.0], [-1.9, -4.0, -1.0]])
    found = figures_of(question, [letters, texts])
    assert {name: list(values) for name, values in found.items()} == {
        "letter": [1.0, 0.0],
        "acc": [0.0, 0.0],
        "acc_norm": [1.0, 0.0],
        "acc_bytes": [1.0, 0.0],
    }
    bytes_matter = np.array([[-1.9, -4.0, -5.0]])
    found = figures_of(question, [letters[:1], bytes_matter])
    assert (found["acc_norm"][0], found["acc_bytes"][0]) == (1.0, 0.0)


def test_truthful_mass_is_normalised_and_holds_for_very_unlikely_answers() -> None:
    question = question_of(
        "row 1",
        {"question": "?", "mc1_targets": {"choices": ["a", "b"], "labels": [0, 1]},
         "mc2_targets": {"choices": ["a", "b", "c"], "labels": [0, 1, 1]}},
    )  # fmt: skip
    logs = np.log([[0.1, 0.2, 0.02, 0.01, 0.01], [0.2, 0.1, 0.01, 0.03, 0.0001]])
    found = figures_of(question, [logs])
    assert list(found["mc1"]) == [1.0, 0.0]
    assert found["mc2"] == pytest.approx([0.5, 0.0301 / 0.0401])
    assert figures_of(question, [logs - 2000.0])["mc2"] == pytest.approx(found["mc2"])


def test_numbers_that_are_not_finite_give_no_figure(engine: Engine, vector: VectorFile) -> None:
    question = question_of("row 1", mmlu_rows()[0])
    broken = np.full((1, 4), math.nan)
    assert all(np.isnan(values).all() for values in figures_of(question, [broken, broken]).values())
    wild = vector.model_copy(
        update={"features": tuple(f.model_copy(update={"value": 1e38}) for f in vector.features)}
    )
    report = report_of(engine, wild, questions(mmlu_rows(), count=2), (1000.0,), control=False)
    last = report.rows[-1]
    assert last.moved is None and last.scores["letter"].value is None
    assert "Lambda +1000, vector: activations were no finite numbers" in "\n".join(report.sentences())
    assert report.unsteered.scores["letter"].value is not None


def test_chance_is_the_questions_own() -> None:
    four = question_of("r", mmlu_rows()[0])
    assert set(chance_of(four).values()) == {0.25}
    assert chance_of(question_of("r", truthful_rows()[0])) == {"mc1": 0.25, "mc2": pytest.approx(2 / 3)}


def test_a_model_at_chance_is_told_so_and_one_that_knows_is_not(engine: Engine, vector: VectorFile) -> None:
    report = report_of(engine, vector, questions(mmlu_rows()), (1.0,), control=False)
    assert "letter" in report.at_chance, "a random model knows nothing"
    assert "cannot be told from chance here" in "\n".join(report.sentences())
    sure = replace(report, chance=dict.fromkeys(report.chance, -1.0))
    assert sure.at_chance == () and "from chance" not in "\n".join(sure.sentences())


def test_a_strength_that_moves_nothing_is_told(engine: Engine, vector: VectorFile) -> None:
    report = report_of(engine, vector, questions(mmlu_rows(), count=2), (1e-9, 2.0), control=False)
    said = [line for line in report.sentences() if line.startswith("Lambda")]
    assert len(said) == 1 and "+1e-09, vector: no answer's log-likelihood moved" in said[0]


def test_examples_of_the_subject_stand_before_the_question(engine: Engine, vector: VectorFile) -> None:
    rows = mmlu_rows()
    found = questions(rows[1:2], dev=[rows[4], rows[0], rows[3]])
    shots = prompts.examples_of(found, found.questions[0], 2)
    text = prompts.by_letter(found.questions[0], shots)
    assert text == (
        "The following are multiple choice questions (with answers) about the sky.\n\n"
        "What colour is a clear sky at noon?\nA. green\nB. blue\nC. red\nD. black\nAnswer: B\n\n"
        "When are the stars seen?\nA. at noon\nB. in the day\nC. at dawn\nD. at night\nAnswer: D\n\n"
        "What lights the day?\nA. the moon\nB. a lamp\nC. the sun\nD. a fire\nAnswer:"
    )
    assert prompts.by_text(found.questions[0], shots[:1]).endswith(
        "Question: What colour is a clear sky at noon?\nAnswer: blue\n\n"
        "Question: What lights the day?\nAnswer:"
    )
    with pytest.raises(BadInput, match="row 1: of 3 examples asked, 2 are there for the subject 'the sky'"):
        report_of(engine, vector, found, (1.0,), shots=3)
    with pytest.raises(BadInput, match="examples in the preamble"):
        report_of(engine, vector, questions(truthful_rows()), (1.0,), shots=1)


def test_a_subject_of_several_words_is_written_out_and_none_is_left_out() -> None:
    row = {**mmlu_rows()[0], "subject": "high_school_physics"}
    assert "about high school physics.\n\n" in prompts.by_letter(question_of("r", row))
    assert "(with answers).\n\n" in prompts.by_letter(question_of("r", {**row, "subject": ""}))


def test_with_the_chat_template_the_prompt_is_the_users_turn(engine: Engine) -> None:
    ready = asked(engine.turns, "Which?\nAnswer:", ["A", "B"], chat=True)
    shown = "".join(engine.turns.pieces(ready.prompt.ids))
    assert shown.endswith("<|im_start|>user\nWhich?\nAnswer:<|im_end|>\n<|im_start|>assistant\n")
    assert [engine.turns.decode(ids) for ids in ready.answers] == ["A", "B"]


def test_chat_is_refused_where_there_is_no_template(raw_engine: Engine) -> None:
    with pytest.raises(BadInput, match="no chat template"):
        asked(raw_engine.turns, "Which?", ["A", "B"], chat=True)


def test_a_question_too_long_is_named_by_its_row(engine: Engine, vector: VectorFile) -> None:
    rows = mmlu_rows()[:2]
    rows[1]["question"] = "Why is it late? " * 40
    with pytest.raises(BadInput, match=r"easy\.json, row 2: The prompt has"):
        report_of(engine, vector, questions(rows), (1.0,))
    with pytest.raises(BadInput, match=r"easy\.json, row 1: The prompt has"):
        report_of(engine, vector, questions(truthful_rows()), (1.0,))


def test_progress_counts_questions_and_a_closed_run_leaves_the_queue(
    engine: Engine, vector: VectorFile
) -> None:
    events = evaluate_capability(engine, vector, questions(mmlu_rows(), count=3), (1.0,), control=False)
    first = next(events)
    assert (first.done, first.total) == (1, 3)
    events.close()
    assert len(engine.queue) == 0


def test_the_report_says_what_was_asked_and_where_the_edit_begins(engine: Engine, vector: VectorFile) -> None:
    report = report_of(engine, vector, questions(mmlu_rows(), count=2), (1.0,), control=False)
    first, second = report.sentences()[:2]
    assert first.startswith(
        "weather, 2 questions of 'easy.json', no examples, no chat template. Chance: letter 0.250"
    )
    assert "begins at the prompt's last token" in second
    every = vector.model_copy(update={"steered_tokens": "all"})
    assert (
        "Every token but the first"
        in report_of(engine, every, questions(mmlu_rows(), count=1), (1.0,), control=False).sentences()[1]
    )
