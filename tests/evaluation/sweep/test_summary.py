"""Means, changes, intervals and the choice of a strength, from numbers written by hand."""

import numpy as np
import pytest

from sas_core.evaluation.bootstrap import bootstrap
from sas_core.evaluation.plots.words import change_text
from sas_core.evaluation.sweep.cells import Cell, Setting
from sas_core.evaluation.sweep.rows import Matrix
from sas_core.evaluation.sweep.spec import SweepSpec
from sas_core.evaluation.sweep.summary import NOTHING, Found, Placing, bootstrap_columns, dev_units, result_of

SETTING = Setting()


def found(numbers: np.ndarray, cells: list[tuple[str, float, int | None]], **more: object) -> Found:
    """Column 0 is unsteered; cells name the column they read."""
    spec = SweepSpec(name="a", behaviour="sea", dev_share=0.5, **more.pop("spec", {}))
    rows = tuple(
        (Cell(SETTING, arm, scale, n), column, 3, None if column is not None else "Nothing passes.")
        for n, (arm, scale, column) in enumerate(cells)
    )
    units = tuple(range(len(numbers)))
    matrices = [Matrix("margin", units, numbers), *more.get("matrices", ())]
    provenance = {"units": {"pairs": len(numbers), "prompts": 0}}
    placing = Placing(rows, (0,) * numbers.shape[1])
    return Found("k", spec.dump(), provenance, ((placing, tuple(matrices)),), len(units), len(units))


def test_intervals_of_all_columns_at_once_are_those_of_each_alone() -> None:
    values = np.random.default_rng(1).normal(size=(9, 4))
    low, high = bootstrap_columns(values)
    for column in range(4):
        alone = bootstrap(values[:, column])
        assert (low[column], high[column]) == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_a_change_is_counted_unit_by_unit_and_a_seed_is_averaged_before() -> None:
    numbers = np.array([[0.0, 1.0, 3.0], [1.0, 1.0, 1.0], [2.0, 1.0, 5.0], [3.0, 5.0, 5.0]])
    result = result_of(found(numbers, [("vector", 0.0, 0), ("random", -1.0, 1), ("random", -1.0, 2)]))
    (one,) = result.of("margin", "all", "random")
    changes = [2.0, 0.0, 1.0, 2.0]
    assert one.mean == pytest.approx(np.mean([2.0, 1.0, 3.0, 5.0])) and one.change == np.mean(changes)
    assert one.wrong_way == 0.75 and one.count == 4
    alone = bootstrap(np.array(changes))
    assert (one.change_low, one.change_high) == pytest.approx((alone.low, alone.high))


def test_the_strength_is_chosen_on_one_half_and_told_of_the_other() -> None:
    dev = dev_units(4, 0.5, 0)
    # on the dev half the larger strength is better, on the test half it is worse
    numbers = np.zeros((4, 3))
    numbers[dev, 1], numbers[dev, 2] = 1.0, 2.0
    numbers[~dev, 1], numbers[~dev, 2] = 1.0, -5.0
    result = result_of(found(numbers, [("vector", 0.0, 0), ("vector", 1.0, 1), ("vector", 2.0, 2)]))
    (chosen,) = result.chosen
    assert (chosen.scale, chosen.dev.change, chosen.test.change) == (2.0, 2.0, -5.0)
    assert chosen.dev.count == chosen.test.count == 2


def test_a_strength_that_costs_too_much_is_not_chosen() -> None:
    numbers = np.tile([0.0, 1.0, 2.0], (4, 1))
    price = Matrix("price", (0, 1), np.array([[1.0, 1.1, 1.9], [1.0, 1.1, 1.9]]))
    cells = [("vector", 0.0, 0), ("vector", 1.0, 1), ("vector", 2.0, 2)]
    (cheap,) = result_of(found(numbers, cells, matrices=(price,))).chosen
    (dear,) = result_of(found(numbers, cells, matrices=(price,), spec={"most_price": 1.0})).chosen
    assert (cheap.scale, dear.scale) == (1.0, 2.0)


def test_a_half_does_not_depend_on_how_far_the_sweep_has_come() -> None:
    whole = found(np.random.default_rng(0).normal(size=(8, 2)), [("vector", 0.0, 0), ("vector", 1.0, 1)])
    ((placing, (matrix,)),) = whole.parts
    some = Matrix("margin", matrix.units[:5], matrix.numbers[:5])
    part = Found(whole.key, whole.spec, whole.provenance, ((placing, (some,)),), 5, 8)
    counted = {h: result_of(part).of("margin", h, "vector")[0].count for h in ("dev", "test")}
    dev = dev_units(8, 0.5, 0)
    assert counted == {"dev": int(dev[:5].sum()), "test": int((~dev[:5]).sum())}


def test_what_could_not_run_and_what_added_nothing_say_so() -> None:
    share = Matrix("share:margin", (0, 1), np.array([[0.0, 0.0], [0.0, 0.0]]))
    cells = [("vector", 0.0, 0), ("vector", -1.0, 1), ("shuffled", -1.0, None)]
    result = result_of(found(np.ones((2, 2)), cells, matrices=(share,)))
    by_arm = {(o.arm, o.scale): o for o in result.of("margin")}
    assert by_arm["vector", -1.0].problem == NOTHING and by_arm["vector", 0.0].problem is None
    assert by_arm["shuffled", -1.0].problem == "Nothing passes." and by_arm["shuffled", -1.0].count == 0
    assert result.notes == ("shuffled: Nothing passes.",)


def test_a_text_without_a_score_is_left_out_of_its_own_column_alone() -> None:
    numbers = np.array([[0.0, 1.0, 2.0], [0.0, np.nan, 4.0], [0.0, 3.0, 6.0]])
    result = result_of(found(numbers, [("vector", 0.0, 0), ("vector", 1.0, 1), ("vector", 2.0, 2)]))
    one, two = (o for o in result.of("margin") if o.scale)
    assert (one.count, one.change) == (2, 2.0) and (two.count, two.change) == (3, 4.0)


def test_one_unit_has_a_change_and_no_interval() -> None:
    result = result_of(found(np.array([[0.0, 1.0]] * 2), [("vector", 0.0, 0), ("vector", 1.0, 1)]))
    (chosen,) = result.chosen
    assert chosen.test.count == 1 and chosen.test.change == 1.0 and np.isnan(chosen.test.change_low)
    assert change_text(chosen.test) == "+1.000 (one unit, no interval)"
    assert result.of("margin", "all")[1].change_low == 1.0
