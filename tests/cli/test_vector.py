"""`vector build`, `show` and `check`, end to end on a tiny model and SAE given by path."""

import json
from pathlib import Path

import numpy as np
import pytest

from sas_core.steering.engine import Engine
from sas_core.vectors.schema import VectorFile, parse_vector
from tests.cli.conftest import PAIRS, Run


def read(path: Path) -> VectorFile:
    return parse_vector(path.read_bytes())


def slow_vector(engine: Engine, tau: float) -> dict[int, float]:
    """The SAS rule pair by pair and latent by latent, from full encodings of each whole text."""
    means: dict[str, list[np.ndarray]] = {"positive": [], "negative": []}
    for pair in PAIRS:
        prompt = engine.turns.encode(pair["prompt"], chat=True).ids
        for side, rows in means.items():
            completion = tuple(engine.turns.tokenizer.encode(pair[side], add_special_tokens=False))
            latents, excluded = engine.latents_of(prompt + completion)
            kept = [i for i in range(len(prompt), len(excluded)) if not excluded[i]]
            rows.append(latents[kept].mean(dim=0).numpy())
    wanted: dict[int, float] = {}
    for latent in range(engine.dictionary.identity.d_sae):
        column = {side: [float(row[latent]) for row in rows] for side, rows in means.items()}
        active = {side: [v for v in values if v != 0] for side, values in column.items()}
        passing = [side for side, values in active.items() if len(values) / len(PAIRS) >= tau]
        if len(passing) == 1:
            value = sum(active[passing[0]]) / len(active[passing[0]])
            wanted[latent] = value if passing == ["positive"] else -value
    return wanted


def test_build_writes_the_vector_that_the_rule_gives(vector_file: Path, engine: Engine) -> None:
    wanted = slow_vector(engine, 0.7)
    built = {feature.index: feature.value for feature in read(vector_file).features}
    assert 2 <= len(wanted) < engine.dictionary.identity.d_sae
    assert built == pytest.approx(wanted, rel=1e-4)


def test_build_records_where_the_vector_comes_from(vector_file: Path, engine: Engine) -> None:
    vector = read(vector_file)
    assert (vector.name, vector.tau, vector.position) == ("tides", 0.7, "completion-mean")
    assert vector.sae.sha256 == engine.dictionary.identity.sha256
    assert vector.pairs is not None and vector.pairs.count == len(PAIRS)
    assert vector.verify is not None and len(vector.verify.steered) > 0
    assert all(feature.label is None for feature in vector.features)


