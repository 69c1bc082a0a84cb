"""Rules are compared on training pairs alone, where a curve of prices passes the price."""

import numpy as np
import pytest

from benchmarks import rules
from benchmarks.behaviours_read import Bench
from sas_core.contrast.choice import Choice, begin_with
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.contrast.positions import resolve_position
from sas_core.contrast.ranking import rank
from sas_core.contrast.shipped import load_behaviour
from sas_core.evaluation.sweep.material import Material
from sas_core.evaluation.sweep.spec import parse_spec


def test_the_training_pairs_are_parted_and_none_that_is_held_out_is_read():
    _, material = rules.prepared("sea")
    behaviour = load_behaviour("sea")
    made_of, scored = (set(part.pairs) for part in (material.training, material.heldout))
    assert made_of | scored == set(behaviour.train.pairs) and not made_of & scored
    assert len(scored) == -(-len(behaviour.train) // 4)


def test_what_free_text_begins_with_was_among_those_compared():
    begun = begin_with("free-text")
    compared = [(r.position, r.tau, r.top_k, r.drop_shared) for r in rules.RULES.values()]
    assert (resolve_position("auto", "free-text"), begun.tau, begun.top_k, begun.drop_shared) in compared


def test_a_rule_that_keeps_no_latent_moves_nothing_and_asks_nothing_of_the_model():
    row = rules._row(None, "published", 0, None, None)
    assert row.pop("rule") == "published" and set(row.values()) == {0}


def test_each_rule_has_a_row_and_so_has_dense_caa(engine):
    pairs = PairSet("p", tuple(
        Pair(f"Tell me about the {what}.", f"The {what} is warm.", f"The {what} is late again.", n)
        for n, what in enumerate(("day", "sea", "sun", "book"), 1)
    ), "free-text")  # fmt: skip
    spec = parse_spec(rules.SPEC, changes=("behaviour=sea", "axes.scale=[-2,2]", "text.max_new_tokens=4"))
    bench = Bench(engine, spec, Material(pairs, None, pairs, None, spec.text, ()))
    rows = rules.measure(bench)
    assert [row["rule"] for row in rows] == [*rules.RULES, rules.CAA]
    assert all(row["swing"] == row["up"] - row["down"] for row in rows)
    assert {row["rule"]: row["latents"] for row in rows[:-1]} == {
        name: _built(engine, pairs, setting) for name, setting in rules.RULES.items()
    }
    assert any(row["swing"] for row in rows[:-1]) and rows[-1]["swing"]


def _built(engine, pairs, setting) -> int:
    """How many latents SAS keeps of these pairs."""
    *_, ranking = rank(engine, pairs, setting.position)
    choice = Choice(setting.tau, setting.sides, setting.top_k, setting.drop_shared)
    return len(ranking.vector(choice)[0].values)


SCALES = np.array([-4.0, -2.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("sign", "prices", "moved"),
    [
        # growing with the square of the strength, 0.05 is passed at lambda 2 itself
        (1, [0.0, 0.0, 0.05, 0.2], 0.3),
        (-1, [0.2, 0.05, 0.0, 0.0], -0.1),
        # never so dear: the strongest that was tried
        (1, [0.0, 0.0, 0.01, 0.02], 0.4),
    ],
)
def test_the_margin_is_taken_where_the_price_is_reached(sign, prices, moved):
    margins = np.array([-0.2, -0.1, 0.3, 0.4])
    assert rules._at_price(SCALES, np.array(prices), margins, sign)[1] == pytest.approx(moved)


def test_the_page_marks_the_largest_swing_of_each_behaviour():
    rows = [
        {
            "rule": rule, "latents": latents, "up": swing, "down": 0.0, "swing": swing,
            "probe_up": 1.0 - swing, "probe_down": 0.0, "probe_swing": 1.0 - swing,
        }
        for rule, latents, swing in (("published", 3, 0.1), ("kept", 2, 0.2), (rules.CAA, None, 0.3))
    ]  # fmt: skip
    document = {"model": "m", "sae": {"sha256": "0" * 64}, "behaviours": {"sea": {"rows": rows}}}
    found = rules.page(document)
    assert "| sea | published | 3 | +0.100 | +0.000 | 0.100 | +0.90 | +0.00 | **0.900** |" in found
    assert "| sea | kept | 2 | +0.200 | +0.000 | **0.200** | +0.80 | +0.00 | 0.800 |" in found
    # beside them, not among those that are chosen from
    assert "| sea | dense CAA |  | +0.300 | +0.000 | 0.300 | +0.70 | +0.00 | 0.700 |" in found
