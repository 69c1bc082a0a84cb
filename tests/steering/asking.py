"""Requests to an engine, and what is read off its answers: shared by the tests of `engine.py`."""

from typing import Any

from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Done, Request
from sas_core.steering.spec import Lane, Sampling, Steering
from tests.helpers import term

UP = Steering((term({2: 4.0, 7: 3.0, 30: 5.0}, name="up"),))
OTHER = Steering((term({1: 3.0, 40: 6.0, 41: 2.0}, name="other"),), 1.5)
PROMPT = "Tell me about your day."
COUNT = 24


def request_for(*steerings: Steering | None, prompt: Any = PROMPT, **options: Any) -> Request:
    lanes = tuple(Lane("unsteered" if s is None else f"steered {i}", s) for i, s in enumerate(steerings))
    return Request(prompt, lanes, options.pop("sampling", Sampling(COUNT)), **options)


def ids_of(done: Done) -> list[tuple[int, ...]]:
    return [lane.token_ids for lane in done.lanes]


def rows_of_forwards(engine: Engine, request: Request) -> list[int]:
    """Rows of each forward pass that the request needs."""
    rows: list[int] = []
    with engine.model.hooks(fwd_hooks=[("hook_embed", lambda value, hook: rows.append(value.shape[0]))]):
        engine.run(request)
    return rows
