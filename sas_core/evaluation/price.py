"""The price of steering: what a vector costs where its behaviour is not asked for.

Held-out text is read and prompts are answered at every strength, as rows of one batch, beside a random
direction of the size that the vector's edit has at each token; two-answer questions show what is still known.
docs/evaluation.md has the formula of each figure. Knows nothing of files or tables.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.errors import BadInput
from sas_core.evaluation.bootstrap import Estimate, estimate
from sas_core.evaluation.choices import items_of
from sas_core.evaluation.margin import Progress
from sas_core.evaluation.mcq import McqReport, evaluate_mcq
from sas_core.evaluation.plan import plan
from sas_core.evaluation.price_report import (
    PriceReport,
    PriceRow,
    Reading,
    Writing,
    text_price,
    written_price,
)
from sas_core.evaluation.texts import HeldOut, distinct, shipped_prompts, shipped_texts
from sas_core.steering.compare import divergence, kl_divergence
from sas_core.steering.edit import Edit
from sas_core.steering.engine import Engine
from sas_core.steering.generate import first_steered
from sas_core.steering.lanes import Done, LaneResult, Request, Waiting
from sas_core.steering.plans import random_direction_lane, strip
from sas_core.steering.score import completion_logits
from sas_core.steering.spec import Lane, Prompt, Sampling, SteeredTokens
from sas_core.steering.zone import Measures, measure_written
from sas_core.vectors.build import check_belongs, steering_of
from sas_core.vectors.fields import VectorFile

DEFAULT_SCALES = (-2.0, -1.0, 0.0, 1.0, 2.0)
VECTOR, CONTROL = "vector", "random-matched"

# log-probabilities of so many tokens are held at once, three times over while KL is taken: 0.4 GiB in all
_MOST_LOGITS = 2**25


@dataclass(frozen=True)
class _Arm:
    """One row of the batch: which curve it belongs to, its lambda, and its lane."""

    name: str
    scale: float
    lane: Lane


def evaluate_price(
    engine: Engine,
    vector: VectorFile,
    scales: Sequence[float] = DEFAULT_SCALES,
    *,
    texts: Sequence[HeldOut] | None = None,
    prompts: Sequence[Prompt] | None = None,
    items: PairSet | None = None,
    sampling: Sampling | None = None,
    control: bool = True,
    seed: int = 0,
    session: str = "",
) -> Iterator[Progress | PriceReport]:
    """Yield Progress after each text, prompt and item, and the PriceReport last. Close the generator to stop.

    lambda 0 is always measured. Without `texts` and `prompts` the shipped neutral ones are used; without
    `items` no capability is measured. `seed` draws the control's direction. The engine is held for one text,
    prompt or item at a time. Raises BadInput (strengths, items that cannot be asked), Mismatch (a vector of
    another model), QueueFull, Cancelled.
    """
    asked = plan(scales, (), 1)
    check_belongs(vector, engine)
    read = shipped_texts(engine.turns) if texts is None else tuple(texts)
    answered = shipped_prompts() if prompts is None else tuple(prompts)
    if not read or not answered:
        raise BadInput("There is no text or no prompt to measure the price on; give at least one of each.")
    questions = 0 if items is None else len(items_of(usable(items)))
    arms = _arms(vector, asked.scales, seed if control else None)
    run = _Run(engine, vector, arms, session, len(read) + len(answered) + questions)
    readings = yield from run.read(read)
    writings = yield from run.write(answered, sampling or Sampling())
    accuracy: dict[float, Estimate] = {}
    if items is not None:
        accuracy = yield from run.ask(items, asked.scales)
    unsteered = asked.scales.index(0.0)
    yield PriceReport(
        vector.name,
        tuple(_row(arm, i, unsteered, readings, writings, accuracy) for i, arm in enumerate(arms)),
        len(read), sum(len(text.scored) for text in read), len(answered), questions, seed,
    )  # fmt: skip


def _arms(vector: VectorFile, scales: Sequence[float], seed: int | None) -> list[_Arm]:
    """The vector at every strength in their order, then the control at every one but 0."""
    steering = steering_of(vector, 1.0)
    arms = [_Arm(VECTOR, s, lane) for s, lane in zip(scales, strip(steering, scales), strict=True)]
    if seed is not None:
        arms += [_Arm(CONTROL, s, random_direction_lane(steering.at(s), seed)) for s in scales if s]
    return arms


class _Run:
    """Takes texts, prompts and items through the engine, one at a time, and counts them."""

    def __init__(
        self, engine: Engine, vector: VectorFile, arms: Sequence[_Arm], session: str, total: int
    ) -> None:
        self._engine, self._vector, self._session = engine, vector, session
        self._lanes = tuple(arm.lane for arm in arms)
        self._edits = [engine.edit_of(arm.lane) for arm in arms]
        self._done, self._total = 0, total
        if any(arm.scale and edit is None for arm, edit in zip(arms, self._edits, strict=True)):
            raise BadInput(f"Every value of {vector.name!r} is zero, so there is nothing to evaluate.")

    def read(self, texts: Sequence[HeldOut]) -> Generator[Progress, None, list[list[Reading]]]:
        """Every text at every arm: `[text][arm]`."""
        found = []
        for text in texts:
            with self._engine.turn(self._session) as ticket:
                while not ticket.wait(0.1):
                    yield self._told(ticket.position)
                found.append(list(_readings(self._engine, text, self._edits, self._vector.steered_tokens)))
            yield self._one_more()
        return found

    def write(
        self, prompts: Sequence[Prompt], sampling: Sampling
    ) -> Generator[Progress, None, list[list[Writing | None]]]:
        """Every prompt answered by every arm: `[prompt][arm]`."""
        found = []
        for prompt in prompts:
            request = Request(prompt, self._lanes, sampling)
            with closing(self._engine.stream(request, self._session)) as events:
                for event in events:
                    if isinstance(event, Waiting):
                        yield self._told(event.position)
                    elif isinstance(event, Done):
                        found.append(_writings(self._engine, request, event.lanes, self._session))
            yield self._one_more()
        return found

    def ask(
        self, items: PairSet, scales: Sequence[float]
    ) -> Generator[Progress, None, dict[float, Estimate]]:
        """Share of items whose right letter has more than half of the two letters' probability."""
        found, before = {}, self._done
        for event in evaluate_mcq(self._engine, self._vector, items, scales, session=self._session):
            if isinstance(event, McqReport):
                for scale, row in zip(event.scales, event.items, strict=True):
                    found[scale] = estimate([float(p > 0.5) for p in row])
            else:
                self._done = before + event.done
                yield self._told(event.waiting)
        return found

    def _told(self, waiting: int = 0) -> Progress:
        return Progress(self._done, self._total, waiting)

    def _one_more(self) -> Progress:
        self._done += 1
        return self._told()


