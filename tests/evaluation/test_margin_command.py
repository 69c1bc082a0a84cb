"""`evaluate margin` from arguments to stdout, on the tiny model."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

from sas_core.cli import evaluate_margin
from sas_core.contrast import shipped
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.parse import read_pairs
from sas_core.vectors.build import latents_file
from sas_core.vectors.schema import dump_vector
from tests.evaluation.commands import check_refused
from tests.helpers import build_sae

ROWS = [
    ("Tell me about your day.", "We walked along the warm river.", "The train was late."),
    ("What is the sea like?", "It is low and warm in autumn.", "It is late this morning again."),
    ("Tell me more.", "In most years the sun is kind.", "In winter the book is late."),
    ("Tell me about the sea.", "The sea is warm and the sun is low.", "The train talked about the book."),
]


@pytest.fixture
def run(on_tiny: Callable[..., Result]) -> Callable[..., Result]:
    """Invoke the command on the tiny model, with a cache of its own."""
    return partial(on_tiny, "margin")


@pytest.fixture(scope="session")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Options for an SAE whose latents fire seldom enough for a contrast to keep some."""
    folder = tmp_path_factory.mktemp("sparse")
    sae = build_sae("jumprelu", hook_name="blocks.1.hook_resid_post")
    sae.threshold.data *= 10
    sae.save_model(folder)
    return "--sae-path", str(folder)


@pytest.fixture
def vector_path(vector, tmp_path: Path) -> str:
    path = tmp_path / "v.json"
    path.write_text(dump_vector(vector))
    return str(path)


@pytest.fixture
def pairs_path(tmp_path: Path) -> str:
    path = tmp_path / "heldout.jsonl"
    path.write_text(lines(ROWS))
    return str(path)


def lines(rows: list[tuple[str, str, str]]) -> str:
    return "\n".join(
        json.dumps(dict(zip(("prompt", "positive", "negative"), row, strict=True))) for row in rows
    )


@pytest.fixture
def behaviours(tmp_path: Path, monkeypatch) -> Path:
    """Two contrasts the tiny model can read, in place of the shipped ones."""
    folder = tmp_path / "behaviours"
    for name, rows in (("weather", ROWS), ("trains", [(p, n, q) for p, q, n in ROWS])):
        (folder / name).mkdir(parents=True)
        about = {"title": name, "positive": "p", "negative": "n", "description": "d", "form": "free-text",
                 "prompts": ["Tell me more."]}  # fmt: skip
        (folder / name / "about.json").write_text(json.dumps(about))
        (folder / name / "train.jsonl").write_text(lines(rows))
        (folder / name / "heldout.jsonl").write_text(lines(rows[1:]))
    monkeypatch.setattr(evaluate_margin, "behaviour_names", partial(shipped.behaviour_names, folder))
    monkeypatch.setattr(evaluate_margin, "load_behaviour", partial(shipped.load_behaviour, folder=folder))
    return folder


def test_json_is_the_whole_of_stdout_and_holds_what_the_function_measures(
    run, engine, vector, vector_path, pairs_path, measure
) -> None:
    done = run("--vector", vector_path, "--pairs", pairs_path, "--scales", "-2,2", "--seeds", "1", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    report = measure(engine, vector, heldout(pairs_path), (-2.0, 2.0),
                     controls=("random", "random-matched", "dense"), seeds=1)  # fmt: skip
    own = report.curves[0].at(2.0)
    assert found["curves"][0]["cells"][2]["change"] == pytest.approx(own.change, abs=1e-5)
    assert (found["scales"], found["count"], found["latents"]) == ([-2.0, 0.0, 2.0], 4, 5)
    assert found["sae"]["sha256"] == vector.sae.sha256


def heldout(path: str) -> PairSet:
    return read_pairs(path).pairs


def test_the_table_has_a_row_per_lambda_and_says_where_the_effect_stands(
    run, vector_path, pairs_path
) -> None:
    done = run("--vector", vector_path, "--pairs", pairs_path, "--scales", "-2,2", "--controls", "random")
    assert done.exit_code == 0, done.stderr
    first_words = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert [word for word in first_words if word[0] in "+-"] == ["-2", "+0", "+2"]
    assert "weather, 4 pairs of 'heldout.jsonl', nats per token" in done.stdout
    assert "stands at" in done.stdout
    assert "dense" not in done.stdout


def test_a_behaviour_is_built_and_scored_on_its_own_held_out_pairs(run, behaviours, sparse) -> None:
    done = run("--behaviour", "weather", "--scales", "-1,1", "--tau", "0.6", "--json", *sparse)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["vector"], found["pairs"], found["count"]) == ("weather", "weather (held out)", 3)
    assert (found["tau"], found["position"]) == (0.6, "completion-mean")
    assert found["latents"] > 0


