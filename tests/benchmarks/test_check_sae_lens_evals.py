"""The comparison with sae-lens's evaluation agrees on a tiny model, and sees a difference."""

from pathlib import Path

import pytest

from benchmarks import check_sae_lens_evals as check
from sas_core.dictionary.corpus import Window, read_held_out
from sas_core.steering.engine import Engine


@pytest.fixture
def taken(engine: Engine, tmp_path: Path) -> list[Window]:
    """Windows whose documents end in a special token."""
    path = tmp_path / "held.txt"
    path.write_text("The sea is warm.\nWe talked about the book.\n" * 20)
    return read_held_out({"prose": str(path)}, engine.turns.tokenizer, 6, 24)["prose"]


def test_both_agree_at_our_positions_and_by_itself_it_counts_others(engine: Engine, taken) -> None:
    found = check.compared(engine, taken)
    assert found.keys() == {"ours", "theirs", "default"}
    assert all(arm.keys() == check.FIGURES.keys() for arm in found.values())
    assert max(check.apart(found, name) for name in check.FIGURES) < 1e-4
    assert found["theirs"]["ce_zero"] != pytest.approx(found["ours"]["ce_zero"], rel=1e-3)
    assert found["default"]["mse"] != pytest.approx(found["ours"]["mse"], rel=1e-3)


def test_a_position_more_or_less_is_seen(engine: Engine, taken) -> None:
    found = check.compared(engine, taken)
    other = [(ids, [*keep[:-1], False]) for ids, keep in taken]
    found["theirs"] = check.compared(engine, other)["theirs"]
    unlike = {name for name in check.FIGURES if check.apart(found, name) > 1e-3}
    assert {"ce_spliced", "kl", "mse"} & unlike and "ce_zero" not in unlike