@torch.inference_mode()
def _readings(
    engine: Engine, text: HeldOut, edits: Sequence[Edit | None], tokens: SteeredTokens
) -> Iterator[Reading]:
    plain = _scored(engine, text, [None], tokens)
    per_row = (len(text.prompt) - first_steered(text.prompt, tokens) + len(text.ids)) * plain.shape[-1]
    at_once = max(1, _MOST_LOGITS // per_row)
    ids = torch.tensor([text.ids[i] for i in text.scored], device=plain.device)[:, None]
    for start in range(0, len(edits), at_once):
        some = edits[start : start + at_once]
        logprobs = _scored(engine, text, some, tokens)
        surprise = -logprobs.gather(-1, ids.expand(len(some), -1, -1)).double().mean(dim=(1, 2))
        apart = kl_divergence(logprobs, plain).double().mean(dim=-1)
        for edit, nats, kl in zip(some, surprise.tolist(), apart.tolist(), strict=True):
            # rows of one batch round a little otherwise than a row alone
            yield Reading(len(text.scored), nats, kl if edit else 0.0)


def _scored(
    engine: Engine, text: HeldOut, edits: Sequence[Edit | None], tokens: SteeredTokens
) -> Float[Tensor, "row scored d_vocab"]:
    """Log-probabilities at the places that count."""
    logits = completion_logits(
        engine.model, engine.hook_name, text.prompt, [text.ids] * len(edits), edits,
        tokens=tokens, typical_norm=engine.typical_norm,
    )  # fmt: skip
    return logits[:, list(text.scored)].float().log_softmax(dim=-1)


def _writings(
    engine: Engine, request: Request, lanes: Sequence[LaneResult], session: str
) -> list[Writing | None]:
    # the tokens before a break were chosen from numbers that were already losing their meaning
    kept = [replace(lane, token_ids=()) if lane.stop == "not finite" else lane for lane in lanes]
    measured = measure_written(engine, request, kept, session)
    apart = divergence(engine, request, kept, session)
    return [_writing(*each) for each in zip(kept, measured, apart, strict=True)]


def _writing(lane: LaneResult, found: Measures | None, kl: Sequence[float] | None) -> Writing | None:
    if found is None:
        return None
    ids = lane.token_ids
    return Writing(
        found.tokens,
        found.surprise,
        sum(kl) / len(kl) if kl else 0.0,
        (distinct(ids, 1), distinct(ids, 2), distinct(ids, 3)),
        found.repeated,
        found.compression,
        lane.problem is not None,
    )


def _row(
    arm: _Arm,
    index: int,
    unsteered: int,
    readings: Sequence[Sequence[Reading]],
    writings: Sequence[Sequence[Writing | None]],
    accuracy: Mapping[float, Estimate],
) -> PriceRow:
    written = [text[index] for text in writings if text[index] is not None]
    return PriceRow(
        arm.name,
        arm.scale,
        text_price([text[index] for text in readings], [text[unsteered] for text in readings]),
        written_price(written),
        1.0 - len(written) / len(writings),
        accuracy.get(arm.scale) if arm.name == VECTOR else None,
    )
