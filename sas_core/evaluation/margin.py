"""The completion margin: does the vector make the behaviour's own words likelier on pairs it never saw?

`m(lambda) = mean_t log p(positive_t | prompt) - mean_t log p(negative_t | prompt)`, both steered, in nats
per token; for multiple choice `log p(matching letter) - log p(other letter)` where the letter stands, the
measure of arXiv 2503.00177 (its logistic function is P(match) / (P(A) + P(B))). Nothing is generated, so no
judge is needed. Every strength and every control is a row of one batch: they see the same tokens.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from sas_core.contrast.collect import as_messages
from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.contrast.positions import positions_read
from sas_core.errors import BadInput
from sas_core.evaluation.controls import Metered, arms
from sas_core.evaluation.plan import DEFAULT_SCALES, Plan, plan
from sas_core.evaluation.report import MarginReport, Scores, curves, leads
from sas_core.model.chat import PromptTokens, Turns
from sas_core.steering.edit import Edit
from sas_core.steering.engine import Engine
from sas_core.steering.generate import first_steered
from sas_core.steering.spec import SteeredTokens
from sas_core.vectors.build import check_belongs
from sas_core.vectors.fields import VectorFile

NEUTRAL = Path(__file__).with_name("neutral.txt")

# logits of so many tokens are held at once: a quarter of a gigabyte in float32
_MOST_LOGITS = 2**26


@dataclass(frozen=True)
class Progress:
    """`done` of `total` texts (pairs, then neutral ones); `waiting` other requests go first just now."""

    done: int
    total: int
    waiting: int = 0


@dataclass(frozen=True)
class _Text:
    """One completion after its prompt, and which of its tokens count."""

    prompt: PromptTokens
    ids: tuple[int, ...]
    scored: tuple[int, ...]


def evaluate_margin(
    engine: Engine,
    vector: VectorFile,
    heldout: PairSet,
    scales: Sequence[float] = DEFAULT_SCALES,
    *,
    controls: Sequence[str] = ("random", "dense"),
    seeds: int = 3,
    session: str = "",
) -> Iterator[Progress | MarginReport]:
    """Yield Progress after each pair, and the MarginReport last. Close the generator to stop.

    lambda 0 is always measured. The engine is held for one pair at a time, so others are served between.
    `seeds`: random directions per control, averaged. `evaluation.plan.Plan` says what the controls are.

    Raises BadInput (scales, controls, pairs that cannot be scored), Mismatch (a vector of another model),
    Cancelled (a newer request of the session came).
    """
    asked = plan(scales, controls, seeds)
    check_belongs(vector, engine)
    steered = arms(engine, vector, asked)
    metered = [Metered(arm.edit) for arm in steered]
    pairs = usable(heldout)
    tasks = [_sides(engine.turns, pair, pairs.form) for pair in pairs.pairs]
    neutral = [[_text(engine.turns, prompt, text)] for prompt, text in neutral_texts()]
    if not tasks:
        raise BadInput("There are no usable pairs; add at least one with two different sides.")
    score = _Scorer(engine, vector.steered_tokens, session, len(tasks) + len(neutral))
    sides = yield from score.all(tasks, metered)
    plain = yield from score.all(neutral, [arm.edit for arm in steered])
    scores = Scores(
        tuple(arm.row for arm in steered),
        sides[:, 0] - sides[:, 1],
        plain[:, 0],
        np.array([meter.mean_share for meter in metered]),
    )
    yield _report(vector, pairs, asked, scores)


def neutral_texts(path: Path = NEUTRAL) -> list[tuple[str, str]]:
    """(question, answer) of everyday facts, by which the price of steering is measured."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(prompt, text) for prompt, _, text in (line.partition(" | ") for line in lines)]


class _Scorer:
    """Runs texts through the engine, a task at a time, and counts them."""

    def __init__(self, engine: Engine, tokens: SteeredTokens, session: str, total: int) -> None:
        self._engine, self._tokens, self._session = engine, tokens, session
        self._done, self._total = 0, total

    def all(
        self, tasks: Sequence[Sequence[_Text]], edits: Sequence[Edit]
    ) -> Generator[Progress, None, Float[np.ndarray, "task text row"]]:
        """Mean log-probability per scored token; column 0 unsteered, then one per edit."""
        rows: list[Edit | None] = [None, *edits]
        found = []
        for task in tasks:
            with self._engine.turn(self._session) as ticket:
                while not ticket.wait(0.1):
                    yield Progress(self._done, self._total, ticket.position)
                scores = []
                for text in task:
                    ticket.check()
                    scores.append(self._score(text, rows))
            found.append(scores)
            self._done += 1
            yield Progress(self._done, self._total)
        return np.array(found, dtype=np.float64)

    def _score(self, text: _Text, rows: Sequence[Edit | None]) -> list[float]:
        per_row = len(text.prompt) - first_steered(text.prompt, self._tokens) + len(text.ids)
        at_once = max(1, _MOST_LOGITS // (per_row * self._engine.model.cfg.d_vocab))
        parts = [
            self._engine.completion_logprobs(text.prompt, text.ids, rows[i : i + at_once], self._tokens)
            for i in range(0, len(rows), at_once)
        ]
        return torch.cat(parts)[:, list(text.scored)].double().mean(dim=-1).tolist()


def _sides(turns: Turns, pair: Pair, form: str) -> list[_Text]:
    prompt = as_messages(pair.prompt)
    return [_text(turns, prompt, side, form, pair.row) for side in (pair.positive, pair.negative)]


def _text(
    turns: Turns, prompt: str | list[dict[str, str]], completion: str, form: str = "free-text", row: int = 0
) -> _Text:
    before = turns.encode(prompt)
    after = prompt if isinstance(prompt, str) else ""
    ids = turns.encode_completion(completion, chat=turns.has_template, after=after)
    if len(before) + len(ids) > turns.n_ctx:
        raise BadInput(
            f"Row {row} has {len(before) + len(ids):,} tokens with its prompt, and the model reads "
            f"{turns.n_ctx:,}; shorten it."
        )
    position = "answer" if form == "multiple-choice" else "completion-mean"
    return _Text(before, ids, tuple(positions_read(position, completion, turns.pieces(ids))))


def _report(vector: VectorFile, pairs: PairSet, asked: Plan, scores: Scores) -> MarginReport:
    found = curves(scores, asked.scales)
    letter = pairs.form == "multiple-choice"
    return MarginReport(
        vector=vector.name,
        pairs=pairs.name,
        count=len(pairs),
        unit="nats at the answer letter" if letter else "nats per token",
        scales=asked.scales,
        seeds=asked.seeds,
        neutral_texts=len(scores.neutral),
        curves=found,
        leads=leads(found),
    )
