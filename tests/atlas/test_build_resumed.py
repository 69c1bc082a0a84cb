"""A build that is stopped anywhere and resumed ends as one that was not."""

import json
import sqlite3
import threading
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch
from sqlite_utils.db import Database

from sas_core.atlas import build as module
from sas_core.atlas.build import BuildSpec, build
from sas_core.atlas.firing import read_batch
from sas_core.atlas.migrations import MIGRATIONS
from sas_core.atlas.store import read_made_of
from sas_core.atlas.windows import BLOCK
from sas_core.errors import Cancelled, OutOfMemory
from sas_core.model.dictionary import Dictionary
from tests.atlas.building import TOP_K, WINDOW, finished, stop_after, with_dictionary
from tests.atlas.table_rows import everything
from tests.helpers import build_sae


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_stopped_and_resumed_is_the_same_as_uninterrupted(engine, spec, whole, tmp_path, steps):
    path = tmp_path / "a.db"
    stop_after(steps, engine, spec, path)
    part = read_made_of(path)
    assert part.windows == steps * BLOCK and not part.finished
    stop_after(1, engine, spec, path, resume=True)
    assert read_made_of(path).windows == (steps + 1) * BLOCK
    first = next(running := build(engine, spec, path, resume=True))
    assert first.tokens > part.tokens_read
    for _ in running:
        pass
    assert everything(path) == whole


def test_stopped_while_the_tables_are_written_and_resumed_is_the_same(engine, spec, whole, tmp_path):
    path = tmp_path / "a.db"
    running = build(engine, spec, path)
    assert any(step.stage == "finishing" for step in running), "suspended in the first of these steps"
    running.close()
    assert not read_made_of(path).finished
    assert everything(path)["latents"] == [] and everything(path)["state"]
    finished(engine, spec, path, resume=True)
    assert everything(path) == whole


def test_with_a_limit_and_bos_too(engine, corpus, tmp_path):
    other = with_dictionary(engine, Dictionary(build_sae("topk", metadata={"prepend_bos": True})))
    spec = BuildSpec(corpus, limit_tokens=1_501, window=WINDOW, top_k=TOP_K)
    finished(other, spec, tmp_path / "whole.db")
    stop_after(2, other, spec, tmp_path / "a.db")
    finished(other, spec, tmp_path / "a.db", resume=True)
    assert everything(tmp_path / "a.db") == everything(tmp_path / "whole.db")
    made = read_made_of(tmp_path / "a.db")
    assert made.tokens_read - made.windows == 1_501, "the limit does not count BOS"


def test_a_fault_inside_a_block_leaves_what_was_whole_before(engine, spec, tmp_path, monkeypatch):
    """Here the device's memory ends after some batches: the block that was begun is read again."""
    path, asked = tmp_path / "a.db", 0

    def failing(*args):
        nonlocal asked
        asked += 1
        if asked == 6:
            raise torch.OutOfMemoryError("no more")
        return read_batch(*args)

    monkeypatch.setattr(module, "_BATCH_TOKENS", {"cpu": 150})
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_COMMITS", 0.0)
    monkeypatch.setattr(module, "_TIMES_A_COMMIT", 0)
    finished(engine, spec, tmp_path / "small.db")
    monkeypatch.setattr(module, "read_batch", failing)
    with pytest.raises(OutOfMemory, match="Out of memory on cpu"):
        finished(engine, spec, path)
    assert read_made_of(path).windows == BLOCK and asked == 6
    finished(engine, spec, path, resume=True)
    assert everything(path) == everything(tmp_path / "small.db")


def test_cancelled_by_a_newer_request_of_its_session_it_can_be_resumed(engine, spec, whole, tmp_path):
    path = tmp_path / "a.db"
    running = build(engine, spec, path, session="mine")
    next(running)
    with engine.turn("other"):
        failed: list[BaseException] = []

        def go_on() -> None:
            try:
                next(running)
            except Cancelled as error:
                failed.append(error)

        waiting = threading.Thread(target=go_on)
        waiting.start()
        while len(engine.queue) < 2:
            waiting.join(0.01)
        newer = engine.queue.enter("mine")
        waiting.join(30)
        engine.queue.leave(newer)
    assert len(failed) == 1 and read_made_of(path).tokens_seen == 0, "nothing was due to be committed"
    finished(engine, spec, path, resume=True)
    assert everything(path) == whole


@pytest.mark.parametrize("last", ["m001_what_it_is_made_of", "m004_together", None])
def test_a_file_whose_tables_were_just_being_made_is_begun_anew(engine, spec, whole, tmp_path, last):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as db:
        MIGRATIONS.apply(Database(db), stop_before=last)
    finished(engine, spec, path, resume=last is None)
    assert everything(path) == whole


def test_what_a_file_is_made_of_is_written_whole_or_not_at_all(engine, spec, whole, tmp_path, monkeypatch):
    """A kill while the facts are written must not leave a file that says only half of them."""
    path, written = tmp_path / "a.db", []

    def half(value: object) -> str:
        written.append(value)
        if len(written) == 10:
            raise KeyboardInterrupt
        return json.dumps(value)

    monkeypatch.setattr("sas_core.atlas.made_of.json", SimpleNamespace(dumps=half, loads=json.loads))
    with pytest.raises(KeyboardInterrupt):
        finished(engine, spec, path)
    monkeypatch.undo()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM made_of").fetchone() == (0,)
    finished(engine, spec, path)
    assert everything(path) == whole
