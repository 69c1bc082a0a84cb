import torch

from sas_core.model.sinks import SINK_NORM_MULTIPLE, is_sink


def _with_norms(*norms: float) -> torch.Tensor:
    """`[1, pos, 3]`, each position pointing somewhere else with the given norm."""
    directions = torch.nn.functional.normalize(torch.randn(len(norms), 3), dim=-1)
    return (directions * torch.tensor(norms)[:, None])[None]


def test_a_position_far_above_the_given_typical_norm_is_a_sink() -> None:
    found = is_sink(_with_norms(10.0, 29.0, 31.0, 900.0), typical_norm=10.0)

    assert SINK_NORM_MULTIPLE == 3.0
    assert found.tolist() == [[False, False, True, True]]


def test_without_a_typical_norm_the_median_of_what_is_given_is_used() -> None:
    found = is_sink(_with_norms(1.0, 1.0, 1.0, 2.9, 3.1))

    assert found.tolist() == [[False, False, False, False, True]]


def test_a_typical_norm_keeps_a_short_text_of_sinks_from_hiding_them() -> None:
    sinks = _with_norms(50.0, 50.0)

    assert not is_sink(sinks).any()
    assert is_sink(sinks, typical_norm=10.0).all()


def test_norms_are_taken_in_float32() -> None:
    # the norm, 134,000, is beyond what float16 can hold
    huge = torch.full((1, 2, 5), 60_000.0, dtype=torch.float16)

    assert not is_sink(huge, typical_norm=50_000.0).any()
    assert is_sink(huge, typical_norm=40_000.0).all()
