"""The page Evaluate on a tiny engine: set up, run, stop, go on, come back to a sweep."""

import json
from pathlib import Path

import pytest

from pages.shared import loaded
from sas_core.evaluation.sweep.cells import count_cells
from sas_core.evaluation.sweep.spec import parse_spec
from sas_core.vectors.build import latents_file
from tests.pages.app import held, link, press, shown, words
from tests.pages.evaluate import HELDOUT, TRAIN, page, paste, ran

pytestmark = pytest.mark.usefixtures("tiny")


def used(at):
    return parse_spec(at.text_area(key="evaluate.spec").value)


def sentence(at):
    """Why Run cannot be pressed."""
    assert at.button(key="evaluate.run").disabled
    return next(m.value for m in at.markdown if m.value.startswith(":material/error:"))


@pytest.mark.parametrize("script", ["app.py", "pages/evaluation.py"])
def test_the_first_click_can_be_run(script):
    at = page(script)
    assert not at.button(key="evaluate.run").disabled
    asked = used(at)
    assert (asked.behaviour, asked.measures, asked.controls) == (
        "sea",
        ("margin", "price"),
        ("random-matched", "dense"),
    )
    assert f"{count_cells(asked)} cells" in words(at)
    assert link(at, "sweep") is None


def test_the_form_and_its_spec_say_the_same():
    at = page()
    at.text_input(key="evaluate.scale").set_value("-1, 3 \u22125")
    at.multiselect(key="evaluate.vary.pairs").set_value(["tau", "sides"])
    at.multiselect(key="evaluate.controls.pairs").set_value(["random", "caa"])
    at.number_input(key="evaluate.limit").set_value(6)
    shown(at)
    at.text_input(key="evaluate.vary.tau").set_value("0.2 0.6")
    asked = used(shown(at))
    assert asked.axes.scale == (-5, -1, 0, 3) and asked.axes.tau == (0.2, 0.6)
    assert asked.axes.sides == ("both", "positive", "negative")
    assert (asked.controls, asked.limit, asked.preset) == (("random", "caa"), 6, "custom")
    assert f"{count_cells(asked)} cells" in words(at)


def test_how_many_latents_and_what_becomes_of_shared_ones_is_left_to_the_pairs_unless_it_is_said():
    at = page()
    assert (used(at).axes.top_k, used(at).axes.drop_shared) == (("auto",), ("auto",))
    at.multiselect(key="evaluate.vary.pairs").set_value(["top_k", "drop_shared"])
    shown(at)
    at.text_input(key="evaluate.vary.top_k").set_value("5 all auto")
    asked = used(shown(at))
    assert (asked.axes.top_k, asked.axes.drop_shared) == ((5, None, "auto"), (True, False))
    at.text_input(key="evaluate.vary.top_k").set_value("5 many")
    assert "'many' is no number" in sentence(shown(at)).replace("\\", "")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"scale": "1 two"}, "'two' is no number"),
        ({"scale": "0"}, "strength other than 0"),
        ({"scale": " ".join(map(str, range(1, 1300)))}, "at most 5,000 are run"),
        ({"controls.pairs": ["system"]}, "needs two prompts, for and against"),
        ({"measure.text": True, "text.judge": True}, "No judge is set"),
        ({"measure.margin": False, "measure.price": False}, "Nothing is measured yet"),
        ({"source": "Saved vector"}, "no vector of the loaded model"),
        ({"source": "My own"}, "Pairs to build from: choose a file"),
    ],
)
def test_what_cannot_be_run_is_one_sentence_beside_the_button(state, said):
    assert said in sentence(page(**state)).replace("\\", "")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"axes": {"tau": [2]}}, "axes.tau.0: input should be less than or equal to 1"),
        ({"preset": "gemma-2-2b"}, "is for the preset 'gemma-2-2b' and 'custom' is loaded"),
        ({"heldout": "/nowhere.jsonl"}, "heldout: /nowhere.jsonl cannot be read"),
        ({"measures": ["mcq"]}, "mcq asks questions with answers (A) and (B)"),
        ({"axes": {"sae": ["other/one"]}}, "swept from the command line"),
        ({"axes": {"tau": [i / 1000 for i in range(1000)], "scale": list(range(1, 99))}}, "at most 5,000"),
    ],
)
def test_a_pasted_spec_with_a_fault_says_which_field(spec, changed, said):
    at = paste(page(), spec(**changed))
    assert said in sentence(at).replace("\\", "")
    press(at, "evaluate.to_form")
    assert used(at).behaviour == "sea" and not at.button(key="evaluate.run").disabled


def test_only_vectors_of_the_loaded_model_are_offered_and_they_need_held_out_pairs(engine):
    shelf = loaded.get_shelf()
    mine = latents_file(engine, "waves", {3: 6.0, 11: -2.0}, verify=False)
    shelf.save(mine, "built")
    other = mine.sae.model_copy(update={"sha256": "0" * 64})
    shelf.save(mine.model_copy(update={"name": "foreign", "sae": other}), "imported")
    at = page(source="Saved vector")
    assert at.selectbox(key="evaluate.vector").options == ["waves"]
    assert "Held-out pairs: choose a file" in sentence(at).replace("\\", "")


