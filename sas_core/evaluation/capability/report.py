"""From log-likelihoods of answers to accuracies: one value per question, means and their intervals.

The figures and their definitions are those of lm-evaluation-harness. Numbers only: knows no model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sas_core.evaluation.bootstrap import Estimate, estimate
from sas_core.evaluation.capability.question_rows import Form, Question

VECTOR = "vector"
# below this no answer of any question has moved: the row is the unsteered model's, up to rounding
_UNMOVED = 1e-3
_STEERED = {
    "generated": "The edit begins at the prompt's last token, so the question itself is read unsteered.",
    "after-instruction": "The edit begins where the user's turn ends (without a chat template at the "
    "prompt's last token), so the question itself is read unsteered.",
    "all": "Every token but the first is steered, the question's own too.",
}  # fmt: skip

Scores = Float[np.ndarray, "row answer"]


@dataclass(frozen=True)
class Score:
    """One figure in one row: its mean over questions, and the mean change against lambda 0.

    `items`: the figure of each question, in order. `value` and `change` are None where the log-likelihoods
    of a question were no finite numbers; so is that question in `items`.
    """

    value: Estimate | None
    change: Estimate | None
    items: tuple[float | None, ...]


@dataclass(frozen=True)
class CapabilityRow:
    """The vector, or its control, at one strength.

    `moved`: mean absolute change of an answer's log-likelihood against lambda 0, in nats; None where one is
    no finite number.
    """

    arm: str
    scale: float
    moved: float | None
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class CapabilityReport:
    """What is still known under steering.

    `rows`: the vector's, ascending in strength, 0 among them, then the control's. `chance`: by figure, what
    answers drawn by lot get on these questions. `places`: the questions' rows in their file. `sha256`: of the
    questions.
    """

    vector: str
    questions: str
    sha256: str
    form: Form
    chat: bool
    shots: int
    steered_tokens: str
    chance: Mapping[str, float]
    rows: tuple[CapabilityRow, ...]
    places: tuple[str, ...]

    @property
    def unsteered(self) -> CapabilityRow:
        """The row at lambda 0."""
        return next(row for row in self.rows if row.scale == 0.0)

    @property
    def at_chance(self) -> tuple[str, ...]:
        """Figures whose unsteered interval holds what answers drawn by lot get."""
        values = {name: score.value for name, score in self.unsteered.scores.items()}
        return tuple(n for n, v in values.items() if v is not None and v.low <= self.chance[n] <= v.high)

    def sentences(self) -> tuple[str, ...]:
        """What was asked and how, and what the figures do not say by themselves."""
        chances = ", ".join(f"{name} {value:.3f}" for name, value in self.chance.items())
        examples = f"{self.shots} solved examples before each" if self.shots else "no examples"
        said = [
            f"{self.vector}, {len(self.places)} questions of {self.questions!r}, {examples}, "
            f"{'chat template' if self.chat else 'no chat template'}. Chance: {chances}.",
            _STEERED[self.steered_tokens],
        ]
        if self.at_chance:
            said.append(
                f"Unsteered, {', '.join(self.at_chance)} cannot be told from chance here: such a column says "
                "nothing about what the vector costs. Ask more questions, or go by another figure."
            )
        return (*said, *filter(None, map(_warning, self.rows)))


def figures_of(question: Question, found: Sequence[Scores]) -> dict[str, Float[np.ndarray, " row"]]:
    """One question's figures in each row of the batch; NaN where a log-likelihood is no finite number.

    Lettered, `found` being the log-likelihoods (nats, summed over tokens) of its letters and of its answers'
    texts: `letter` and `acc`, 1 where the likeliest is right; `acc_norm`, `acc_bytes`, the same of the
    log-likelihood per character and per byte of the text. Truthful, of the texts of `one`, then of `many`:
    `mc1`, 1 where the likeliest of `one` is right; `mc2`, the right ones' share of the probability of `many`.
    """
    if question.form == "truthful":
        one, many = np.split(found[0], [len(question.one)], axis=1)
        made = {"mc1": _hit(question, one)}
        return made if question.many is None else made | {"mc2": _mass(question.many.right, many)}
    letters, texts = found
    sizes = [np.array([float(len(t)) for t in some]) for some in _spelt(question.one.texts)]
    by_size = [_hit(question, texts / size) for size in sizes]
    return {"letter": _hit(question, letters), "acc": _hit(question, texts)} | dict(
        zip(("acc_norm", "acc_bytes"), by_size, strict=True)
    )


def chance_of(question: Question) -> dict[str, float]:
    """What each figure of one question is on average when answers are drawn by lot."""
    lot = 1.0 / len(question.one)
    if question.form == "lettered":
        return dict.fromkeys(("letter", "acc", "acc_norm", "acc_bytes"), lot)
    many = question.many
    return {"mc1": lot} if many is None else {"mc1": lot, "mc2": sum(many.right) / len(many)}


def score(items: Float[np.ndarray, " item"], unsteered: Float[np.ndarray, " item"]) -> Score:
    """A figure's values of all questions as a mean with its interval, and its change."""
    known = np.isfinite(items)
    told = tuple(float(x) if ok else None for x, ok in zip(items, known, strict=True))
    if not known.all():
        return Score(None, None, told)
    change = estimate((items - unsteered).tolist()) if np.isfinite(unsteered).all() else None
    return Score(estimate(items.tolist()), change, told)


def _spelt(texts: Sequence[str]) -> tuple[Sequence[str], Sequence[bytes]]:
    return texts, [text.encode() for text in texts]


def _hit(question: Question, scores: Scores) -> Float[np.ndarray, " row"]:
    hit = (scores.argmax(axis=1) == question.one.first_right).astype(float)
    return np.where(np.isfinite(scores).all(axis=1), hit, np.nan)


def _mass(right: Sequence[bool], scores: Scores) -> Float[np.ndarray, " row"]:
    # the largest is taken off first: exp of a long answer's log-likelihood would be 0
    with np.errstate(invalid="ignore"):
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p[:, list(right)].sum(axis=1) / p.sum(axis=1)


def _warning(row: CapabilityRow) -> str:
    where = f"Lambda {row.scale:+g}, {row.arm}:"
    if row.moved is None:
        return f"{where} activations were no finite numbers, so there are no figures; lower the strength."
    if row.scale and row.moved < _UNMOVED:
        return (
            f"{where} no answer's log-likelihood moved, so this is the unsteered model. Suppression can only "
            "switch off latents that are on; raise the strength or turn its sign."
        )
    return ""
