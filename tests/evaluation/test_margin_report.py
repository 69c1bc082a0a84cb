"""The figures of a margin report against hand cases."""

import numpy as np
import pytest

from sas_core.evaluation.bootstrap import Interval, bootstrap
from sas_core.evaluation.margin_report import Cell, Curve, Lead, MarginReport, Row, Scores, curves, leads

ROWS = (
    Row("vector", -1.0), Row("dense", -1.0), Row("random", -1.0, 0), Row("random", -1.0, 1),
    Row("vector", 1.0), Row("dense", 1.0), Row("random", 1.0, 0), Row("random", 1.0, 1),
)  # fmt: skip
# one row a pair: unsteered first, then in the order of ROWS
MARGINS = [
    [0.5, -1.0, 0.0, 0.4, 0.2, 2.0, 1.0, 0.6, 0.8],
    [-0.5, -1.5, 0.0, -0.4, -0.8, 0.1, 1.0, -0.5, -0.7],
    [0.0, 0.2, 0.0, 0.1, 0.1, -0.3, 1.0, 0.0, 0.2],
]
NEUTRAL = [
    [-2.0, -2.5, -3.0, -2.1, -2.3, -2.2, -3.0, -2.0, -2.0],
    [-3.0, -3.5, -3.0, -3.1, -3.1, -3.4, -3.0, -3.0, -3.2],
]
SHARES = [0.1, 0.3, 0.3, 0.5, 0.2, 0.3, 0.4, 0.6]


@pytest.fixture
def scores() -> Scores:
    return Scores(ROWS, np.array(MARGINS), np.array(NEUTRAL), np.array(SHARES))


def test_there_is_a_curve_for_the_vector_first_and_one_per_control(scores) -> None:
    assert [curve.name for curve in curves(scores, (-1.0, 0.0, 1.0))] == ["vector", "dense", "random"]


def test_a_cell_holds_the_figures_worked_out_by_hand(scores) -> None:
    cell = curves(scores, (-1.0, 0.0, 1.0))[0].at(-1.0)
    assert cell.changes == pytest.approx((-1.5, -1.0, 0.2))
    assert cell.margin == pytest.approx((-1.0 - 1.5 + 0.2) / 3)
    assert cell.change == pytest.approx((-1.5 - 1.0 + 0.2) / 3)
    assert cell.right_way == pytest.approx(2 / 3)
    assert cell.prefers == pytest.approx(1 / 3)
    assert (cell.share, cell.price) == (pytest.approx(0.1), pytest.approx(0.5))
    assert cell.interval == bootstrap(np.array(cell.changes))


def test_the_right_way_is_up_for_a_positive_lambda(scores) -> None:
    cell = curves(scores, (1.0,))[0].at(1.0)
    assert cell.changes == pytest.approx((1.5, 0.6, -0.3))
    assert cell.right_way == pytest.approx(2 / 3)


def test_a_random_curve_is_averaged_over_its_seeds_pair_by_pair(scores) -> None:
    cell = curves(scores, (-1.0, 0.0, 1.0))[2].at(1.0)
    assert cell.changes == pytest.approx((0.2, -0.1, 0.1))
    assert cell.share == pytest.approx(0.5)
    assert cell.price == pytest.approx((0.0 + 0.1) / 2)


def test_a_pair_that_does_not_move_did_not_move_the_right_way() -> None:
    scores = Scores((Row("vector", 1.0),), np.array([[0.5, 0.5]]), np.zeros((1, 2)), np.array([0.0]))
    cell = curves(scores, (1.0,))[0].at(1.0)
    assert cell.right_way == 0.0
    assert "Nothing was added" in cell.problem


def test_a_lead_counts_in_the_direction_of_lambda(scores) -> None:
    found = leads(curves(scores, (-1.0, 0.0, 1.0)))
    assert [(lead.control, lead.scale) for lead in found] == [("random", -1.0), ("random", 1.0)]
    # down: own -1.5, -1.0, 0.2; random -0.2, -0.1, 0.1
    assert found[0].mean == pytest.approx((1.3 + 0.9 - 0.1) / 3)
    assert found[1].mean == pytest.approx((1.3 + 0.7 - 0.4) / 3)
    assert found[0].interval == bootstrap(np.array([1.3, 0.9, -0.1]))


def report_with(change: tuple[float, float], lead: tuple[float, float], scale: float) -> MarginReport:
    blank = Cell(scale, 0.0, 0.0, Interval(*change), 1.0, 1.0, 0.1, 0.0, ())
    lead_found = Lead("random", scale, 0.0, Interval(*lead))
    return MarginReport("v", "p", 1, "nats", (scale,), 1, 1, (Curve("vector", (blank,)),), (lead_found,))


@pytest.mark.parametrize(
    ("change", "lead", "scale", "stands"),
    [
        ((0.1, 0.5), (0.1, 0.5), 2.0, True),
        ((-0.1, 0.5), (0.1, 0.5), 2.0, False),
        ((0.1, 0.5), (-0.1, 0.5), 2.0, False),
        ((-0.5, -0.1), (0.1, 0.5), -2.0, True),
        ((0.1, 0.5), (0.1, 0.5), -2.0, False),
        ((-0.5, 0.0), (0.1, 0.5), -2.0, False),
    ],
)
def test_an_effect_stands_when_both_intervals_lie_on_the_right_side(change, lead, scale, stands) -> None:
    assert report_with(change, lead, scale).holds(scale) is stands


def test_without_a_random_control_nothing_is_said_about_standing() -> None:
    report = report_with((0.1, 0.5), (0.1, 0.5), 2.0)
    assert report.holds(0.0) is None
    assert MarginReport(**{**vars(report), "leads": ()}).holds(2.0) is None


def test_a_lambda_that_was_not_measured_is_a_key_error(scores) -> None:
    with pytest.raises(KeyError):
        curves(scores, (1.0,))[0].at(3.0)