def test_build_tells_the_funnel_and_the_largest_latents_on_stderr_and_nothing_on_stdout(
    cli: Run, tiny: list[object], pairs_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "v.json"
    ran = cli("vector", "build", "--pairs", pairs_file, "--out", out, "--no-verify", *tiny)
    vector = read(out)
    assert (ran.code, ran.out) == (0, "")
    assert (vector.position, vector.drop_shared) == ("completion-mean", False)
    assert f"{len(vector.features)} kept" in ran.err
    assert str(vector.features[0].index) in ran.err and f"{vector.features[0].value:+.3f}" in ran.err
    assert vector.verify is None


def test_the_switches_of_build_reach_the_vector(
    cli: Run, tiny: list[object], pairs_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "v.json"
    options = ["--tau", "0.5", "--sides", "negative", "--top-k", "1", "--keep-shared",
               "--name", "the other side", "--strength", "-2", "--no-verify"]  # fmt: skip
    ran = cli("vector", "build", "--pairs", pairs_file, "--out", out, *options, *tiny)
    assert ran.code == 0, ran.err
    vector = read(out)
    assert (vector.tau, vector.sides, vector.strength) == (0.5, "negative", -2.0)
    assert (vector.name, vector.drop_shared) == ("the other side", False)
    assert len(vector.features) == 1 and vector.features[0].value < 0


def test_the_position_asked_for_is_the_one_that_is_read(
    cli: Run, tiny: list[object], pairs_file: Path, vector_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "v.json"
    options = ["--position", "last", "--tau", "0.4", "--no-verify"]
    assert cli("vector", "build", "--pairs", pairs_file, "--out", out, *options, *tiny).code == 0
    last, mean = read(out), read(vector_file)
    assert last.position == "last" and mean.position == "completion-mean"
    # at one position a latent that fires has its whole value, in a mean only its share
    values = {feature.index: feature.value for feature in mean.features}
    assert any(abs(f.value) > abs(values[f.index]) for f in last.features if f.index in values)


def test_build_names_the_rows_that_lint_objects_to(cli: Run, tiny: list[object], tmp_path: Path) -> None:
    rows = [*PAIRS, {"prompt": "p", "positive": "same", "negative": "same"}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\nnot json", encoding="utf-8")
    out = tmp_path / "v.json"
    ran = cli("vector", "build", "--pairs", tmp_path / "p.jsonl", "--out", out, "--no-verify", *tiny)
    assert ran.code == 0
    assert f"row {len(rows)}" in ran.err and f"Row {len(rows) + 1} is not valid JSON" in ran.err
    assert read(out).pairs.count == len(PAIRS)


def test_build_with_no_latent_left_writes_no_file(cli: Run, tiny: list[object], tmp_path: Path) -> None:
    pair = {"prompt": "Say something.", "positive": "the sea", "negative": "a book"}
    mirrored = [pair, {**pair, "positive": pair["negative"], "negative": pair["positive"]}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, mirrored)), encoding="utf-8")
    ran = cli("vector", "build", "--pairs", tmp_path / "p.jsonl", "--out", tmp_path / "v.json", *tiny)
    assert ran.code == 2 and "Lower tau" in ran.err.splitlines()[-1]
    assert not (tmp_path / "v.json").exists()


def test_build_replaces_a_file_only_when_forced(
    cli: Run, tiny: list[object], pairs_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "v.json"
    out.write_text("mine", encoding="utf-8")
    command = ["vector", "build", "--pairs", pairs_file, "--out", out, "--no-verify", *tiny]
    refused = cli(*command)
    assert refused.code == 2 and "--force" in refused.err and out.read_text(encoding="utf-8") == "mine"
    assert cli(*command, "--force").code == 0
    assert read(out).name == "tides"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["v.json"]


def test_show_prints_the_largest_latents_as_json(cli: Run, vector_file: Path) -> None:
    vector = read(vector_file)
    shown = cli("vector", "show", vector_file, "--top", "2", "--json").json
    assert list(shown) == ["name", "model", "sae", "tau", "count", "features"]
    assert (shown["name"], shown["tau"], shown["count"]) == ("tides", 0.7, len(vector.features))
    assert shown["sae"]["sha256"] == vector.sae.sha256 and shown["model"]["name"] == vector.model.name
    largest = sorted(vector.features, key=lambda feature: -abs(feature.value))[:2]
    assert shown["features"] == [feature.model_dump() for feature in largest]


def test_show_prints_a_table_for_a_person(cli: Run, vector_file: Path) -> None:
    ran = cli("vector", "show", vector_file)
    vector = read(vector_file)
    assert (ran.code, ran.err) == (0, "")
    assert all(text in ran.out for text in ("tides", "tau 0.7", vector.sae.sha256[:12]))
    assert all(f"{feature.value:+.3f}" in ran.out for feature in vector.features[:20])


def test_show_does_not_read_a_name_as_markup(cli: Run, vector_file: Path, tmp_path: Path) -> None:
    named = read(vector_file).model_copy(update={"name": "[bold]x[/bold]", "note": ""})
    (tmp_path / "v.json").write_text(named.model_dump_json(), encoding="utf-8")
    assert "[bold]x[/bold]" in cli("vector", "show", tmp_path / "v.json").out


def test_check_reproduces_the_recorded_run(cli: Run, tiny: list[object], vector_file: Path) -> None:
    verify = read(vector_file).verify
    checked = cli("vector", "check", vector_file, "--json", *tiny).json
    total = len(verify.steered) + len(verify.unsteered)
    whole = {"agree": total, "total": total, "partings": []}
    assert checked == {"name": "tides", "differences": [], "reproduced": whole}
    told = cli("vector", "check", vector_file, *tiny)
    assert f"all {total} recorded tokens" in told.out and told.err == ""


def test_check_says_what_differs_and_that_the_run_is_not_reproduced(
    cli: Run, tiny: list[object], vector_file: Path, tmp_path: Path
) -> None:
    vector = read(vector_file)
    verify = vector.verify.model_copy(update={"steered": (0, *vector.verify.steered[1:])})
    model = vector.model.model_copy(update={"dtype": "bfloat16"})
    other = vector.model_copy(update={"verify": verify, "model": model})
    (tmp_path / "v.json").write_text(other.model_dump_json(), encoding="utf-8")
    checked = cli("vector", "check", tmp_path / "v.json", "--json", *tiny).json
    assert [row["field"] for row in checked["differences"]] == ["model.dtype"]
    total = len(verify.steered) + len(verify.unsteered)
    (parting,) = checked["reproduced"].pop("partings")
    assert checked["reproduced"] == {"agree": len(verify.unsteered), "total": total}
    assert (parting["lane"], parting["position"]) == ("steered", 0)
    assert "Not reproduced" in cli("vector", "check", tmp_path / "v.json", *tiny).out


@pytest.mark.parametrize("command", [["vector", "check"], ["steer", "--prompt", "hi", "--vector"]])
def test_a_vector_of_another_sae_is_refused_in_one_sentence(
    cli: Run, llama_folder: Path, dead_latent_sae: Path, vector_file: Path, command: list[str]
) -> None:
    other = ["--model", llama_folder, "--sae-path", dead_latent_sae, "--device", "cpu"]
    ran = cli(*command, vector_file, *other)
    assert (ran.code, ran.out) == (2, "") and ran.err.count("\n") == 1
    assert read(vector_file).sae.sha256[:12] in ran.err
