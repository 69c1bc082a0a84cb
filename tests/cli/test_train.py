"""`train-sae` on a tiny model: the finished SAE loads, folders are not mixed up, Ctrl-C says what is kept."""

import json
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Run

HOOK = "blocks.1.hook_resid_post"


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """Some 8,000 tokens of shuffled words."""
    draw = random.Random(0)
    words = ("sea", "river", "book", "warm", "wide", "early", "walk", "talk", "the", "a", "in", "when", "we")
    lines = [" ".join(draw.choices(words, k=20)) + "." for _ in range(200)]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "text.txt"


def recipe(model: Path, text: Path, **fields: Any) -> Path:
    """A recipe beside the text it names."""
    said = {
        "model": str(model), "hook": HOOK, "text": [text.name], "tokens": 1280, "width": 64, "k": 4,
        "batch_size": 64, "context_size": 32,
    }  # fmt: skip
    path = text.with_name("recipe.yaml")
    path.write_text(yaml.safe_dump(said | fields), encoding="utf-8")
    return path


def arguments(spec: Path, out: Path) -> list[object]:
    return ["train-sae", spec, "--out", out, "--device", "cpu"]


def test_the_finished_sae_can_be_steered_with_at_once(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    ran = cli(*arguments(recipe(llama_folder, text_file), tmp_path / "sae"))
    assert ran.code == 0, ran.err
    final = Path(ran.out.strip())
    cfg = json.loads((final / "cfg.json").read_text(encoding="utf-8"))
    assert (final, cfg["d_sae"], cfg["architecture"]) == (tmp_path / "sae" / "final", 64, "jumprelu")
    assert cfg["metadata"]["model_name"] == "tiny-llama"
    assert "Not measured" in (final / "README.md").read_text(encoding="utf-8")
    rows = cli(
        "activations", "--text", "the sea", "--json", "--model", llama_folder, "--sae-path", final
    ).json
    assert any(row["features"] for row in rows)


def test_it_is_measured_at_the_end_as_measure_sae_measures_it_and_the_card_says_so(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "held.txt").write_text("When we walk in the early book, the sea is warm.\n" * 30)
    spec = recipe(llama_folder, text_file, held_out={"prose": "held.txt"}, windows=3)
    ran = cli(*arguments(spec, tmp_path / "sae"))
    assert ran.code == 0 and "prose" in ran.err, ran.err
    final = tmp_path / "sae" / "final"
    card = json.loads((final / "card.json").read_text(encoding="utf-8"))
    assert card["training"]["spec"]["sources"] == [{"name": "text.txt", "weight": 1.0}]
    page = (final / "README.md").read_text(encoding="utf-8")
    options = ["--model", llama_folder, "--sae-path", final, "--device", "cpu", "--json"]
    options += ["--text", f"prose={tmp_path / 'held.txt'}", "--windows", 3, "--context-size", 32]
    (final / "card.json").unlink()
    again = cli("measure-sae", *options, "--card", final / "training.json")
    assert again.json == card["measures"] and again.json["prose"]["positions"] > 80
    assert json.loads((final / "card.json").read_text(encoding="utf-8")) == card
    assert (final / "README.md").read_text(encoding="utf-8") == page


def test_a_card_is_written_only_beside_what_says_how_the_sae_was_made(
    cli: Run, tiny: list[object], text_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "training.json").write_text("{}")
    ran = cli("measure-sae", "--text", text_file, "--card", tmp_path / "training.json", *tiny)
    assert ran.code == 2 and "not a readable training.json" in ran.err
    assert not (tmp_path / "card.json").exists()


def test_a_finished_folder_is_not_trained_over(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "sae" / "final").mkdir(parents=True)
    ran = cli(*arguments(recipe(llama_folder, text_file), tmp_path / "sae"))
    assert ran.code == 2 and "finished SAE" in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--set", "hook=blocks.1.hook_resid_pots"], "Near matches: blocks.1.hook_resid_post"),
        (["--set", "hook=blocks.1.mlp.hook_post"], "64 numbers where the residual stream has 32"),
        (["--set", "context_size=4096"], "make context_size smaller"),
        (["--set", "k=65"], "recipe.yaml cannot be used. The spec: k 65 of a width of 64"),
        (["--set", "batch_size=2048"], "batch_size 2,048"),
        (["--set", "lr=0"], "lr: input should be greater than 0"),
        (["--set", "text=[more.txt]"], "more.txt is not there"),
        (["--set", "held_out.prose=text.txt", "--set", "context_size=192", "--set", "windows=0"], "windows"),
        (["--device", "abacus"], "Unknown device"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path, extra: list[str], words: str
) -> None:
    ran = cli(*arguments(recipe(llama_folder, text_file), tmp_path / "sae"), *extra)
    assert (ran.code, ran.out) == (2, "") and words in ran.err and ran.err.count("\n") == 1


def test_held_out_text_that_is_too_short_is_refused_before_training(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "held.txt").write_text("The sea.")
    spec = recipe(llama_folder, text_file, held_out={"prose": "held.txt"})
    ran = cli(*arguments(spec, tmp_path / "sae"))
    assert ran.code == 2 and "held.txt holds less than one window" in ran.err
    assert list((tmp_path / "sae").iterdir()) == []


def started(out: Path, **changes: object) -> None:
    """A folder as a stopped run leaves it: a checkpoint, and the recipe it belongs to."""
    (out / "checkpoint").mkdir()
    read = {"windows_read": 1, "positions_kept": 8, "sinks_dropped": 0}
    (out / "checkpoint" / "read.json").write_text(json.dumps(read), encoding="utf-8")
    spec = json.loads((out / "spec.json").read_text(encoding="utf-8"))
    (out / "spec.json").write_text(json.dumps({**spec, **changes}), encoding="utf-8")


def interrupted(cli: Run, spec: Path, out: Path, pipe: Path) -> str:
    """Run, and press Ctrl-C while it reads text; the words it leaves."""

    def press() -> None:
        # opening waits for the reader, so the run has begun by then
        with pipe.open("w"):
            os.kill(os.getpid(), signal.SIGINT)
            done.wait(30)

    done = threading.Event()
    thread = threading.Thread(target=press)
    thread.start()
    try:
        ran = cli(*arguments(spec, out))
    finally:
        done.set()
        thread.join()
    assert (ran.code, ran.out) == (130, "")
    return ran.err


def test_ctrl_c_says_whether_a_checkpoint_is_kept_and_how_to_go_on(
    cli: Run, llama_folder: Path, tmp_path: Path
) -> None:
    pipe, out = tmp_path / "pipe.txt", tmp_path / "sae"
    os.mkfifo(pipe)
    spec = recipe(llama_folder, pipe)
    assert "nothing is kept" in interrupted(cli, spec, out, pipe)
    started(out)
    words = interrupted(cli, spec, out, pipe)
    assert "checkpoint is kept; repeat the command to go on" in words


def test_a_checkpoint_of_another_recipe_is_left_alone(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    pipe, out = tmp_path / "pipe.txt", tmp_path / "sae"
    os.mkfifo(pipe)
    spec = recipe(llama_folder, pipe)
    interrupted(cli, spec, out, pipe)
    started(out, d_sae=128)
    ran = cli(*arguments(spec, out))
    assert ran.code == 2 and "another training, which differs in d_sae" in ran.err
    (out / "spec.json").unlink()
    assert "no readable spec.json" in cli(*arguments(spec, out)).err
