"""A sweep on the page Evaluate: its table, one cell read, opened in Steer, taken away."""

import json

import pytest

from pages.shared import loaded
from sas_core.evaluation.sweep.cells import Cell, Setting
from sas_core.vectors.build import latents_file
from tests.pages.app import link, press, shown, words
from tests.pages.evaluate import TINY, page, paste, ran

pytestmark = pytest.mark.usefixtures("tiny")
# what the spec of these tests builds: free text, and nothing said of shared latents
SETTING = Setting(tau=1.0, top_k=32, drop_shared=False)


def picker(at, label):
    """One of the select boxes that choose a cell."""
    (found,) = [box for box in at.selectbox if box.label == label]
    return found


def test_the_table_holds_every_cell_and_a_row_opens_its_cell(spec):
    at = ran(paste(page(), spec()))
    at.segmented_control(key="evaluate.plot.kind").set_value("Table")
    rows = shown(at).get_by_key("evaluate.table").value
    outcomes = loaded.get_sweep_book().result(link(at, "sweep")).of("margin")
    assert rows["change"].tolist() == [o.change for o in outcomes]
    at.session_state["evaluate.cell"] = Cell(outcomes[0].setting, "dense", -2.0).as_dict()
    shown(at)
    assert (picker(at, "Arm").value, picker(at, "Strength \u03bb").value) == (
        "dense",
        -2.0,
    )


def test_the_pickers_choose_a_cell_and_a_strange_one_falls_back(spec):
    at = ran(paste(page(), spec()))
    assert picker(at, "Strength \u03bb").value == 2.0
    picker(at, "Arm").select("dense")
    shown(at)
    picker(at, "Strength \u03bb").select(-2.0)
    shown(at)
    assert at.session_state["evaluate.cell"] == Cell(SETTING, "dense", -2.0).as_dict()
    at.session_state["evaluate.cell"] = {"arm": "caa", "scale": 7.0}
    assert picker(shown(at), "Strength \u03bb").value == 2.0


def test_written_texts_stand_beside_the_unsteered_as_they_are(spec):
    text = {"prompts": ["Tell me <b>more</b> of *it*."], "max_new_tokens": 3, "probe": False}
    at = ran(paste(page(), spec(measures=["text"], text=text)))
    book, key = loaded.get_sweep_book(), link(at, "sweep")
    (one,) = book.texts(key, SETTING, "vector", 2.0)
    at.session_state["evaluate.cell"] = Cell(one.setting, "vector", 2.0).as_dict()
    shown(at)
    shown_prompts = [c.value for c in at.caption if "Tell me" in c.value]
    assert shown_prompts == ["Tell me \\<b\\>more</b\\> of \\*it\\*\\.".replace("</b", "\\</b")]
    markup = "\n".join(e.proto.body for e in at.get("html"))
    assert "unsteered" in markup and "<b>" not in markup


def test_a_cell_is_opened_in_steer_with_its_saved_vector_and_strength(engine, spec):
    loaded.get_shelf().save(latents_file(engine, "waves", {3: 6.0, 11: -2.0}, verify=False), "built")
    fields = json.loads(spec(vector="waves", axes={"scale": [-2, 1.5]}))
    del fields["pairs"]
    at = ran(paste(page("app.py"), json.dumps(fields)))
    at.session_state["evaluate.cell"] = Cell(Setting(), "dense", 1.5).as_dict()
    shown(at)
    press(at, "evaluate.in_steer")
    (item,) = at.session_state["tray"]
    assert (item.label, item.strength, item.indices) == ("waves", 1.5, (3, 11))
    assert at.session_state["steer.controls"] == ["dense"] and at.session_state["scale"] == 1.0
    assert at.title[0].value == "Steer"


def test_a_vector_that_was_built_is_saved_before_it_is_opened(spec):
    at = ran(paste(page("app.py"), spec()))
    press(at, "evaluate.in_steer")
    assert "not on the shelf yet" in words(at)
    at.text_input(key="evaluate.save_name").set_value("warm and low")
    press(at, "evaluate.save")
    vector = loaded.get_shelf().get("warm and low")
    (item,) = at.session_state["tray"]
    assert (item.label, item.indices) == ("warm and low", tuple(f.index for f in vector.features))
    assert (item.strength, vector.tau, at.title[0].value) == (2.0, 1.0, "Steer")
    again = page("app.py", open=loaded.get_sweep_job().key)
    press(again, "evaluate.in_steer")
    assert again.session_state["tray"].items[0].label == "warm and low", "it is found by its latents"


def test_a_cell_that_steer_cannot_show_says_why(spec):
    at = ran(paste(page(), spec(axes={**TINY, "error_term": [False]})))
    assert at.button(key="evaluate.in_steer").disabled
    assert "error term" in at.button(key="evaluate.in_steer").help
    picker(at, "Strength \u03bb").select(0.0)
    assert "unsteered model" in shown(at).button(key="evaluate.in_steer").help


def test_everything_can_be_taken_away(spec):
    at = ran(paste(page(), spec()))
    buttons = {b.proto.label for b in at.get("download_button")}
    assert {"Report", "Cells", "Pair by pair", "JSON", "Spec", "Download as HTML"} <= buttons


def test_a_setting_without_latents_says_so_and_the_rest_is_drawn(spec):
    at = ran(
        paste(
            page(),
            spec(
                axes={
                    "tau": [0.5, 1.0],
                    "scale": [-2, 2],
                    "position": ["completion-mean"],
                    "drop_shared": [True],
                }
            ),
        )
    )
    assert "No latent is left at tau 0.5" in words(at).replace("\\", "")
    for kind in ("Heat map", "Latents", "Table", "Curves"):
        at.segmented_control(key="evaluate.plot.kind").set_value(kind)
        shown(at)
    empty = Setting(tau=0.5, position="completion-mean")
    at.session_state["evaluate.cell"] = Cell(empty, "vector", 2.0).as_dict()
    assert "No latent is left" in words(shown(at))
