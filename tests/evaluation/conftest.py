"""A vector on the tiny engine and pairs it can read: `pairs` free text, `letters` multiple choice."""

from collections.abc import Callable

import pytest

from sas_core.contrast.pairs import Pair, PairSet
from sas_core.evaluation.margin import evaluate_margin
from sas_core.evaluation.report import MarginReport
from sas_core.steering.engine import Engine
from sas_core.vectors.build import latents_file
from sas_core.vectors.fields import VectorFile


@pytest.fixture
def pairs() -> PairSet:
    return PairSet(
        "weather",
        (
            Pair("Tell me about your day.", "We walked along the warm river.", "The train was late.", 1),
            Pair(
                "What is the sea like?", "It is low and warm in autumn.", "It is late this morning again.", 2
            ),
            Pair("Tell me more.", "In most years the sun is kind.", "In winter the book is late.", 3),
        ),
    )


@pytest.fixture
def letters() -> PairSet:
    question = "What is the sea like?\n (A) warm\n (B) late"
    other = "What is the day like?\n (A) late\n (B) warm"
    return PairSet(
        "letters", (Pair(question, "(A)", "(B)", 1), Pair(other, "(B)", "(A)", 2)), "multiple-choice"
    )


@pytest.fixture
def vector(engine: Engine) -> VectorFile:
    values = {2: 1.5, 7: -1.0, 11: 0.8, 23: 2.0, 40: -0.6}
    return latents_file(engine, "weather", values, verify=False)


@pytest.fixture
def measure() -> Callable[..., MarginReport]:
    """`evaluate_margin` to its end."""

    def run(*args: object, **options: object) -> MarginReport:
        *_, report = evaluate_margin(*args, **options)
        return report

    return run
