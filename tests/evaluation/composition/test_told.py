"""A composition in words: do effects add, and which strengths are the strongest."""

from sas_core.evaluation.bootstrap import Estimate
from sas_core.evaluation.composition.measure import CompositionReport, GridPoint, Scored
from sas_core.evaluation.composition.told import additivity, strongest


def about(value: float, width: float = 0.1) -> Estimate:
    return Estimate(value, value - width, value + width)


def composed(*extra: Estimate) -> CompositionReport:
    """Two vectors at 0 and 1: at (1, 1) `extra` of each behaviour."""
    behaviours = tuple(Scored(f"b{n}", 4, "nats per token") for n in range(len(extra)))
    points = tuple(
        GridPoint((a, b), tuple(about(a + b) for _ in extra), extra if a and b else None)
        for a in (0.0, 1.0) for b in (0.0, 1.0)
    )  # fmt: skip
    return CompositionReport(("one", "two"), ((0.0, 1.0), (0.0, 1.0)), behaviours, points)


def test_effects_add_where_every_interval_of_the_rest_holds_0() -> None:
    assert "Effects add up: in none of the 2 cases" in additivity(composed(about(0.05), about(-0.02)))


def test_the_largest_departure_from_the_sum_is_named_with_its_interval() -> None:
    said = additivity(composed(about(0.2), about(-0.5)))
    assert said.startswith("In 2 of 2 cases")
    assert "at one +1, two +1, where b1 moves by -0.50 [-0.60, -0.40] beyond it" in said


def test_the_strongest_strengths_are_the_largest_or_the_smallest_below_zero() -> None:
    assert strongest(((-2.0, 0.0, 1.0), (-3.0, -1.0, 0.0))) == (1.0, -3.0)