def test_a_vector_of_a_shipped_contrast_finds_its_held_out_pairs(run, engine, behaviours, tmp_path) -> None:
    pairs = {"name": "trains", "count": 4, "sha256": "b" * 64}
    vector = latents_file(engine, "mine", {3: 1.0}, verify=False).model_dump()
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**vector, "pairs": pairs}))
    done = run("--vector", str(path), "--scales", "1", "--controls", "dense", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["pairs"] == "trains (held out)"


def test_scoring_a_vector_on_the_pairs_it_was_built_from_is_said(run, engine, pairs_path, tmp_path) -> None:
    given = heldout(pairs_path)
    pairs = {"name": "mine", "count": len(given), "sha256": given.sha256}
    vector = latents_file(engine, "mine", {3: 1.0}, verify=False).model_dump()
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**vector, "pairs": pairs}))
    done = run("--vector", str(path), "--pairs", pairs_path, "--scales", "1", "--controls", "dense", "--json")
    assert done.exit_code == 0, done.stderr
    assert "built from these very pairs" in done.stderr
    json.loads(done.stdout)


ALL = ("--all-behaviours", "--scales", "-1,1", "--at", "1", "--seeds", "1", "--tau", "0.6")


def test_all_behaviours_write_the_numbers_and_a_page(run, behaviours, sparse, tmp_path) -> None:
    out = tmp_path / "measured" / "margin.json"
    done = run(*ALL, "--out", str(out), *sparse)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    found = json.loads(out.read_text())
    assert set(found["behaviours"]) == {"weather", "trains"}
    page = out.with_suffix(".md").read_text()
    assert "| trains | 3 | -1 |" in page
    change = found["behaviours"]["weather"]["curves"][0]["cells"][2]["change"]
    assert f"| weather | 3 | +1 | {change:+.3f} [" in page


def test_results_are_not_replaced_unless_asked(run, behaviours, sparse, tmp_path) -> None:
    page = tmp_path / "margin.md"
    page.write_text("mine")
    args = (*ALL, "--out", str(tmp_path / "margin.json"), *sparse)
    refused = run(*args)
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr
    assert page.read_text() == "mine"
    assert run(*args, "--force").exit_code == 0
    assert "| weather |" in page.read_text()


def test_a_behaviour_without_a_vector_is_named_and_the_others_are_measured(
    run, behaviours, sparse, tmp_path
) -> None:
    # each side has the same texts, so every latent is shared and dropped
    both = ROWS + [(prompt, negative, positive) for prompt, positive, negative in ROWS]
    (behaviours / "trains" / "train.jsonl").write_text(lines(both))
    out = tmp_path / "margin.json"
    done = run(*ALL, "--out", str(out), *sparse)
    assert done.exit_code == 0, done.stderr
    found = json.loads(out.read_text())
    assert set(found["behaviours"]) == {"weather"}
    assert set(found["left_out"]) == {"trains"}
    assert "left out: trains" in out.with_suffix(".md").read_text()
    assert "trains is left out" in done.stderr


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((), "one of the three"),
        (("--behaviour", "weather", "--vector", "v.json"), "one of the three"),
        (("--behaviour", "nonsense"), "No behaviour is named 'nonsense'"),
        (("--all-behaviours",), "go together"),
        (("--behaviour", "weather", "--out", "x.json"), "go together"),
        (("--behaviour", "weather", "--scales", "1,two"), "not a list of numbers"),
        (("--behaviour", "weather", "--scales", "0"), "strength other than 0"),
        (("--behaviour", "weather", "--controls", "placebo"), "Unknown control 'placebo'"),
        (("--behaviour", "weather", "--seeds", "0"), "0 random directions"),
        (("--all-behaviours", "--out", "x.md", "--at", "1"), "ends with .json"),
        (("--all-behaviours", "--out", "x.json", "--at", "3"), "must be among the strengths"),
        (("--all-behaviours", "--out", "x.json", "--pairs", "p.csv"), "leave --pairs out"),
        (("--vector", "missing.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(
    run, behaviours, tmp_path, args, sentence
) -> None:
    check_refused(run(*args), sentence)
    assert list(tmp_path.glob("*.json")) == []


def test_a_hand_made_vector_needs_pairs(run, vector_path) -> None:
    done = run("--vector", vector_path)
    assert done.exit_code == 2
    assert "give held-out pairs with --pairs" in done.stderr
