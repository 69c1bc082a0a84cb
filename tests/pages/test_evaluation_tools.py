"""Overlap, Together and Fewest latents on a tiny engine, drawn by themselves under the header."""

import json
from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.shared import loaded
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.contrast.shipped import load_behaviour
from sas_core.evaluation import heldout as where
from sas_core.evaluation.composition.measure import evaluate_composition
from sas_core.evaluation.subset.search import smallest_subset
from sas_core.vectors.build import latents_file, steering_of
from sas_core.vectors.fields import PairsPart
from tests.evaluation.plain import plain_change
from tests.pages.app import chosen, held, shown

SCRIPT = """
from pages.shared.evaluation.in_steer import follow
from pages.shared.evaluation.tools.page import draw_tools
from pages.shared.header import open_page
from pages.shared.latent.card import draw_latent_dialog

follow()
engine = open_page("Evaluate")
draw_latent_dialog(engine)
draw_tools(engine)
"""
SIDES = (
    ("Tell me about your day.", "We walked along the warm river.", "The train was late."),
    ("What is the sea like?", "It is low and warm in autumn.", "It is late this morning again."),
    ("Tell me more.", "In most years the sun is kind.", "In winter the book is late."),
    ("And then?", "The river is wide.", "The harvest begins in autumn."),
)
CALM = {3: 6.0, 11: -2.0, 20: 1.0}
WILD = {3: 2.0, 11: 4.0, 30: 5.0}

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def heldout(engine, shelf, monkeypatch):
    """Four short held-out pairs for each of the two contrasts, which its own vector moves the right way."""
    found = {"sea": _moved(engine, "sea", shelf[0]), "formality": _moved(engine, "formality", shelf[1])}

    def few(name):
        return replace(load_behaviour(name), heldout=found[name])

    monkeypatch.setattr(where, "load_behaviour", few)
    return found


def _moved(engine, name, vector):
    rows = [Pair(*side, row) for row, side in enumerate(SIDES, 1)]
    up = plain_change(engine, PairSet(name, tuple(rows)), steering_of(vector, 2.0))
    turned = (p if rise > 0 else Pair(p.prompt, p.negative, p.positive, p.row)
              for p, rise in zip(rows, up, strict=True))  # fmt: skip
    return PairSet(name, tuple(turned))


@pytest.fixture
def shelf(engine):
    """Two vectors that say they come from the shipped contrasts sea and formality."""

    def saved(name, values, behaviour):
        train = load_behaviour(behaviour).train
        part = PairsPart(name=behaviour, count=len(train), sha256=train.sha256)
        made = latents_file(engine, name, values, labels={3: "<b>waves</b>"}, verify=False)
        made = made.model_copy(update={"pairs": part})
        loaded.get_shelf().save(made, "built")
        return made

    return saved("calm", CALM, "sea"), saved("wild one", WILD, "formality")


def page(tool="Overlap", **state):
    named = {f"evaluate.tools.{name}": value for name, value in {"kind": tool, **state}.items()}
    return shown(chosen(AppTest.from_string(SCRIPT, default_timeout=60), named))


def words(at):
    kinds = ("text", "markdown", "caption", "success", "error", "info")
    return "\n".join(str(e.value) for kind in kinds for e in at.get(kind)).replace("\\", "")


def press(at, key):
    at.button(key=f"evaluate.tools.{key}").click()
    return shown(at)


def ran(at, tool):
    press(at, f"{tool}.run")
    job = loaded.get_tool_job()
    assert job.wait(60) and job.state == "done", job.error
    return shown(at)


def numbers(at, place=0):
    """The written numbers of a matrix, by row and column."""
    spec = json.loads(at.get("plotly_chart")[place].proto.spec)
    (heat,) = [trace for trace in spec["data"] if trace["type"] == "heatmap"]
    return heat["z"]


@pytest.mark.parametrize("tool", ["Overlap", "Together"])
def test_one_vector_is_too_few_and_it_says_so(engine, tool):
    loaded.get_shelf().save(latents_file(engine, "calm", CALM, verify=False), "built")
    assert "the shelf has fewer" in words(page(tool))


def test_overlap_is_there_at_once_with_the_first_two_vectors(shelf):
    at = page()
    assert at.multiselect(key="evaluate.tools.overlap.vectors").value == ["calm", "wild one"]
    assert numbers(at) == [[1.0, 0.5], [0.5, 1.0]], "2 latents of both, 4 of either"
    at.segmented_control(key="evaluate.tools.overlap.figure").set_value("signed_jaccard")
    assert numbers(shown(at))[0][1] == pytest.approx(1 / 5), "latent 11 is pulled both ways"
    at.segmented_control(key="evaluate.tools.overlap.figure").set_value("latent_cosine")
    dot, norms = 6 * 2 - 2 * 4, (36 + 4 + 1) ** 0.5 * (4 + 16 + 25) ** 0.5
    assert numbers(shown(at))[0][1] == pytest.approx(dot / norms)


