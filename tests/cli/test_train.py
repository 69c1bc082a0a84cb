"""`train-sae` on a tiny model: the finished SAE loads, folders are not mixed up, Ctrl-C says what is kept."""

import json
import os
import random
import signal
import threading
from pathlib import Path

import pytest

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


def options(model: Path, text: Path, out: Path) -> list[object]:
    numbers = {"tokens": 1280, "width": 64, "k": 4, "batch-size": 64, "context-size": 32}
    given = [part for name, value in numbers.items() for part in (f"--{name}", value)]
    given += ["--text", text, "--model", model, "--hook", HOOK, "--out", out, "--device", "cpu"]
    return ["train-sae", *given]


def test_the_finished_sae_can_be_steered_with_at_once(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    ran = cli(*options(llama_folder, text_file, tmp_path / "sae"))
    assert ran.code == 0, ran.err
    final = Path(ran.out.strip())
    cfg = json.loads((final / "cfg.json").read_text(encoding="utf-8"))
    assert (final, cfg["d_sae"], cfg["architecture"]) == (tmp_path / "sae" / "final", 64, "jumprelu")
    assert cfg["metadata"]["model_name"] == "tiny-llama"
    rows = cli(
        "activations", "--text", "the sea", "--json", "--model", llama_folder, "--sae-path", final
    ).json
    assert any(row["features"] for row in rows)


def test_a_finished_folder_is_not_trained_over(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "sae" / "final").mkdir(parents=True)
    ran = cli(*options(llama_folder, text_file, tmp_path / "sae"))
    assert ran.code == 2 and "finished SAE" in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--hook", "blocks.1.hook_resid_pots"], "Near matches: blocks.1.hook_resid_post"),
        (["--hook", "blocks.1.mlp.hook_post"], "64 numbers where the residual stream has 32"),
        (["--context-size", "4096"], "lower --context-size"),
        (["--k", "65"], "choose a smaller --k"),
        (["--batch-size", "2048"], "choose --batch-size"),
        (["--lr", "0"], "learning rate 0"),
        (["--text", "more.txt=-1"], "weight -1 of more.txt"),
        (["--text", "more.txt=much"], "PATH=WEIGHT"),
        (["--device", "abacus"], "Unknown device"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path, extra: list[str], words: str
) -> None:
    ran = cli(*options(llama_folder, text_file, tmp_path / "sae"), *extra)
    assert (ran.code, ran.out) == (2, "") and words in ran.err and ran.err.count("\n") == 1


def started(out: Path, **changes: object) -> None:
    """A folder as a stopped run leaves it: a checkpoint, and the options it belongs to."""
    (out / "checkpoint").mkdir()
    (out / "checkpoint" / "windows_read.json").write_text("1", encoding="utf-8")
    spec = json.loads((out / "spec.json").read_text(encoding="utf-8"))
    (out / "spec.json").write_text(json.dumps({**spec, **changes}), encoding="utf-8")


def interrupted(cli: Run, model: Path, out: Path, pipe: Path) -> str:
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
        ran = cli(*options(model, pipe, out))
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
    assert "nothing is kept" in interrupted(cli, llama_folder, out, pipe)
    started(out)
    words = interrupted(cli, llama_folder, out, pipe)
    assert "checkpoint is kept; repeat the command to go on" in words


def test_a_checkpoint_of_other_options_is_left_alone(
    cli: Run, llama_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    pipe, out = tmp_path / "pipe.txt", tmp_path / "sae"
    os.mkfifo(pipe)
    interrupted(cli, llama_folder, out, pipe)
    started(out, d_sae=128)
    ran = cli(*options(llama_folder, pipe, out))
    assert ran.code == 2 and "another training, which differs in d_sae" in ran.err
    (out / "spec.json").unlink()
    assert "no readable spec.json" in cli(*options(llama_folder, pipe, out)).err