def test_uploaded_pairs_are_kept_and_named_in_the_spec(tmp_path):
    at = page(source="My own")
    for key, rows in (("pairs", TRAIN), ("heldout", HELDOUT)):
        csv = "\n".join(
            ["prompt,positive,negative", *(",".join(f'"{cell}"' for cell in row) for row in rows)]
        )
        at.file_uploader(key=f"evaluate.file.{key}").upload(f"{key}.csv", csv.encode(), "text/csv")
        shown(at)
    asked = used(at)
    assert Path(asked.pairs).read_text().count("\n") == len(TRAIN)
    assert Path(asked.heldout).is_relative_to(tmp_path) and not at.button(key="evaluate.run").disabled


def test_held_out_pairs_that_it_was_built_from_are_refused():
    at = page(source="My own")
    csv = "\n".join(["prompt,positive,negative", *(",".join(f'"{cell}"' for cell in row) for row in TRAIN)])
    for key in ("pairs", "heldout"):
        at.file_uploader(key=f"evaluate.file.{key}").upload(f"{key}.csv", csv.encode(), "text/csv")
        shown(at)
    assert "the ones it was built from" in sentence(at)


def test_a_sweep_runs_and_its_answer_its_cells_and_its_link_are_there(spec):
    at = ran(paste(page(), spec()))
    key = link(at, "sweep")
    result = loaded.get_sweep_book().result(key)
    assert result.complete and key == loaded.get_sweep_job().key
    (said,) = [m.value for m in at.markdown if "chosen on the dev half" in m.value and "+2" in m.value]
    assert "completion margin" in said
    assert len(at.get("plotly_chart")) == 2, "the curves and the units of one cell"
    again = page(query={"sweep": key})
    assert said in [m.value for m in again.markdown]


def test_a_sweep_is_stopped_seen_by_others_and_gone_on_with(engine, spec):
    at, job = paste(page(), spec()), loaded.get_sweep_job()
    with held(engine):
        press(at, "evaluate.run")
        assert at.button(key="evaluate.run").disabled
        other = page()
        assert other.button(key="evaluate.stop") and other.button(key="evaluate.run").disabled
        press(other, "evaluate.stop")
    assert job.wait(60) and job.state == "stopped"
    assert "Stopped after" in words(shown(at))
    press(at, "evaluate.resume")
    assert job.wait(60) and job.state == "done"
    assert "Stopped after" not in words(shown(at))


def test_a_sweep_that_breaks_off_says_why_and_keeps_what_is_measured(engine, spec, monkeypatch):
    from sas_core.errors import OutOfMemory
    from sas_core.evaluation.sweep import tasks

    measured = tasks.Batch.margin

    def once(self, pair, form, ticket):
        if pair.positive == HELDOUT[2][1]:
            raise OutOfMemory("There is no room for so many columns; take values off an axis.")
        return measured(self, pair, form, ticket)

    monkeypatch.setattr(tasks.Batch, "margin", once)
    at = paste(page(), spec())
    press(at, "evaluate.run")
    assert loaded.get_sweep_job().wait(60)
    shown(at)
    assert "no room for so many columns" in at.error[0].value
    assert "Stopped after 2 of 4 steps" in words(at)
    press(at, "evaluate.dismiss")
    assert not at.error


def test_earlier_sweeps_are_opened_reused_and_deleted(spec):
    at = ran(paste(page(), spec(name="*first* <b>")))
    first = link(at, "sweep")
    ran(paste(at, spec(name="second", split_seed=1)))
    second = link(at, "sweep")
    assert second != first
    press(at, f"evaluate.open.{first}")
    assert link(at, "sweep") == first and "\\*first\\* \\<b\\>" in words(at)
    press(at, f"evaluate.again.{second}")
    assert used(at).split_seed == 1
    press(at, f"evaluate.delete.{first}")
    assert link(at, "sweep") is None
    assert [line.key for line in loaded.get_sweep_book().lines()] == [second]


def test_a_sweep_of_another_vector_of_that_name_is_not_gone_on_with(engine, spec):
    shelf = loaded.get_shelf()
    shelf.save(latents_file(engine, "waves", {3: 6.0}, verify=False), "built")
    fields = json.loads(spec(vector="waves", axes={"scale": [-2, 2]}))
    del fields["pairs"]
    at, job = paste(page(), json.dumps(fields)), loaded.get_sweep_job()
    with held(engine):
        press(at, "evaluate.run")
        job.stop()
    assert job.wait(60)
    shelf.save(latents_file(engine, "waves", {4: 6.0}, verify=False), "built", replace=True)
    press(shown(at), "evaluate.resume")
    assert "begun with another model, dictionary, vector or pairs" in at.error[0].value
    assert job.state == "stopped"


def test_a_link_to_no_sweep_says_so_and_can_be_closed():
    at = page(query={"sweep": "<b>gone"})
    assert "There is no sweep" in at.error[0].value
    press(at, "evaluate.close")
    assert not at.error and link(at, "sweep") is None


def test_a_damaged_file_of_sweeps_is_one_sentence(tmp_path):
    (tmp_path / "sweeps.db").write_bytes(b"no database" * 500)
    at = page(query={"sweep": "a" * 64})
    assert len(at.error) == 1 and "sweeps.db" in at.error[0].value.replace("\\", "")
    press(at, "evaluate.run")
    assert all("sweeps.db" in e.value.replace("\\", "") for e in at.error)
