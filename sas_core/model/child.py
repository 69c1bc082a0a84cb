"""Run a command in the background of a generator: polled, silent, and ended with it.

Knows nothing about what the command does.
"""

import os
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from sas_core.paths import ROOT

POLL_SECONDS = 0.2


def run_child(
    command: Sequence[str], log: Path, lock_fd: int, env: Mapping[str, str] | None = None
) -> Generator[None, None, int]:
    """Yield while the command runs, return its exit status; closing the generator kills it.

    Everything it says goes to `log`. It inherits the lock, so that when this process is killed outright the
    next one waits for the orphan instead of sharing its files.
    """
    with log.open("wb") as sink:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, **(env or {})},
            pass_fds=(lock_fd,),
        )
        try:
            while child.poll() is None:
                yield
                time.sleep(POLL_SECONDS)
        finally:
            child.kill()
            child.wait()
    return child.returncode


def last_line(log: Path) -> str:
    """The end of what a command said, which is where it names the cause."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"