def test_overlap_lists_counts_and_the_shared_latents_with_their_signs(shelf):
    counts, shared = (table.value for table in page().dataframe)
    assert counts[["nonzero", "positive", "negative"]].to_numpy().tolist() == [[3, 2, 1], [3, 3, 0]]
    assert counts["participation"].tolist() == pytest.approx([81 / 41, 121 / 45])
    assert shared["latent"].tolist() == [3, 11]
    assert shared["signs"].tolist() == ["same", "opposite"]
    assert shared["value in wild one"].tolist() == [2.0, 4.0]
    assert shared["label"].tolist() == ["<b>waves</b>", ""]


def test_the_command_names_the_vectors_as_a_shell_takes_them(shelf):
    at = page()
    assert at.code[0].value.startswith(
        "python -m sas_core evaluate anatomy --vector calm --vector 'wild one'"
    )
    assert "--model tiny" in at.code[0].value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 two", "calm: 'two' is no number"),
        ("0", "strength other than 0"),
        (" ".join(map(str, range(1, 400))), "at most 500 are run"),
    ],
)
def test_strengths_that_cannot_be_run_are_one_sentence_beside_the_button(shelf, text, said):
    at = page("Together", **{"together.scale.calm": text})
    assert at.button(key="evaluate.tools.together.run").disabled and said in words(at)


def test_together_shows_what_the_function_finds(engine, shelf, heldout):
    at = page("Together", **{"together.scale.calm": "\u22122, 2", "together.scale.wild one": "2"})
    assert "6 combinations, 0 counted" in words(at)
    ran(at, "together")
    *_, report = evaluate_composition(engine, shelf, heldout, ((-2, 2), (2,)))
    for n in range(2):
        wanted = [[point.value for point in row] for row in report.surface(n)]
        assert _close(numbers(at, n), wanted)
    alone = [[found.value for found in row] for row in report.off_target((2, 2))]
    assert _close(numbers(at, 2), alone)
    assert "sum of what each" in words(at)
    assert "--grid calm=-2,0,2 --grid 'wild one=0,2'" in at.code[0].value


def _close(found, wanted):
    return all(row == pytest.approx(other, abs=1e-5) for row, other in zip(found, wanted, strict=True))


def test_a_combination_is_opened_in_steer_with_both_vectors(shelf, heldout, monkeypatch):
    went = []
    monkeypatch.setattr(st, "switch_page", went.append)
    at = ran(page("Together", **{"together.scale.wild one": "3"}), "together")
    at.selectbox(key="evaluate.tools.together.at.0").select(-2.0)
    shown(at)
    press(at, "in_steer")
    assert [(item.label, item.strength) for item in at.session_state["tray"]] == [
        ("calm", -2.0), ("wild one", 3.0),
    ]  # fmt: skip
    assert at.session_state["scale"] == 1.0
    assert went == ["pages/steering.py"]


def test_a_run_is_stopped_and_seen_by_others(engine, shelf, heldout):
    at, job = page("Together"), loaded.get_tool_job()
    with held(engine):
        press(at, "together.run")
        other = page("Fewest latents")
        assert "Another tool is at work" in json.dumps([p.proto.text for p in other.get("progress")])
        assert other.button(key="evaluate.tools.subset.run").disabled
        press(other, "stop")
    assert job.wait(60) and job.state == "stopped"
    assert "Stopped before the end" in words(shown(at))
    ran(at, "together")
    assert "Stopped" not in words(at)


def test_the_fewest_latents_are_those_that_the_function_finds_and_can_be_saved(engine, shelf, heldout):
    at = ran(page("Fewest latents"), "subset")
    *_, report = smallest_subset(engine, shelf[0], heldout["sea"], 2.0)
    table = at.dataframe[0].value
    assert table["latent"].tolist() == [latent.index for latent in report.latents]
    assert table["alone"].tolist() == pytest.approx([one.alone.value for one in report.latents], abs=1e-5)
    assert table["output_score"].between(0, 1).all()
    assert f"{len(report.latents)} of 3 latents keep" in words(at)
    assert "evaluate subset --vector calm --scale 2 --keep 0.9" in at.code[0].value
    press(at, "subset.save")
    saved = loaded.get_shelf().get("calm subset")
    assert {f.index: f.value for f in saved.features} == report.values()
    assert "Saved as calm subset" in words(at)


def test_an_effect_of_the_wrong_direction_is_one_sentence_that_can_be_dismissed(shelf, heldout, monkeypatch):
    turned = [Pair(p.prompt, p.negative, p.positive, p.row) for p in heldout["sea"].pairs]
    monkeypatch.setitem(heldout, "sea", PairSet("sea", tuple(turned)))
    at = press(page("Fewest latents"), "subset.run")
    assert loaded.get_tool_job().wait(60)
    assert "no effect to keep" in shown(at).error[0].value
    assert not press(at, "dismiss").error


def test_a_vector_without_held_out_pairs_is_not_offered_for_pruning(engine):
    loaded.get_shelf().save(latents_file(engine, "own", CALM, verify=False), "built")
    assert "No saved vector of the loaded model was built from a shipped contrast" in words(
        page("Fewest latents")
    )


def test_a_result_of_another_dictionary_is_not_shown(shelf, heldout):
    ran(page("Together"), "together")
    job = loaded.get_tool_job()
    kept = job.finished("together")
    job.start("together", replace(kept.asked, sae="0" * 64), (report for report in (kept.report,)))
    assert job.wait(60)
    assert not page("Together").get("plotly_chart")
