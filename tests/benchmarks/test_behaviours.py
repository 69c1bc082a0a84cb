"""Strengths are matched by price alone, effects are those of the margin report, and counts fit the rows."""

import json
import math

import numpy as np
import pytest

from benchmarks import behaviours
from benchmarks.behaviours_page import ARMS, page, tally
from benchmarks.behaviours_read import SPEC, Bench, prepared
from benchmarks.matched import Match, estimate, lead, strength_at
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.evaluation.margin import evaluate_margin
from sas_core.evaluation.sweep.cells import Cell, Setting, cells_of
from sas_core.evaluation.sweep.material import Material
from sas_core.evaluation.sweep.spec import parse_spec
from sas_core.vectors.build import latents_file
from sas_core.vectors.ship import SHIPPED

SCALES = (0.5, 1.0, 2.0, 4.0)
TINY = parse_spec(SPEC, changes=("axes.scale=[-2,2,4]", "text.max_new_tokens=4"))


@pytest.fixture
def bench(engine) -> Bench:
    vector = latents_file(engine, "weather", {2: 1.5, 7: -1.0, 11: 0.8, 23: 2.0}, verify=False)
    pairs = PairSet("p", tuple(
        Pair(f"Tell me about the {what}.", f"The {what} is warm.", f"The {what} is late again.", n)
        for n, what in enumerate(("day", "sea", "sun", "book"), 1)
    ))  # fmt: skip
    material = Material(pairs, vector, pairs, None, TINY.text, tuple(p.prompt for p in pairs.pairs[:2]))
    return Bench(engine, TINY, material)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("target", [0.01, 0.05, 0.2])
def test_a_price_that_grows_with_the_square_is_met_exactly(sign: float, target: float) -> None:
    found = strength_at([sign * s for s in SCALES], [0.06 * s**2 for s in SCALES], target)
    assert found == Match(pytest.approx(sign * math.sqrt(target / 0.06)))


def test_any_power_of_the_strength_is_met_exactly_between_strengths() -> None:
    assert strength_at(SCALES, [0.01 * s**3.5 for s in SCALES], 0.2).scale == pytest.approx(20 ** (1 / 3.5))


def test_the_first_strength_that_costs_so_much_counts_though_a_stronger_one_costs_less() -> None:
    assert 1.0 < strength_at(SCALES, [-0.1, 0.0, 0.3, 0.1], 0.2).scale < 2.0
    assert strength_at(SCALES, [0.4, 0.1, 0.3, 0.5], 0.2) == Match(pytest.approx(0.5 * math.sqrt(0.5)))


def test_an_arm_that_never_costs_so_much_is_read_at_its_strongest() -> None:
    assert strength_at([-s for s in SCALES], [0.0, 0.0, 0.1, 0.05], 0.2) == Match(-4.0, reached=False)


def test_an_estimate_leaves_out_units_without_a_number_and_needs_two() -> None:
    found = estimate(np.array([1.0, np.nan, 2.0, 3.0]))
    assert found is not None and (found.mean, found.count) == (2.0, 3) and 1.0 <= found.low < 2.0 < found.high
    assert estimate(np.array([1.0, np.nan])) is None


def test_a_lead_is_further_in_the_wanted_direction_unit_by_unit() -> None:
    # both scatter widely and together: only paired differences tell them apart
    own = np.array([-5.0, -1.0, 3.0, 9.0])
    up, down = lead(own, own - 0.5, 1), lead(own, own - 0.5, -1)
    assert up is not None and (up.mean, up.low, up.high, up.verdict) == (0.5, 0.5, 0.5, 1)
    assert down is not None and (down.mean, down.verdict) == (-0.5, -1)
    level = lead(own, own + np.array([1.0, -1.0, 1.0, -1.0]), 1)
    assert level is not None and level.verdict == 0


def test_changes_are_those_of_the_margin_report(bench) -> None:
    *_, report = evaluate_margin(
        bench.engine, bench.material.vector, bench.material.heldout, (-2.0, 2.0), controls=("dense",), seeds=1
    )
    by = {(curve.name, cell.scale): cell for curve in report.curves for cell in curve.cells}
    cells = [Cell(Setting(), arm, scale) for arm in ("vector", "dense") for scale in (-2.0, 2.0)]
    margins, prices = bench.margins(cells), bench.prices(cells)
    for i, cell in enumerate(cells):
        wanted = by[cell.arm, cell.scale]
        assert margins[:, i].tolist() == pytest.approx(wanted.changes, abs=1e-5)
        assert prices[:, i].mean() == pytest.approx(wanted.price, abs=1e-5)


