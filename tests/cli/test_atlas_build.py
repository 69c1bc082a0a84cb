"""`atlas build`: the other commands read what it writes; a stopped one goes on as if it had not been."""

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sas_core.cli.stopping import Stopping
from sas_core.steering.engine import Engine
from tests.cli.atlas import AGAINST, TEXT, strict, strongest
from tests.cli.conftest import Run
from tests.cli.test_usage import said


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Some 20,000 tokens: a few seconds for the tiny model."""
    draw = np.random.default_rng(0)
    words = ("sea", "river", "book", "warm", "wide", "early", "walk", "talk", "the", "a", "in", "when")
    rows = [" ".join(draw.choice(words, 30)) for _ in range(300)]
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8")
    return path


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table an atlas is read from, and what it is made of but for the times."""
    with closing(sqlite3.connect(path)) as db:
        names = ("latents", "contexts", "windows", "cofiring", "vocabulary")
        tables = {name: db.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall() for name in names[:3]}
        tables |= {name: db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in names[3:]}
        tables["made_of"] = db.execute(
            "SELECT * FROM made_of WHERE key NOT IN ('started', 'finished') ORDER BY key"
        ).fetchall()
    return tables


def build(corpus: Path, path: Path, tiny: list[object]) -> list[object]:
    return ["atlas", "build", "--corpus", corpus, "--cache", path, "--top-k", 4, "--window", 32, *tiny]


def test_build_writes_an_atlas_that_the_other_commands_read(
    cli: Run, tiny: list[object], engine: Engine, tmp_path: Path
) -> None:
    texts = [TEXT, AGAINST]
    (tmp_path / "two.jsonl").write_text("\n".join(json.dumps({"note": t}) for t in texts), encoding="utf-8")
    ran = cli(*build(tmp_path / "two.jsonl", tmp_path / "a.db", tiny), "--field", "note", "--json")
    assert ran.code == 0 and "tokens a second" in ran.err
    document = json.loads(ran.out)
    assert document == strict(cli("atlas", "info", "--cache", tmp_path / "a.db", "--json"))
    assert (document["corpus"], document["text_field"], document["documents"]) == ("two.jsonl", "note", 2)
    values = np.maximum(strongest(engine, TEXT), strongest(engine, AGAINST))
    best = int(values.argmax())
    shown = strict(cli("atlas", "show", best, "--cache", tmp_path / "a.db", "--json"))
    assert shown["max"] == pytest.approx(values[best], rel=1e-4)
    for context in shown["contexts"]:
        assert "".join(context["tokens"]) in texts[context["document"]]
    hits = strict(cli("atlas", "search", "--fires-on", TEXT, "--cache", tmp_path / "a.db", "--json", *tiny))
    assert hits[0]["index"] == int(strongest(engine, TEXT).argmax())


@contextmanager
def signalled(which: signal.Signals, path: Path) -> Iterator[None]:
    """Send this process a signal as soon as the build has made its file."""

    def send() -> None:
        while not path.exists() and not done.is_set():
            time.sleep(0.005)
        if not done.is_set():
            os.kill(os.getpid(), which)

    done = threading.Event()
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_build_says_how_to_go_on_and_ends_as_if_it_had_not_been_stopped(
    cli: Run, tiny: list[object], corpus: Path, tmp_path: Path, which: signal.Signals
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    path, whole = tmp_path / "stopped.db", tmp_path / "whole.db"
    with signalled(which, path):
        ran = cli(*build(corpus, path, tiny))
    assert (ran.code, ran.out) == (130, "") and "the same command with --resume goes on" in ran.err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    state = strict(cli("atlas", "info", "--cache", path, "--json"))
    assert state["finished"] is None
    assert "go on with --resume" in said(cli, *build(corpus, path, tiny))
    assert "another seed" in said(cli, *build(corpus, path, tiny), "--resume", "--seed", 7)
    assert cli(*build(corpus, path, tiny), "--resume").code == 0
    assert cli(*build(corpus, whole, tiny)).code == 0
    assert contents(path) == contents(whole)
    assert 0 < state["tokens_read"] < strict(cli("atlas", "info", "--cache", whole, "--json"))["tokens_read"]


def test_who_cannot_wait_for_the_end_of_a_step_presses_again() -> None:
    with Stopping() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        stop.patient = True
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
