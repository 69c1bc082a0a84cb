"""Kills builds with SIGKILL at seeded points and goes on with each until its file is finished.

    python -m tests.atlas.killing MODEL_FOLDER SAE_FOLDER CORPUS FOLDER KILLS SEED

A process of its own: it imports and loads once, in one thread, and forks a child for each attempt. Prints a
JSON list of the kills: which file, after how many steps, and what the file held.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sas_core.atlas import build as module
from sas_core.atlas.build import BuildSpec, build
from sas_core.atlas.store import read_made_of
from sas_core.errors import SteerscopeError
from sas_core.model.presets import custom_preset, load_engine
from sas_core.steering.engine import Engine

SPEC = {"window": 12, "top_k": 4, "seed": 3}
WHOLE = "whole.db"


@dataclass(frozen=True)
class Kill:
    """`steps` were reported before it, the last of `stage`; `windows` is what the file had then."""

    file: str
    steps: int
    stage: str
    windows: int | None
    finished: bool


def forked(engine: Engine, spec: BuildSpec, path: Path) -> tuple[int, int]:
    """A child that builds (or goes on) and writes a letter for each step; its id and the end to read."""
    there, here = os.pipe()
    child = os.fork()
    if child:
        os.close(here)
        return child, there
    status = 1
    try:
        for step in build(engine, spec, path, resume=True):
            os.write(here, step.stage[:1].encode())
        status = 0
    finally:
        # the child ends here whatever happens: what follows is the parent's
        if status:
            traceback.print_exc()
        os._exit(status)


def follow(there: int, most: int | None) -> str:
    """The letters of the steps up to the `most`-th, or to the child's end."""
    seen = ""
    while (most is None or len(seen) < most) and (letter := os.read(there, 1).decode()):
        seen += letter
    return seen


def attempt(engine: Engine, spec: BuildSpec, path: Path, steps: int, pause: float) -> Kill | None:
    """Kill a child `pause` seconds after so many steps; None when it came to its end before."""
    child, there = forked(engine, spec, path)
    seen = follow(there, steps)
    time.sleep(pause)
    os.kill(child, signal.SIGKILL)
    seen += follow(there, None)
    os.close(there)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        # killed while the finished file was tidied, it can only be read once somebody has opened it to write:
        # that was this child, which was then refused
        if os.waitstatus_to_exitcode(status) and not held(path)[1]:
            raise SystemExit(1)
        return None
    stage = {"": "starting", "r": "reading", "f": "finishing"}[seen[-1:]]
    return Kill(path.name, len(seen), stage, *held(path))


def held(path: Path) -> tuple[int | None, bool]:
    try:
        facts = read_made_of(path)
    except SteerscopeError:
        return None, False
    return facts.windows, facts.finished is not None


def kill_and_resume(engine: Engine, spec: BuildSpec, folder: Path, kills: int, seed: int) -> list[Kill]:
    """One file after the other, each killed until it is finished, so often in all."""
    began = time.perf_counter()
    child, there = forked(engine, spec, folder / WHOLE)
    steps = len(follow(there, None))
    os.waitpid(child, 0)
    step = (time.perf_counter() - began) / steps
    dice, done, number = random.Random(seed), [], 0
    while len(done) < kills:
        path = folder / f"killed-{number}.db"
        # the first before its first step, where the file itself is made
        left = dice.randint(0, steps) if number else 0
        while not held(path)[1]:
            # once the number is reached the file that was begun still has to be finished
            last = len(done) == kills
            kill = attempt(engine, spec, path, 10 * steps if last else left, dice.random() * step)
            done += [kill] if kill else []
            left = dice.randint(0, steps // 2)
        number += 1
    return done


def main() -> None:
    model, sae, corpus, folder, kills, seed = sys.argv[1:]
    torch.set_num_threads(1)
    engine = load_engine(custom_preset(model, sae_path=sae), device="cpu")
    # a state after every block, since the corpus is one of seconds
    module._SECONDS_BETWEEN_COMMITS, module._TIMES_A_COMMIT = 0.0, 0
    done = kill_and_resume(engine, BuildSpec(corpus, **SPEC), Path(folder), int(kills), int(seed))
    print(json.dumps([asdict(kill) for kill in done]))


if __name__ == "__main__":
    main()
