"""What every benchmark shares: arms timed in turn, medians of paired ratios, a table and one line of JSON.

Knows nothing of models.
"""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from sas_core.cli.output import table

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("torch", "transformers", "transformer-lens", "sae-lens")


def in_turn(arms: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each arm in each round: A B C A B C, after one round that is not counted.

    In turn, so that whatever else the computer does hits all arms alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name, arm in arms.items():
            took = _timed(arm)
            if number:
                seconds[name].append(took)
    return seconds


def _timed(arm: Callable[[], object]) -> float:
    _synchronise()
    start = time.perf_counter()
    arm()
    _synchronise()
    return time.perf_counter() - start


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ratio(seconds: Mapping[str, Sequence[float]], top: str, bottom: str) -> float:
    """Median over rounds of (seconds of `top` / seconds of `bottom`) in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[top], seconds[bottom], strict=True))


def environment(device: str, dtype: str) -> dict[str, Any]:
    """Where and on which code the figures were taken."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else _cpu_name()
    return {
        "commit": _commit(),
        "device": f"{device} ({name})",
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor() or platform.machine())


def _commit() -> str:
    """The commit, with `-dirty` where files differ from it; `unknown` outside a checkout."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def report(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], document: dict[str, Any]
) -> None:
    """The table for people, then the JSON document as the last line of stdout."""
    console = Console(highlight=False)
    console.width = max(console.width, 110)
    console.print(title)
    console.print(table(columns, rows, right=columns[1:]))
    where = document["environment"]
    console.print(
        f"{where['device']}, {where['dtype']}, {where['threads']} threads, commit {where['commit']}"
    )
    print(json.dumps(document, allow_nan=False), flush=True)
