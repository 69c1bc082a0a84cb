"""Ragged rows in flat arrays, against a list of lists."""

import random

import numpy as np
import pytest

from sas_core.atlas.firing import Fired
from sas_core.atlas.traces import Traces, ragged


def test_ragged_indices_are_the_ranges_one_after_the_other():
    assert ragged(np.array([4, 0, 9]), np.array([2, 3, 1])).tolist() == [4, 5, 0, 1, 2, 9]
    assert ragged(np.array([4, 7, 9]), np.array([0, 2, 0])).tolist() == [7, 8]
    assert ragged(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []


def some_fired(rng: np.random.Generator) -> Fired:
    n = int(rng.integers(1, 60))
    zeros = np.zeros(n, np.int32)
    return Fired(zeros, zeros, rng.integers(0, 65_535, n).astype(np.int32), rng.random(n).astype(np.float32))


def slices(n: int) -> tuple[np.ndarray, np.ndarray]:
    start = np.array([random.randrange(n) for _ in range(random.randint(0, 8))], np.int64)
    count = np.array([random.randint(1, n - first) for first in start.tolist()], np.int64)
    return start, count


def held(traces: Traces, rows: int) -> list[tuple[list[int], list[float]]]:
    return [tuple(part.tolist() for part in traces.get(row)) for row in range(rows)]


@pytest.mark.parametrize("seed", range(10))
def test_rows_put_and_kept_in_any_mixture_are_what_was_put(seed):
    random.seed(seed)
    rng = np.random.default_rng(seed)
    traces, lists = Traces(), []
    for _ in range(12):
        fired = some_fired(rng)
        start, count = slices(len(fired.positions))
        numbers = traces.put(fired, start, count)
        assert numbers.tolist() == list(range(len(lists), len(lists) + len(start)))
        for first, n in zip(start.tolist(), count.tolist(), strict=True):
            at = slice(first, first + n)
            lists.append((fired.positions[at].tolist(), fired.values[at].tolist()))
        assert len(traces) == len(lists)
        if random.random() < 0.5:
            kept = sorted(random.sample(range(len(lists)), random.randint(0, len(lists))))
            renumbered = traces.keep(np.array(kept, np.int64))
            expected = {old: new for new, old in enumerate(kept)}
            assert renumbered.tolist() == [expected.get(old, -1) for old in range(len(lists))]
            lists = [lists[old] for old in kept]
            assert held(traces, len(lists)) == lists
            assert traces.positions.dtype == np.uint16 and traces.values.dtype == np.float32


def test_one_that_is_made_from_the_arrays_of_another_holds_the_same_rows():
    traces = Traces()
    fired = some_fired(np.random.default_rng(3))
    traces.put(fired, np.array([0, 2]), np.array([2, 5]))
    traces.keep(np.array([0, 1]))
    again = Traces(traces.count, traces.positions, traces.values)
    assert held(again, 2) == held(traces, 2) and len(again) == 2
    assert again.put(fired, np.array([1]), np.array([1])).tolist() == [2]