def test_every_arm_is_measured_where_it_has_the_price_or_at_its_strongest(bench) -> None:
    found = behaviours.measure(bench)
    assert len(found["grid"]) == len(cells_of(TINY)) and found["latents"] == 4
    assert len(found["rows"]) == 2 * len(behaviours.TARGETS) * len(ARMS)
    assert {row["reached"] for row in found["rows"]} == {True, False}
    cells = [_cells(row) for row in found["rows"]]
    flat = [cell for some in cells for cell in some]
    prices = dict(zip(flat, bench.prices(flat).mean(axis=0), strict=True))
    margins = dict(zip(flat, bench.margins(flat).mean(axis=0), strict=True))
    for row, some in zip(found["rows"], cells, strict=True):
        if row["reached"]:
            assert [prices[c] for c in some] == pytest.approx(
                [row["target"]] * len(some), rel=behaviours.NEAR
            )
        elif row["arm"] != "random":
            assert row["scales"] == [4 if row["sign"] > 0 else -2]
            assert max(_grid(found, some[0], row["sign"])) < row["target"]
        alone = sum(margins[cell] for cell in some) / len(some)
        assert row["figures"]["margin"]["mean"] == pytest.approx(alone, abs=1e-5)
        assert set(row["figures"]) == {"price", "margin", "probe"} and row["figures"]["price"]["count"] == 12


def test_a_shipped_vector_brings_its_held_out_pairs_and_their_prompts() -> None:
    spec, material = prepared("sea", 5, 3)
    assert (spec.vector, len(material.heldout)) == ("sea", 5) and material.behind is not None
    assert material.prompts == tuple(pair.prompt for pair in material.heldout.pairs[:3])
    assert not {p.prompt for p in material.behind.pairs} & set(material.prompts)


def test_results_are_written_again_and_kept_for_the_same_key_alone(engine, tmp_path) -> None:
    path = tmp_path / "b.json"
    document = behaviours._begun(path, engine, {"sea": "k1"})
    assert document["behaviours"] == {}
    document |= {"pairs": 4, "prompts": 0}
    document["behaviours"] = {name: {"key": "k1", **_measured()} for name in ("sea", "sun")}
    behaviours.written(path, document)
    assert json.loads(path.read_text())["behaviours"] == document["behaviours"]
    assert "| sea |" in path.with_suffix(".md").read_text()
    assert set(behaviours._begun(path, engine, {"sea": "k1", "sun": "k2"})["behaviours"]) == {"sea"}


def test_the_page_counts_who_moves_further_and_names_the_price_where_there_is_no_match(
    engine, tmp_path
) -> None:
    document = {**behaviours._begun(tmp_path / "b.json", engine, {}), "pairs": 4, "prompts": 0}
    leads = {"one": 0.3, "two": -0.3, "three": 0.0, "four": None}
    document["behaviours"] = {name: _measured(mean) for name, mean in leads.items()}
    assert tally(document, "margin", "caa", 1, 0.05) == (1, 1, 1, 1)
    text = page(document)
    assert text.count("| 1 / 1 / 1 / 1 | 1 / 1 / 1 / 1 | 1 / 1 / 1 / 1 |") == 4
    assert "| one | 7 | +0.400 [+0.300, +0.500] | +0.400 [" in text
    rows = [line for line in text.splitlines() if line.startswith("| four |")]
    # dense CAA stands third of four, at either price, and no other arm has a price beside it
    assert [[" at 0.010" in cell for cell in row.split("|")[3:-1]] for row in rows] == [
        [False, False, True, False] * 2
    ] * 2
    assert "4 of 64 never cost so much" in text
    said = "further than dense CAA in 4, cannot be told apart in 4, moves less far in 4; 4 have no match"
    assert text.count(said) == 1


def test_the_page_in_the_docs_is_that_of_the_figures_beside_it() -> None:
    document = json.loads(behaviours.OUT.read_text())
    assert behaviours.OUT.with_suffix(".md").read_text() == page(document)
    assert set(document["behaviours"]) <= {path.stem for path in SHIPPED.glob("*.json")}


def _cells(row: dict) -> list[Cell]:
    seeds = (0, 1) if row["arm"] == "random" else (None,)
    return [
        Cell(Setting(), row["arm"], scale, seed) for seed, scale in zip(seeds, row["scales"], strict=True)
    ]


def _grid(found: dict, cell: Cell, sign: int) -> list[float]:
    """Prices of the arm over the grid, on one side of 0."""
    mine = [row for row in found["grid"] if (row["arm"], row["seed"]) == (cell.arm, cell.seed)]
    return [row["price"] for row in mine if row["scale"] * sign > 0]


def _measured(mean: float | None = 0.1) -> dict:
    """Figures of one behaviour whose vector leads every arm by `mean`; without a lead CAA has no match."""
    figure = {"mean": 0.4, "low": 0.3, "high": 0.5, "count": 4}
    price = {"mean": 0.01, "low": 0.0, "high": 0.02, "count": 12}
    ahead = None if mean is None else {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "count": 4}
    rows = [
        {
            "sign": sign, "target": target, "arm": arm, "scales": [1.0],
            "reached": mean is not None or arm != "caa", "figures": {"price": price, "margin": figure},
            "vector_leads_by": {"margin": ahead} if ahead and arm != "vector" else {},
        }
        for sign in (1, -1) for target in behaviours.TARGETS for arm in ARMS
    ]  # fmt: skip
    return {"latents": 7, "pairs": 4, "prompts": 0, "grid": [], "rows": rows}
