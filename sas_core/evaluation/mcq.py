"""Multiple choice under steering: `P(match) / (P(A) + P(B))` where the answer's letter stands.

The measure of arXiv 2503.00177 and of CAA (arXiv 2312.06681), each question asked in both orders of its
answers and averaged, so that a liking for a letter cancels. Nothing is generated. All strengths of one
question are rows of one batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from sas_core.contrast.collect import as_messages
from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.errors import BadInput
from sas_core.evaluation.bootstrap import bootstrap
from sas_core.evaluation.choices import Item, items_of
from sas_core.evaluation.completions import Progress, rows_at_once
from sas_core.model.chat import PromptTokens, Turns
from sas_core.steering.edit import Edit
from sas_core.steering.engine import Engine
from sas_core.steering.score import completion_logits
from sas_core.steering.spec import SteeredTokens
from sas_core.vectors.build import check_belongs, steering_of
from sas_core.vectors.fields import VectorFile

DEFAULT_SCALES = (-2.0, -1.0, 0.0, 1.0, 2.0)


@dataclass(frozen=True)
class McqReport:
    """`items[s][i]`: P(match) / (P(A) + P(B)) of item i at `scales[s]`, mean over both orders.

    `low`, `high`: 95 % bootstrap intervals of the means over items. `wrong_way[s]`: share of items that moved
    against the sign of the strength, None at 0. `rows`: the items' rows in their file. `letter`: mean P(A) /
    (P(A) + P(B)) at strength 0 over both orders; 0.5 is no liking for a letter.
    """

    scales: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    items: tuple[tuple[float, ...], ...]
    wrong_way: tuple[float | None, ...]
    rows: tuple[int, ...]
    unsteered: float
    unsteered_low: float
    unsteered_high: float
    letter: float

    @property
    def at_chance(self) -> bool:
        """Whether the unsteered model cannot be told from one that throws a coin."""
        return self.unsteered_low <= 0.5 <= self.unsteered_high

    def sentence(self) -> str:
        """What the unsteered model does with such questions."""
        start = (
            f"Unsteered, the matching answer gets {self.unsteered:.3f} [{self.unsteered_low:.3f}, "
            f"{self.unsteered_high:.3f}] of the two letters' probability, and the letter A {self.letter:.3f}."
        )
        if not self.at_chance:
            return start
        return (
            f"{start} That is chance: this model does not answer such questions, so a flat line says nothing "
            "about the vector; score texts with `evaluate margin` instead."
        )


@dataclass(frozen=True)
class Asked:
    """One order of one question: the prompt up to the letter, and the two letters' tokens."""

    prompt: PromptTokens
    before: tuple[int, ...]
    match: int
    other: int
    match_is_a: bool


def evaluate_mcq(
    engine: Engine,
    vector: VectorFile,
    pairs: PairSet,
    scales: Sequence[float] = DEFAULT_SCALES,
    *,
    session: str = "",
) -> Iterator[Progress | McqReport]:
    """Yield Progress after each item, and the McqReport last. Close the generator to stop.

    The engine is held for one item at a time. Raises BadInput (strengths, an item that cannot be asked),
    Mismatch (a vector of another model), Cancelled.
    """
    wanted = tuple(dict.fromkeys(float(scale) for scale in scales))
    if not wanted:
        raise BadInput("No strength is given; choose some, such as -2,-1,0,1,2.")
    check_belongs(vector, engine)
    items = items_of(usable(pairs))
    if not items:
        raise BadInput("There are no usable items; add at least one with two different answers.")
    edits = [None, *(engine.edit_for(steering_of(vector, scale)) for scale in wanted)]
    asked = [both_orders(engine.turns, item) for item in items]
    scored = []
    for done, orders in enumerate(asked):
        with engine.turn(session) as ticket:
            while not ticket.wait(0.1):
                yield Progress(done, len(items), ticket.position)
            scored.append([matching(engine, order, edits, vector.steered_tokens) for order in orders])
        yield Progress(done + 1, len(items))
    yield _report(items, asked, np.array(scored), wanted)


def _report(
    items: Sequence[Item], asked: Sequence[Sequence[Asked]], scored: Float[np.ndarray, "item order row"],
    scales: tuple[float, ...],
) -> McqReport:  # fmt: skip
    matching = scored.mean(axis=1)
    plain, steered = matching[:, 0], matching[:, 1:].T
    intervals = [bootstrap(row) for row in (plain, *steered)]
    is_a = np.array([[order.match_is_a for order in orders] for orders in asked])
    return McqReport(
        scales,
        tuple(float(row.mean()) for row in steered),
        tuple(i.low for i in intervals[1:]),
        tuple(i.high for i in intervals[1:]),
        tuple(tuple(map(float, row)) for row in steered),
        tuple(
            float(((row - plain) * np.sign(s) < 0).mean()) if s else None
            for s, row in zip(scales, steered, strict=True)
        ),
        tuple(item.row for item in items),
        float(plain.mean()),
        intervals[0].low,
        intervals[0].high,
        float(np.where(is_a, scored[:, :, 0], 1 - scored[:, :, 0]).mean()),
    )


def both_orders(turns: Turns, item: Item) -> tuple[Asked, Asked]:
    """A question with its answers in either order. Raises BadInput, naming the row, when it is too long."""
    first, second = item.orders
    return _asked(turns, first), _asked(turns, second)


def _asked(turns: Turns, pair: Pair) -> Asked:
    prompt = as_messages(pair.prompt)
    before = turns.encode(prompt)
    after = prompt if isinstance(prompt, str) else ""
    match, other = (
        turns.encode_completion(text, chat=turns.has_template, after=after)
        for text in (pair.positive, pair.negative)
    )
    shared = next((i for i, (a, b) in enumerate(zip(match, other, strict=False)) if a != b), None)
    if shared is None:
        raise BadInput(
            f"Row {pair.row}: the answers {pair.positive!r} and {pair.negative!r} do not differ in a token."
        )
    if len(before) + shared + 1 > turns.n_ctx:
        raise BadInput(f"Row {pair.row} has {len(before):,} tokens and the model reads {turns.n_ctx:,}.")
    return Asked(before, match[:shared], match[shared], other[shared], "A" in pair.positive.upper())


def matching(
    engine: Engine, asked: Asked, edits: Sequence[Edit | None], tokens: SteeredTokens
) -> list[float]:
    """P(match) / (P(A) + P(B)) for each edit: the logistic function of the logits' difference.

    The rows run in as many batches as memory asks for. The caller holds the engine's turn.
    """
    completion = [*asked.before, asked.match]
    at_once = rows_at_once(engine, asked.prompt, len(completion), tokens)
    found: list[float] = []
    for start in range(0, len(edits), at_once):
        some = edits[start : start + at_once]
        logits = completion_logits(
            engine.model, engine.hook_name, asked.prompt, [completion] * len(some), some,
            tokens=tokens, typical_norm=engine.typical_norm,
        )[:, len(asked.before)].double()  # fmt: skip
        found += torch.sigmoid(logits[:, asked.match] - logits[:, asked.other]).tolist()
    return found
