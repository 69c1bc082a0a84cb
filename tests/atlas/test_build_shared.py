"""A build leaves the model to others between its batches, and neither changes the other."""

import threading

from sas_core.atlas import build as module
from sas_core.atlas.build import build
from sas_core.atlas.firing import read_batch
from sas_core.steering.lanes import Request
from sas_core.steering.spec import Lane, Sampling
from tests.atlas.table_rows import everything

REQUEST = Request("What is the sea like?", (Lane("plain"),), Sampling(8))


def test_a_generation_between_two_steps_is_answered_and_changes_neither(engine, spec, whole, tmp_path):
    answer = engine.run(REQUEST).lanes[0].token_ids
    for _ in build(engine, spec, tmp_path / "a.db"):
        engine._unsteered.clear()
        assert engine.run(REQUEST).lanes[0].token_ids == answer
    assert everything(tmp_path / "a.db") == whole


def test_generations_of_another_thread_go_between_the_batches_of_a_running_build(
    engine, spec, whole, tmp_path, monkeypatch
):
    answer = engine.run(REQUEST).lanes[0].token_ids
    order: list[str] = []
    found: list[tuple[int, ...]] = []

    def noted(*args):
        order.append("batch")
        return read_batch(*args)

    def generate() -> None:
        for _ in range(3):
            engine._unsteered.clear()
            found.append(engine.run(REQUEST, "somebody").lanes[0].token_ids)
            order.append("answer")

    monkeypatch.setattr(module, "read_batch", noted)
    running = build(engine, spec, tmp_path / "a.db")
    next(running)
    asking = threading.Thread(target=generate)
    asking.start()
    while not engine.queue and not found:
        asking.join(0.001)
    for _ in running:
        pass
    asking.join(60)
    assert found == [answer] * 3 and not engine.queue
    after = order[order.index("answer") :]
    assert "batch" in after, "the first in line did not wait for the end of the build"
    assert everything(tmp_path / "a.db") == whole


def test_a_full_queue_is_waited_for(engine, spec, tmp_path, monkeypatch):
    monkeypatch.setenv("STEERSCOPE_MAX_WAITING_SESSIONS", "1")
    running = build(engine, spec, tmp_path / "a.db")
    next(running)
    tickets = [engine.queue.enter("first"), engine.queue.enter("second")]
    going_on = threading.Thread(target=lambda: next(running))
    going_on.start()
    going_on.join(0.3)
    assert going_on.is_alive() and len(engine.queue) == 2
    for ticket in tickets:
        engine.queue.leave(ticket)
    going_on.join(30)
    assert not going_on.is_alive()
    running.close()
