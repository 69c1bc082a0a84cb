"""Two vectors over a grid of strengths on a tiny model: every figure against a plain loop."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from sas_core.contrast.pairs import Pair, PairSet
from sas_core.errors import BadInput, Cancelled, Mismatch
from sas_core.evaluation import completions
from sas_core.evaluation.bootstrap import bootstrap
from sas_core.evaluation.composition.measure import CompositionReport, check_grid, evaluate_composition
from sas_core.steering.engine import Engine
from sas_core.steering.spec import Steering
from sas_core.vectors.build import latents_file, term_of
from sas_core.vectors.fields import VectorFile
from tests.evaluation.plain import plain_change

GRID = ((-2.0, 3.0), (2.0,))


@pytest.fixture
def two(engine: Engine, vector: VectorFile) -> tuple[VectorFile, VectorFile]:
    """They share latent 7, with opposite signs."""
    return vector, latents_file(engine, "lateness", {7: 1.4, 13: 1.8, 30: -0.9}, verify=False)


@pytest.fixture
def heldout(pairs: PairSet, letters: PairSet) -> dict[str, PairSet]:
    return {"weather": pairs, "letters": letters}


def measured(
    engine: Engine, vectors: tuple[VectorFile, ...], heldout: Mapping[str, PairSet], grid: Any = GRID
) -> CompositionReport:
    *_, report = evaluate_composition(engine, vectors, heldout, grid)
    return report


def plain(engine: Engine, vectors: tuple[VectorFile, ...], pairs: PairSet, strengths: Any) -> np.ndarray:
    terms = tuple(term_of(v, s) for v, s in zip(vectors, strengths, strict=True) if s)
    return np.array(plain_change(engine, pairs, Steering(terms) if terms else None))


def test_every_combination_equals_the_plain_loop_on_its_behaviour(engine, two, pairs) -> None:
    report = measured(engine, two, {"weather": pairs})
    assert report.grid == ((-2.0, 0.0, 3.0), (0.0, 2.0))
    assert [p.strengths for p in report.points] == [(a, b) for a in report.grid[0] for b in report.grid[1]]
    for point in report.points:
        wanted = plain(engine, two, pairs, point.strengths)
        interval = bootstrap(wanted)
        (change,) = point.changes
        assert change.value == pytest.approx(wanted.mean(), abs=1e-4)
        assert (change.low, change.high) == pytest.approx((interval.low, interval.high), abs=1e-4)
    assert abs(report.at((3.0, 2.0)).changes[0].value) > 0.01


def test_what_is_left_over_is_the_change_less_those_of_each_vector_alone(engine, two, pairs) -> None:
    report = measured(engine, two, {"weather": pairs})
    for point in report.points:
        a, b = point.strengths
        if not a or not b:
            assert point.extra is None
            continue
        both, one, other = (plain(engine, two, pairs, s) for s in ((a, b), (a, 0.0), (0.0, b)))
        (extra,) = point.extra
        interval = bootstrap(both - one - other)
        assert extra.value == pytest.approx((both - one - other).mean(), abs=1e-4)
        assert (extra.low, extra.high) == pytest.approx((interval.low, interval.high), abs=1e-4)
        assert abs(extra.value) > 1e-3, "the case says nothing where effects add"


def test_each_behaviour_is_scored_on_its_own_pairs_in_its_own_unit(engine, two, heldout) -> None:
    together = measured(engine, two, heldout)
    assert [(b.name, b.count) for b in together.behaviours] == [("weather", 3), ("letters", 2)]
    assert [b.unit for b in together.behaviours] == ["nats per token", "nats at the answer letter"]
    for n, name in enumerate(heldout):
        alone = measured(engine, two, {name: heldout[name]})
        for point, other in zip(together.points, alone.points, strict=True):
            assert point.changes[n].value == pytest.approx(other.changes[0].value, abs=1e-5)
            assert point.changes[n].high == pytest.approx(other.changes[0].high, abs=1e-5)


def test_the_off_target_matrix_is_each_vector_alone_on_every_behaviour(engine, two, heldout) -> None:
    report = measured(engine, two, heldout)
    matrix = report.off_target((3.0, 2.0))
    assert matrix == (report.at((3.0, 0.0)).changes, report.at((0.0, 2.0)).changes)
    assert len(matrix) == len(matrix[0]) == 2
    with pytest.raises(KeyError):
        report.off_target((1.0, 2.0))


def test_the_surface_has_a_row_per_strength_of_the_first_vector(engine, two, heldout) -> None:
    report = measured(engine, two, heldout)
    surface = report.surface(1)
    assert (len(surface), len(surface[0])) == (3, 2)
    assert surface[2][1] == report.at((3.0, 2.0)).changes[1]


def test_unsteered_nothing_changes_at_all(engine, two, heldout) -> None:
    for change in measured(engine, two, heldout).at((0.0, 0.0)).changes:
        assert (change.value, change.low, change.high) == (0.0, 0.0, 0.0)


def test_three_vectors_are_compared_with_the_sum_of_three(engine, two, pairs) -> None:
    third = latents_file(engine, "third", {4: 1.1, 7: 0.5}, verify=False)
    vectors = (*two, third)
    report = measured(engine, vectors, {"weather": pairs}, ((2.0,), (2.0,), (-3.0,)))
    assert len(report.points) == 8
    found = report.at((2.0, 2.0, -3.0))
    all_three = plain(engine, vectors, pairs, (2.0, 2.0, -3.0)).mean()
    alone = [plain(engine, vectors, pairs, s).mean() for s in ((2.0, 0, 0), (0, 2.0, 0), (0, 0, -3.0))]
    assert found.changes[0].value == pytest.approx(all_three, abs=1e-4)
    assert found.extra[0].value == pytest.approx(all_three - sum(alone), abs=1e-4)


def test_rows_run_in_several_parts_give_the_same_report(engine, two, heldout, monkeypatch) -> None:
    whole = measured(engine, two, heldout)
    monkeypatch.setattr(completions, "_ROWS", 4)
    parted = measured(engine, two, heldout)
    for one, other in zip(whole.points, parted.points, strict=True):
        assert one.strengths == other.strengths
        assert [c.value for c in other.changes] == pytest.approx([c.value for c in one.changes], abs=1e-5)


def test_progress_counts_the_pairs_of_all_behaviours_and_the_report_comes_last(engine, two, heldout) -> None:
    *events, report = evaluate_composition(engine, two, heldout, GRID)
    assert [(event.done, event.total) for event in events] == [(n, 5) for n in range(1, 6)]
    assert isinstance(report, CompositionReport)


def test_closing_it_leaves_no_ticket(engine, two, heldout) -> None:
    with closing(evaluate_composition(engine, two, heldout, GRID)) as events:
        next(events)
        assert len(engine.queue) == 0
    assert len(engine.queue) == 0


def test_a_newer_request_of_the_session_stops_it_while_it_waits(engine, two, heldout) -> None:
    with engine.turn("somebody") as ticket:
        assert ticket.wait(1.0)
        events = evaluate_composition(engine, two, heldout, GRID, session="mine")
        assert next(events).waiting == 1
        with engine.turn("mine"), pytest.raises(Cancelled):
            list(events)


def test_vectors_that_are_applied_differently_are_refused(engine, two, heldout) -> None:
    wider = two[1].model_copy(update={"steered_tokens": "all"})
    with pytest.raises(Mismatch, match="'weather' and 'lateness' differ in steered tokens"):
        measured(engine, (two[0], wider), heldout)


def test_a_vector_of_another_sae_is_refused(engine, two, heldout) -> None:
    other = two[1].model_copy(update={"sae": two[1].sae.model_copy(update={"sha256": "0" * 64})})
    with pytest.raises(Mismatch, match="lateness"):
        measured(engine, (two[0], other), heldout)


def test_a_behaviour_without_usable_pairs_is_named(engine, two, pairs) -> None:
    same = PairSet("none", (Pair("Tell me.", "same", "same", 1),))
    with pytest.raises(BadInput, match="no usable pairs of 'nothing'"):
        measured(engine, two, {"weather": pairs, "nothing": same})
    with pytest.raises(BadInput, match="no usable pairs"):
        measured(engine, two, {})


@pytest.mark.parametrize(
    ("names", "grid", "sentence"),
    [
        (("a",), ((1.0,),), "two or more"),
        (("a", "a"), ((1.0,), (1.0,)), "same name"),
        (("a", "b"), ((1.0,), (0.0,)), "strength other than 0"),
        (("a", "b"), ((1.0,), (float("inf"),)), "strength other than 0"),
        (("a", "b"), (tuple(range(1, 30)), tuple(range(1, 30))), "900 combinations"),
    ],
)
def test_grids_that_cannot_be_run_are_refused(names, grid, sentence) -> None:
    with pytest.raises(BadInput, match=sentence):
        check_grid(names, grid)
