"""Capability under steering: questions with any number of answers, scored as lm-evaluation-harness does.

Each answer's log-likelihood after the question, unsteered, at every strength, and beside them a random
direction of the size that the vector's edit has at each token: all rows of one batch. Nothing is generated.
docs/evaluation.md has each figure's formula. Knows nothing of files or tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.errors import BadInput
from sas_core.evaluation.capability import prompts
from sas_core.evaluation.capability.question_rows import Question
from sas_core.evaluation.capability.questions import QuestionSet
from sas_core.evaluation.capability.report import (
    VECTOR,
    CapabilityReport,
    CapabilityRow,
    Score,
    chance_of,
    figures_of,
    score,
)
from sas_core.evaluation.controls import Arm, arms
from sas_core.evaluation.margin import Progress
from sas_core.evaluation.plan import plan
from sas_core.model.chat import PromptTokens, Turns
from sas_core.steering.edit import Edit
from sas_core.steering.engine import Engine
from sas_core.steering.generate import first_steered
from sas_core.steering.score import completion_logits
from sas_core.steering.spec import SteeredTokens
from sas_core.vectors.build import check_belongs
from sas_core.vectors.fields import VectorFile

DEFAULT_SCALES = (-2.0, -1.0, 0.0, 1.0, 2.0)

# logits of so many tokens are held at once, twice over: 0.25 GiB in all
_MOST_LOGITS = 2**25
# and keys and values of so many: 5 GiB for a model of nine billion parameters
_MOST_TOKENS = 2**14


@dataclass(frozen=True)
class Asked:
    """A prompt, and the tokens of every answer that may follow it."""

    prompt: PromptTokens
    answers: tuple[tuple[int, ...], ...]


def evaluate_capability(
    engine: Engine,
    vector: VectorFile,
    questions: QuestionSet,
    scales: Sequence[float] = DEFAULT_SCALES,
    *,
    shots: int = 0,
    chat: bool = False,
    preamble: str = prompts.PREAMBLE,
    control: bool = True,
    session: str = "",
) -> Iterator[Progress | CapabilityReport]:
    """Yield Progress after each question, and the CapabilityReport last. Close the generator to stop.

    lambda 0 is always measured. `shots`: solved questions of the subject before each; `chat`: with the
    model's template, the prompt being the user's turn; `preamble`: what stands before truthful questions.
    The engine is held for one question at a time. Raises BadInput (strengths, a question that is too long or
    has too few examples), Mismatch (a vector of another model), Cancelled.
    """
    wanted = plan(scales, ("random-matched",) if control else (), 1)
    check_belongs(vector, engine)
    rows = arms(engine, vector, wanted)
    tasks = [_tasks(engine.turns, questions, each, shots, chat, preamble) for each in questions.questions]
    edits = [None, *(arm.edit for arm in rows)]
    found = []
    for done, task in enumerate(tasks):
        with engine.turn(session) as ticket:
            while not ticket.wait(0.1):
                yield Progress(done, len(tasks), ticket.position)
            ticket.check()
            found.append([answer_logprobs(engine, each, edits, vector.steered_tokens) for each in task])
        yield Progress(done + 1, len(tasks))
    yield CapabilityReport(
        vector.name, questions.name, questions.sha256, questions.form, chat, shots, vector.steered_tokens,
        _means([chance_of(each) for each in questions.questions]),
        _rows(questions.questions, rows, found), tuple(each.place for each in questions.questions),
    )  # fmt: skip


def asked(turns: Turns, context: str, answers: Sequence[str], *, chat: bool = False) -> Asked:
    """The tokens of a prompt and of each answer. Raises BadInput when they are too long for the model.

    Without a template an answer follows a space, and its tokens are those that it adds to the prompt's when
    both are tokenised as one text, as lm-evaluation-harness does it.
    """
    before = turns.encode(context, chat=chat)
    if chat:
        made = [turns.encode_completion(answer, chat=True) for answer in answers]
    else:
        made = [turns.encode(f"{context} {answer}", chat=False).ids[len(before) :] for answer in answers]
    if not all(made):
        raise BadInput("An answer has no token of its own after the prompt; reword it.")
    longest = len(before) + max(map(len, made))
    if longest > turns.n_ctx:
        raise BadInput(
            f"The question has {longest:,} tokens with its answer, the model reads {turns.n_ctx:,}."
        )
    return Asked(before, tuple(made))


def answer_logprobs(
    engine: Engine, asked: Asked, edits: Sequence[Edit | None], tokens: SteeredTokens
) -> Float[np.ndarray, "edit answer"]:
    """`sum_t log p(answer_t | prompt, answer before t)` in nats. The caller holds the engine's turn.

    Answers that differ in their last token alone, as letters do, or not at all are read off one row.
    """
    stems: dict[tuple[int, ...], list[int]] = {}
    for i, answer in enumerate(asked.answers):
        stems.setdefault(answer[:-1], []).append(i)
    lanes = [(stem, edit) for stem in stems for edit in range(len(edits))]
    at_once = _at_once(engine, asked.prompt, max(map(len, stems)), tokens)
    found = np.empty((len(edits), len(asked.answers)))
    for start in range(0, len(lanes), at_once):
        some = lanes[start : start + at_once]
        logits = completion_logits(
            engine.model, engine.hook_name, asked.prompt, [(*stem, 0) for stem, _ in some],
            [edits[edit] for _, edit in some], tokens=tokens, typical_norm=engine.typical_norm,
        ).float()  # fmt: skip
        totals = logits.logsumexp(dim=-1)
        for lane, (stem, edit) in enumerate(some):
            for i in stems[stem]:
                found[edit, i] = _logprob(logits[lane], totals[lane], asked.answers[i])
    return found


def _logprob(
    logits: Float[Tensor, "pos d_vocab"], totals: Float[Tensor, " pos"], answer: Sequence[int]
) -> float:
    ids = torch.tensor(answer, device=logits.device)
    at = torch.arange(len(ids), device=logits.device)
    return float((logits[at, ids] - totals[at]).double().sum())


def _at_once(engine: Engine, prompt: PromptTokens, stem: int, tokens: SteeredTokens) -> int:
    """How many rows fit: by the logits of the tokens each reads alone, and by all its keys and values."""
    alone = len(prompt) - first_steered(prompt, tokens) + stem
    by_logits = _MOST_LOGITS // (alone * engine.model.cfg.d_vocab)
    return max(1, min(by_logits, _MOST_TOKENS // (len(prompt) + stem)))


def _tasks(
    turns: Turns, questions: QuestionSet, question: Question, shots: int, chat: bool, preamble: str
) -> list[Asked]:
    if question.form == "truthful":
        if shots:
            raise BadInput("Truthful questions have their examples in the preamble; leave shots at 0.")
        context = prompts.truthful(question, preamble)
        many = question.many.texts if question.many else ()
        wanted = [(context, (*question.one.texts, *many))]
    else:
        examples = prompts.examples_of(questions, question, shots)
        wanted = [
            (prompts.by_letter(question, examples), prompts.letters(question)),
            (prompts.by_text(question, examples), question.one.texts),
        ]
    try:
        return [asked(turns, context, texts, chat=chat) for context, texts in wanted]
    except BadInput as error:
        raise BadInput(f"{questions.name}, {question.place}: {error}") from error


def _rows(
    questions: Sequence[Question], steered: Sequence[Arm], found: Sequence[Sequence[np.ndarray]]
) -> tuple[CapabilityRow, ...]:
    figures = [figures_of(each, arrays) for each, arrays in zip(questions, found, strict=True)]
    logprobs = np.concatenate([array for arrays in found for array in arrays], axis=1)
    names = [(VECTOR, 0.0), *((arm.row.curve, arm.row.scale) for arm in steered)]
    rows = [
        CapabilityRow(arm, scale, _moved(logprobs, i), _scores(figures, i))
        for i, (arm, scale) in enumerate(names)
    ]
    return tuple(sorted(rows, key=lambda row: (row.arm != VECTOR, row.scale)))


def _moved(logprobs: Float[np.ndarray, "row answer"], row: int) -> float | None:
    apart = np.abs(logprobs[row] - logprobs[0])
    return float(apart.mean()) if np.isfinite(apart).all() else None


def _scores(figures: Sequence[dict[str, np.ndarray]], row: int) -> dict[str, Score]:
    columns = {name: np.array([each[name] for each in figures]) for name in figures[0]}
    return {name: score(values[:, row], values[:, 0]) for name, values in columns.items()}


def _means(each: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}
