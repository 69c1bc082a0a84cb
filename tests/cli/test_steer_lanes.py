"""`steer` with more than one steered lane: the zone, strips, parts, controls, lanes in full."""

from dataclasses import replace
from pathlib import Path

import pytest

from sas_core.runs.documents import dump_lanes
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Request
from sas_core.steering.spec import Control, Lane, Sampling, Steering, Term
from sas_core.steering.zone import find_zone
from tests.cli.conftest import Run
from tests.cli.test_steer import PROMPT, file_term


def test_a_sweep_is_what_find_zone_gives(
    cli: Run, tiny: list[object], vector_file: Path, engine: Engine
) -> None:
    command = ["steer", "--vector", vector_file, "--zone", "--prompt", PROMPT, "--max-new-tokens", "6", *tiny]
    steering = Steering((file_term(vector_file),))
    request = Request(PROMPT, (), Sampling(6))
    found = find_zone(engine, steering, request, (-1.0, 0.5, 2.0))

    ran = cli(*command, "--scales", "-1,0.5,2", "--json")

    assert (ran.json["lowest"], ran.json["highest"]) == (found.lowest, found.highest)
    assert ran.json["half_norm"] == pytest.approx(found.half_norm)
    for told, point in zip(ran.json["points"], found.points, strict=True):
        assert told == {
            "scale": point.scale, "share": pytest.approx(point.share),
            "perplexity": pytest.approx(point.measures.perplexity), "repeated": point.measures.repeated,
            "compression": point.measures.compression, "text": point.text, "broken": point.broken,
        }  # fmt: skip
    shown = cli(*command)
    assert shown.code == 0 and "perplexity" in shown.out
    assert "Coherent from scale" in shown.err and "at most half the typical residual's norm" in shown.err


def test_strips_parts_and_controls_are_the_lanes_of_the_engine(
    cli: Run, tiny: list[object], engine: Engine
) -> None:
    steering = Steering((Term("a", (3,), (1.0,), 6.0), Term("b", (9,), (2.0,), 4.0)), 1.5)
    ran = cli("steer", "--latent", "3:6", "--latent", "9@2:4", "--scale", "1.5", "--strip", "2,0,1",
              "--each", "alone", "--control", "random:5", "--control", "dense",
              "--control", "system:Be brief.", "--prompt", PROMPT, "--max-new-tokens", "5", "--json",
              *tiny)  # fmt: skip
    lanes = (
        Lane("unsteered"),
        Lane("steered", steering),
        Lane("c", steering, Control("random", 5)),
        Lane("d", steering, Control("dense")),
        Lane("e", system="Be brief."),
        Lane("f"),
        Lane("g", steering.at(1.0)),
        Lane("h", steering.at(2.0)),
        Lane("i", replace(steering, terms=steering.terms[:1])),
        Lane("j", replace(steering, terms=steering.terms[1:])),
    )
    done = engine.run(Request(PROMPT, lanes, Sampling(5)))
    assert [lane["token_ids"] for lane in ran.json["lanes"]] == [list(lane.token_ids) for lane in done.lanes]
    assert [lane["name"] for lane in ran.json["lanes"]] == [
        "unsteered", "steered", "random direction (seed 5)", "dense equivalent", "system prompt instead",
        "\u03bb +0", "\u03bb +1", "\u03bb +2", "only latent 3", "only latent 9",
    ]  # fmt: skip


def test_random_latents_need_an_atlas(cli: Run, tiny: list[object]) -> None:
    ran = cli("steer", "--latent", "3:6", "--control", "random-latents", "--prompt", PROMPT, *tiny)
    assert ran.code == 2 and "atlas build" in ran.err


def test_lanes_in_full_come_from_the_line_or_a_file(
    cli: Run, tiny: list[object], engine: Engine, tmp_path: Path
) -> None:
    lanes = (Lane("one", system="Be brief."), Lane("two", Steering((Term("t", (3, 9), (6.0, -4.0)),), 2.0)))
    text = dump_lanes(lanes)
    (tmp_path / "lanes.json").write_text(text, encoding="utf-8")
    done = engine.run(Request(PROMPT, lanes, Sampling(4)))
    for given in (text, tmp_path / "lanes.json"):
        ran = cli("steer", "--lanes", given, "--prompt", PROMPT, "--max-new-tokens", "4", "--json", *tiny)
        assert [(lane["name"], lane["token_ids"]) for lane in ran.json["lanes"]] == [
            (lane.name, list(lane.token_ids)) for lane in done.lanes
        ]


def test_one_lane_without_effect_is_told_beside_the_others(
    cli: Run, llama_folder: Path, dead_latent_sae: Path
) -> None:
    ran = cli("steer", "--latent", "7:-2", "--latent", "3:4", "--each", "alone", "--prompt", PROMPT,
              "--max-new-tokens", "2", "--json", "--model", llama_folder, "--sae-path", dead_latent_sae,
              "--device", "cpu")  # fmt: skip
    assert ran.code == 0 and ran.err.startswith("Warning: Lane 'only latent 7'")
    assert ["problem" in lane for lane in ran.json["lanes"]] == [False, False, True, False]
