"""A vector on the tiny engine, pairs it can read (`letters`: multiple choice), and the command line on it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from sas_core.cli import evaluate
from sas_core.cli.common import OneSentenceErrors
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.evaluation.margin import evaluate_margin
from sas_core.evaluation.margin_report import MarginReport
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


@pytest.fixture
def on_tiny(
    llama_folder: Path, sae_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Runs `evaluate COMMAND` on the tiny model, in a folder and with a data folder of this test's own."""
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(cls=OneSentenceErrors, pretty_exceptions_enable=False)
    app.add_typer(evaluate.app, name="evaluate")
    loaded = ("--model", str(llama_folder), "--sae-path", str(sae_folder), "--device", "cpu")
    return lambda command, *args: CliRunner().invoke(app, ["evaluate", command, *loaded, *args])
