"""The completion margin: does the vector make the behaviour's own words likelier on pairs it never saw?

`m(lambda) = mean_t log p(positive_t | prompt) - mean_t log p(negative_t | prompt)`, both steered, in nats
per token; for multiple choice `log p(matching letter) - log p(other letter)` where the letter stands, the
measure of arXiv 2503.00177 (its logistic function is P(match) / (P(A) + P(B))). Nothing is generated, so no
judge is needed. Every strength and every control is a row of one batch: they see the same tokens.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.errors import BadInput
from sas_core.evaluation.completions import Progress, Scoring, completion, sides, unit_of
from sas_core.evaluation.controls import Metered, arms
from sas_core.evaluation.margin_report import MarginReport, Scores, curves, leads
from sas_core.evaluation.plan import DEFAULT_SCALES, Plan, plan
from sas_core.steering.engine import Engine
from sas_core.vectors.build import check_belongs
from sas_core.vectors.fields import VectorFile

NEUTRAL = Path(__file__).with_name("neutral.txt")


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
    tasks = [sides(engine.turns, pair, pairs.form) for pair in pairs.pairs]
    neutral = [[completion(engine.turns, prompt, text)] for prompt, text in neutral_texts()]
    if not tasks:
        raise BadInput("There are no usable pairs; add at least one with two different sides.")
    scoring = Scoring(engine, vector.steered_tokens, session, len(tasks) + len(neutral))
    both = yield from scoring.all(tasks, metered)
    plain = yield from scoring.all(neutral, [arm.edit for arm in steered])
    scores = Scores(
        tuple(arm.row for arm in steered),
        both[:, 0] - both[:, 1],
        plain[:, 0],
        np.array([meter.mean_share for meter in metered]),
    )
    yield _report(vector, pairs, asked, scores)


def neutral_texts(path: Path = NEUTRAL) -> list[tuple[str, str]]:
    """(question, answer) of everyday facts, by which the price of steering is measured."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(prompt, text) for prompt, _, text in (line.partition(" | ") for line in lines)]


def _report(vector: VectorFile, pairs: PairSet, asked: Plan, scores: Scores) -> MarginReport:
    found = curves(scores, asked.scales)
    return MarginReport(
        vector=vector.name,
        pairs=pairs.name,
        count=len(pairs),
        unit=unit_of(pairs.form),
        scales=asked.scales,
        seeds=asked.seeds,
        neutral_texts=len(scores.neutral),
        curves=found,
        leads=leads(found),
    )
