"""What two latents do beyond their sum, on changes written down by hand."""

import numpy as np
import pytest

from sas_core.evaluation.bootstrap import bootstrap
from sas_core.evaluation.subset.interference import interference, subsets_needed

LATENTS = (7, 3, 9)
# change of four pairs under 7, 3, 9, {7, 3}, {7, 9}, {3, 9}
CHANGES = np.array(
    [
        [0.1, 0.2, 0.0, 0.3, 0.1, 0.9],
        [0.2, 0.1, 0.0, 0.3, 0.2, 0.8],
        [0.3, 0.0, 0.1, 0.3, 0.1, 1.0],
        [0.4, 0.1, 0.1, 0.5, 0.2, 0.9],
    ]
)


def test_each_alone_then_every_two_are_asked_for() -> None:
    assert subsets_needed(LATENTS) == ((7,), (3,), (9,), (7, 3), (7, 9), (3, 9))


def test_interference_is_the_effect_of_both_less_that_of_each() -> None:
    found = interference(LATENTS, CHANGES)
    assert [one.value for one in found.alone] == pytest.approx([0.25, 0.1, 0.05])
    assert [(m.one, m.other) for m in found.meetings] == [(7, 3), (7, 9), (3, 9)]
    assert [m.both.value for m in found.meetings] == pytest.approx([0.35, 0.15, 0.9])
    assert [m.extra.value for m in found.meetings] == pytest.approx([0.0, -0.15, 0.75])


def test_its_interval_is_that_of_the_pairs_own_differences() -> None:
    extra = interference(LATENTS, CHANGES).meetings[2].extra
    own = bootstrap(np.array([0.7, 0.7, 0.9, 0.7]))
    assert (extra.low, extra.high) == pytest.approx((own.low, own.high))
    assert 0.7 - 1e-9 <= extra.low <= extra.value <= extra.high <= 0.9 + 1e-9


def test_where_effects_add_in_every_pair_nothing_is_left_over() -> None:
    extra = interference(LATENTS, CHANGES).meetings[0].extra
    assert (extra.value, extra.low, extra.high) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)


def test_the_matrix_is_symmetric_with_nothing_on_its_diagonal() -> None:
    matrix = interference(LATENTS, CHANGES).matrix()
    assert [matrix[n][n] for n in range(3)] == [None] * 3
    assert matrix[0][2] == matrix[2][0] == pytest.approx(-0.15)
    assert matrix[1][2] == matrix[2][1] == pytest.approx(0.75)


def test_one_latent_meets_nobody() -> None:
    found = interference((4,), CHANGES[:, :1])
    assert (found.meetings, found.matrix()) == ((), ((None,),))
