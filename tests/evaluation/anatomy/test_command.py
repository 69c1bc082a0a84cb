"""`evaluate anatomy` from arguments to stdout, on the tiny model."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

from sas_core.cli import evaluate_anatomy
from sas_core.contrast import dense, shipped
from sas_core.contrast.choice import Choice
from sas_core.evaluation.anatomy.measures import meetings
from sas_core.evaluation.anatomy.pairs import anatomy_of, read_both_ways
from sas_core.vectors.build import latents_file, sas_vector_file
from sas_core.vectors.schema import dump_vector
from tests.evaluation.commands import check_refused


@pytest.fixture
def run(on_tiny: Callable[..., Result]) -> Callable[..., Result]:
    """Invoke the command on the tiny model, with a cache of its own."""
    return partial(on_tiny, "anatomy")


@pytest.fixture
def weather(pairs, tmp_path: Path, monkeypatch) -> str:
    """A contrast the tiny model can read, as the only shipped one."""
    folder = tmp_path / "behaviours"
    (folder / "weather").mkdir(parents=True)
    about = {"title": "w", "positive": "p", "negative": "n", "description": "d", "form": "free-text",
             "prompts": ["Tell me more."]}  # fmt: skip
    (folder / "weather" / "about.json").write_text(json.dumps(about))
    for part in ("train", "heldout"):
        lines = "\n".join(json.dumps(row) for row in pairs.to_rows())
        (folder / "weather" / f"{part}.jsonl").write_text(lines)
    load = partial(shipped.load_behaviour, folder=folder)
    monkeypatch.setattr(evaluate_anatomy, "load_behaviour", load)
    monkeypatch.setattr(dense, "load_behaviour", load)
    monkeypatch.setattr(dense, "behaviour_names", partial(shipped.behaviour_names, folder))
    return "weather"


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., str]:
    def save(vector) -> str:
        path = tmp_path / f"{vector.name}.json"
        path.write_text(dump_vector(vector))
        return str(path)

    return save


@pytest.fixture
def built(engine, weather):
    """(vector, what its pairs say), by the functions themselves."""
    *_, read = read_both_ways(engine, shipped_pairs(), "completion-mean")
    return sas_vector_file(engine, "rain", read.ranking, Choice(1.0), verify=False), read


def shipped_pairs():
    return evaluate_anatomy.load_behaviour("weather").train


def test_json_is_the_whole_of_stdout_and_holds_what_the_functions_find(run, engine, built, saved) -> None:
    vector, read = built
    other = latents_file(engine, "other", {vector.features[0].index: 1.0, 2: -1.0}, verify=False)
    done = run("--vector", saved(vector), "--vector", saved(other), "--taus", "0.6,1", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    first, second = found["vectors"]
    expected = anatomy_of(engine, vector, read, (0.6, 1.0))
    assert (first["vector"], first["tau"], first["nonzero"]) == ("rain", 1.0, len(vector.features))
    assert first["participation"] == pytest.approx(expected.sparsity.participation)
    assert first["pairs"] == {"name": "weather", "count": 3, "sha256": shipped_pairs().sha256,
                              "position": "completion-mean"}  # fmt: skip
    assert [row["tau"] for row in first["by_tau"]] == [0.6, 1.0]
    assert first["by_tau"][1]["nonzero"] == first["nonzero"]
    assert first["dense"]["cosine"] == pytest.approx(expected.dense.cosine, abs=1e-6)
    assert first["dense"]["by_span"] == pytest.approx(expected.dense.by_span, abs=1e-6)
    assert (second["pairs"], second["by_tau"], second["dense"]) == (None, [], None)
    (met,) = found["overlaps"]
    assert met["jaccard"] == pytest.approx(meetings([vector, other])[0].jaccard)


def test_the_table_shows_the_vectors_over_tau_what_they_share_and_dense_steering(run, built, saved) -> None:
    path = saved(built[0])
    done = run("--vector", path, "--vector", path, "--taus", "0.6,1")
    assert done.exit_code == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    count = str(len(built[0].features))
    assert [line[:3] for line in lines if line[0] == "rain" and line[1] == "1"] == [["rain", "1", count]] * 2
    assert sum(line[:2] == ["its", "pairs"] for line in lines) == 4
    shared = next(line for line in lines if line[:2] == ["rain", "rain"])
    assert shared[2:] == [count, "0", "1.000", "1.000", "+1.000", "+1.000"]
    assert sum(line[:2] == ["rain", "weather"] for line in lines) == 2
    assert "mean difference of the residuals (CAA)" in done.stdout


def test_a_vector_without_shipped_pairs_is_shown_without_loading_a_model(
    run, engine, weather, saved, tmp_path
) -> None:
    path = saved(latents_file(engine, "mine", {3: 1.0, 5: -1.0}, verify=False))
    done = run("--vector", path, "--sae-path", str(tmp_path / "missing"), "--json")
    assert done.exit_code == 0, done.stderr
    (found,) = json.loads(done.stdout)["vectors"]
    assert (found["nonzero"], found["participation"], found["dense"]) == (2, 2.0, None)
    assert "mine names no shipped pairs" in done.stderr
    assert "CAA" not in run("--vector", path).stdout


def test_a_named_contrast_stands_in_for_a_vectors_own_pairs(run, engine, weather, saved) -> None:
    path = saved(latents_file(engine, "mine", {3: 1.0, 5: -1.0}, verify=False))
    done = run("--vector", path, "--behaviour", "weather", "--taus", "1", "--json")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    (found,) = json.loads(done.stdout)["vectors"]
    assert found["pairs"]["name"] == "weather"
    assert found["dense"]["rank"] == 2
    assert len(found["by_tau"]) == 1


def test_markup_in_a_name_is_shown_as_it_is(run, engine, weather, saved) -> None:
    vector = latents_file(engine, "[red]mine", {3: 1.0}, verify=False)
    done = run("--vector", saved(vector))
    assert "[red]mine" in done.stdout
    assert "[red]mine names no shipped pairs" in done.stderr


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((), "Missing option '--vector'"),
        (("--taus", "0.5,high"), "not a list of shares from 0 to 1"),
        (("--taus", "0.5,1.5"), "not a list of shares from 0 to 1"),
        (("--taus", "nan"), "not a list of shares from 0 to 1"),
        (("--taus", ","), "not a list of shares from 0 to 1"),
        (("--behaviour", "nonsense"), "No behaviour is named 'nonsense'"),
        (("--vector", "missing.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(
    run, engine, weather, saved, args, sentence
) -> None:
    path = saved(latents_file(engine, "mine", {3: 1.0}, verify=False))
    check_refused(run(*(("--vector", path) if args else ()), *args), sentence)


def test_a_vector_of_another_dictionary_is_refused_in_one_sentence(run, built, saved) -> None:
    vector = built[0]
    other = vector.model_copy(update={"sae": vector.sae.model_copy(update={"sha256": "0" * 64})})
    done = run("--vector", saved(other))
    assert done.exit_code == 2
    assert "other SAE weights" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
