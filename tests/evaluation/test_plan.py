"""What cannot be measured is refused before anything is loaded."""

import math

import pytest

from sas_core.errors import BadInput
from sas_core.evaluation.plan import CONTROLS, Plan, plan


def test_strengths_are_ordered_told_once_and_joined_by_zero() -> None:
    assert plan((2, -1.0, 2.0), ("dense", "dense"), 3) == Plan((-1.0, 0.0, 2.0), ("dense",), 3)


def test_a_minus_zero_is_a_plain_zero() -> None:
    assert [math.copysign(1.0, scale) for scale in plan((1.0, -0.0), (), 1).scales] == [1.0, 1.0]


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, float("nan")), (float("inf"),), (1e6,)])
def test_strengths_that_measure_nothing_are_refused(scales) -> None:
    with pytest.raises(BadInput, match="strength other than 0"):
        plan(scales, CONTROLS, 3)


def test_an_unknown_control_is_refused_with_the_list() -> None:
    with pytest.raises(BadInput, match="'placebo'; choose from random, random-matched, dense"):
        plan((1.0,), ("dense", "placebo"), 3)


@pytest.mark.parametrize("seeds", [0, -1, 21])
def test_a_number_of_random_directions_out_of_range_is_refused(seeds) -> None:
    with pytest.raises(BadInput, match=f"{seeds} random directions"):
        plan((1.0,), CONTROLS, seeds)
