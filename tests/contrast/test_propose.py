"""Names and strengths offered before the user says anything."""

import numpy as np
import pytest

from sas_core.contrast.choice import Choice
from sas_core.contrast.propose import GOOD_SHARE, propose_name, propose_strength, strength_for
from sas_core.contrast.select import SasVector
from sas_core.steering.spec import Steering, Term
from sas_core.vectors.fields import name_fault


def test_the_proposed_strength_adds_about_the_share_that_is_good() -> None:
    for share in (0.06, 0.1, 0.3):
        assert strength_for(share) * share == pytest.approx(GOOD_SHARE, rel=0.06)


def test_the_proposed_strength_stays_within_its_limits() -> None:
    assert (strength_for(1e-6), strength_for(50.0), strength_for(0.0)) == (8.0, 0.5, 1.0)


def test_the_share_is_that_of_the_whole_vector_on_the_loaded_model(engine) -> None:
    indices, values = np.array([3, 9]), np.array([0.02, -0.01])
    none = np.zeros(2)
    vector = SasVector(indices, values, none, none, none, none)
    share = engine.added_share(Steering((Term("v", (3, 9), (0.02, -0.01)),), 1.0))
    assert propose_strength(engine, vector) == strength_for(share)


def test_a_proposed_name_says_which_switches_were_moved() -> None:
    assert propose_name("The sea", Choice(0.7)) == "The sea tau 0.70"
    assert (
        propose_name("The sea", Choice(0.5, "negative", 20, False))
        == "The sea tau 0.50 v- top 20 with shared"
    )


@pytest.mark.parametrize("title", ["", "  ", "x" * 400, "pairs (edited).csv", "a\nb\u2028c\x00"])
def test_a_proposed_name_can_be_saved_whatever_the_pairs_are_called(title: str) -> None:
    assert name_fault(propose_name(title, Choice(0.7, "positive", 100, False))) is None
