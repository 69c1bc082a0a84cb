"""The build in the background: one at a time, stopped and resumed, and no fault that stays silent."""

import sqlite3
import threading
from collections.abc import Generator

import pytest

from sas_core.atlas.build import BuildSpec, Progress, build
from sas_core.atlas.job import BuildJob
from sas_core.atlas.store import read_made_of
from sas_core.errors import BadInput

ROWS = {"made_of": "key", "latents": '"index"', "contexts": "latent, band, rank", "windows": "id"}
TIMES = {"started", "finished"}


@pytest.fixture
def corpus(tmp_path):
    """Some 600 windows of 8 tokens: several blocks, so that a build has steps to be stopped between."""
    path = tmp_path / "corpus.txt"
    lines = (
        f"The train was late again this morning, day {i}, so we walked along the river." for i in range(160)
    )
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def spec(corpus):
    return BuildSpec(str(corpus), window=8, top_k=3)


@pytest.fixture
def job():
    made = BuildJob()
    yield made
    made.stop()
    assert made.wait(60)


def content(path):
    """Every row that a reader of the atlas sees, except when it was made."""
    db = sqlite3.connect(path)
    rows = {
        table: db.execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall() for table, key in ROWS.items()
    }
    db.close()
    rows["made_of"] = [row for row in rows["made_of"] if row[0] not in TIMES]
    return rows


class Gate:
    """The real build, held before every step until it is let on."""

    def __init__(self):
        self.steps = threading.Semaphore(0)
        self.reached = threading.Semaphore(0)

    def __call__(self, *args, **options) -> Generator[Progress, None, None]:
        steps = build(*args, **options)
        try:
            for at in steps:
                yield at
                self.reached.release()
                assert self.steps.acquire(timeout=60)
        finally:
            steps.close()


def test_before_the_first_build_nothing_runs(job):
    assert (job.state, job.progress, job.error, job.path, job.spec) == ("idle", None, None, None, None)
    job.stop()
    assert job.state == "idle" and job.wait(0)


def test_a_build_runs_in_the_background_to_a_finished_atlas(engine, job, spec, tmp_path):
    path = tmp_path / "a.db"
    job.start(engine, spec, path)
    assert (job.path, job.spec) == (path, spec)
    assert job.wait(120)
    assert (job.state, job.error) == ("done", None)
    assert job.progress.stage == "finishing" and job.progress.tokens == read_made_of(path).tokens_read > 0
    assert read_made_of(path).finished


def test_while_one_runs_another_is_refused_and_the_first_goes_on(engine, spec, tmp_path):
    gate = Gate()
    job = BuildJob(gate)
    job.start(engine, spec, tmp_path / "a.db")
    assert gate.reached.acquire(timeout=60) and job.state == "running" and job.active
    with pytest.raises(BadInput, match=r"being built already .*a\.db.* stop it"):
        job.start(engine, spec, tmp_path / "b.db")
    assert job.path == tmp_path / "a.db" and not (tmp_path / "b.db").exists()
    gate.steps.release(1000)
    assert job.wait(120) and job.state == "done"


def test_between_two_steps_the_model_is_free_for_others(engine, spec, tmp_path):
    gate = Gate()
    job = BuildJob(gate)
    job.start(engine, spec, tmp_path / "a.db")
    assert gate.reached.acquire(timeout=60)
    with engine.turn("someone") as ticket:
        assert ticket.wait(5)
    gate.steps.release(1000)
    assert job.wait(120) and job.state == "done"


def test_a_stopped_build_is_kept_and_resumed_to_the_same_content(engine, spec, tmp_path):
    gate = Gate()
    job = BuildJob(gate)
    path = tmp_path / "a.db"
    job.start(engine, spec, path)
    assert gate.reached.acquire(timeout=60)
    job.stop()
    assert job.state == "stopping" and job.active
    gate.steps.release(1000)
    assert job.wait(60) and (job.state, job.error) == ("stopped", None)
    part = read_made_of(path)
    assert not part.finished and part.tokens_read > 0

    again = BuildJob()
    again.start(engine, spec, path, resume=True)
    assert again.wait(120) and again.state == "done", again.error
    whole = tmp_path / "whole.db"
    for _ in build(engine, spec, whole):
        pass
    assert read_made_of(whole).tokens_read > part.tokens_read
    assert content(path) == content(whole)


def test_what_the_user_can_mend_is_kept_as_a_sentence_and_the_next_build_runs(engine, job, spec, tmp_path):
    job.start(engine, BuildSpec(str(tmp_path / "none.txt")), tmp_path / "a.db")
    assert job.wait(60) and job.state == "failed"
    assert job.error.startswith("There is no file") and job.progress is None
    job.start(engine, spec, tmp_path / "b.db")
    assert job.wait(120) and (job.state, job.error) == ("done", None)


def test_a_damaged_row_late_in_the_text_is_told_before_anything_is_read(engine, job, tmp_path):
    corpus = tmp_path / "c.jsonl"
    corpus.write_text('{"text": "fine"}\n' * 50 + '{"text": 5}\n')
    job.start(engine, BuildSpec(str(corpus)), tmp_path / "a.db")
    assert job.wait(60) and job.state == "failed" and "line 51" in job.error and job.progress is None


def test_a_fault_of_ours_is_told_and_its_traceback_goes_to_the_log(engine, spec, tmp_path, monkeypatch):
    def faulty(engine, spec, path, *, resume) -> Generator[Progress, None, None]:
        yield Progress("reading", 7, 0.5, 1.0, 7.0)
        raise ZeroDivisionError("not the user's doing")

    logged = []
    monkeypatch.setattr(threading, "excepthook", lambda args: logged.append(args))
    job = BuildJob(faulty)
    job.start(engine, spec, tmp_path / "a.db")
    assert job.wait(60) and job.state == "failed"
    assert "a fault of the program (ZeroDivisionError)" in job.error and job.progress.tokens == 7
    assert [(args.exc_type, args.thread.name) for args in logged] == [(ZeroDivisionError, "atlas a.db")]
    job.start(engine, spec, tmp_path / "b.db")
    assert job.wait(60) and len(logged) == 2


def test_a_fault_while_stopping_is_not_taken_for_a_stop(engine, spec, tmp_path):
    held = threading.Event()

    def full(engine, spec, path, *, resume) -> Generator[Progress, None, None]:
        try:
            yield Progress("reading", 7, 0.5, 1.0, 7.0)
            held.wait(60)
            yield Progress("reading", 8, 0.6, 1.0, 7.0)
        finally:
            raise BadInput("The disk is full.")

    job = BuildJob(full)
    job.start(engine, spec, tmp_path / "a.db")
    job.stop()
    held.set()
    assert job.wait(60) and (job.state, job.error) == ("failed", "The disk is full.")
