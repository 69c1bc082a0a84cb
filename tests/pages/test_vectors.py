"""The Vectors page by itself and through app.py, on a tiny engine put in at the one seam."""

import json
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.shared import loaded
from sas_core.steering.tray import Tray
from sas_core.vectors.build import latents_file
from sas_core.vectors.schema import dump_vector, parse_vector
from sas_core.vectors.shelf import Shelf

ROOT = Path(__file__).resolve().parents[2]
TINY = loaded.EngineChoice("custom", "tiny-llama")


@pytest.fixture
def shelf(tiny):
    """An empty shelf, as pages open it."""
    return loaded.get_shelf()


@pytest.fixture
def vector(engine):
    return latents_file(engine, "waves", {3: 6.0, 11: -2.0, 20: 5.0}, strength=2.0)


def opened(view="Shelf", link=None, **state):
    app = AppTest.from_file(str(ROOT / "pages" / "vectors.py"), default_timeout=60)
    app.session_state["engine_choice"] = TINY
    app.session_state["vectors.view"] = view
    for key, value in state.items():
        app.session_state[key] = value
    if link:
        app.query_params["vector"] = link
    app.run()
    assert not app.exception
    return app


def press(app, key):
    app.button(key=key).click().run()
    assert not app.exception
    return app


def words(app):
    kinds = ("text", "markdown", "caption", "success", "warning", "error", "info", "subheader")
    return "\n".join(element.value for kind in kinds for element in app.get(kind))


def names(shelf):
    return sorted(item.name for item in shelf.list())


def changed(vector, **fields):
    """The file with some top-level or nested fields changed, through its text."""
    data = json.loads(dump_vector(vector))
    for path, value in fields.items():
        part, _, field = path.partition("__")
        if field:
            data[part][field] = value
        else:
            data[part] = value
    return parse_vector(json.dumps(data))


def test_an_empty_shelf_says_so_and_offers_contrast(shelf):
    app = opened()
    assert "Nothing is saved yet" in words(app)
    assert [b.label for b in app.button if b.key == "vectors.to_contrast"] == ["Build one on Contrast"]


def test_the_page_runs_through_the_router(shelf, vector):
    shelf.save(vector, "built")
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.session_state["engine_choice"] = TINY
    app.session_state["tray"] = Tray()
    app.switch_page("pages/vectors.py").run()
    assert not app.exception
    assert "waves" in words(app)


def test_a_link_selects_its_vector(shelf, vector):
    for name in ("waves", "other"):
        shelf.save(vector.model_copy(update={"name": name}), "built")
    for name in ("waves", "other"):
        assert [s.value for s in opened(link=name).subheader] == [name]


def test_a_link_to_a_vector_that_is_gone_says_so(shelf, vector):
    shelf.save(vector, "built")
    app = opened(link="gone")
    assert "none of that name" in words(app)
    assert [s.value for s in app.subheader] == ["waves"]


def test_adding_to_the_tray_takes_the_own_strength_and_notes_the_use(shelf, vector):
    shelf.save(vector, "built")
    app = press(opened(), "vectors.add.waves")
    (item,) = app.session_state["tray"]
    assert (item.key, item.strength, dict(zip(item.indices, item.values, strict=True))) == (
        "vector:waves", 2.0, {3: 6.0, 11: -2.0, 20: 5.0},
    )  # fmt: skip
    assert shelf.list()[0].last_used is not None
    assert app.button(key="vectors.add.waves").disabled


def test_a_vector_of_another_sae_is_shown_with_the_reason_and_cannot_be_added(shelf, vector):
    shelf.save(changed(vector, sae__sha256="f" * 64), "imported")
    app = opened()
    assert "Cannot be steered with now. The vector names latents of other SAE weights" in words(app)
    assert app.button(key="vectors.add.waves").disabled
    assert app.dataframe[0].value["fits"].tolist() == ["no: another SAE"]


def test_deleting_can_be_undone_from_a_line_that_stays(shelf, vector):
    shelf.save(vector, "built")
    app = press(opened(), "vectors.delete.waves")
    assert names(shelf) == []
    app.run()
    assert "was taken off the shelf" in words(app)
    press(app, "vectors.undo")
    assert names(shelf) == ["waves"]
    assert "was taken off the shelf" not in words(app)


def test_renaming_renames_the_tray_item_too(shelf, vector):
    shelf.save(vector, "built")
    app = press(opened(), "vectors.add.waves")
    app.text_input(key="vectors.name.waves").set_value("surf").run()
    press(app, "vectors.rename.waves")
    assert names(shelf) == ["surf"]
    assert [(i.key, i.label) for i in app.session_state["tray"]] == [("vector:surf", "surf")]


def test_a_taken_name_is_refused_where_it_was_typed(shelf, vector):
    for name in ("waves", "other"):
        shelf.save(vector.model_copy(update={"name": name}), "built")
    app = opened(link="waves")
    app.text_input(key="vectors.name.waves").set_value("other").run()
    press(app, "vectors.rename.waves")
    assert "already a vector named" in app.error[0].value
    assert app.text_input(key="vectors.name.waves").value == "other"
    assert names(shelf) == ["other", "waves"]


def test_note_and_strength_are_kept(shelf, vector):
    shelf.save(vector, "built")
    app = opened()
    app.text_area(key="vectors.note.waves").set_value("two\nlines *plain*")
    app.number_input(key="vectors.strength.waves").set_value(1.25).run()
    press(app, "vectors.edit.waves")
    stored = shelf.get("waves")
    assert (stored.note, stored.strength) == ("two\nlines *plain*", 1.25)
    assert "two\nlines *plain*" in [text.value for text in app.text]


def test_reproduce_counts_the_tokens_that_agree(shelf, vector):
    shelf.save(vector, "built")
    app = press(opened(**{"vectors.side": "Recorded answer"}), "vectors.reproduce.waves")
    total = len(vector.verify.unsteered) + len(vector.verify.steered)
    assert [s.value for s in app.success] == [f"Reproduced {total} of {total} tokens."]


def test_a_program_is_shown_for_transformers(shelf, vector):
    shelf.save(vector, "built")
    app = opened(**{"vectors.side": "Export", "vectors.consumer": "Python with transformers"})
    compile(app.code[0].value, "program", "exec")
    assert "waves.json" in app.code[0].value


def test_two_vectors_are_composed_and_saved_under_a_new_name(shelf, vector):
    shelf.save(vector, "built")
    features = [{"index": 3, "value": -1.0}, {"index": 5, "value": 1.0}]
    shelf.save(changed(vector, name="wind", features=features), "built")
    app = opened("Compose")
    app.multiselect(key="vectors.chosen").set_value(["waves", "wind"]).run()
    app.number_input(key="vectors.weight.wind").set_value(12.0).run()
    assert "share 1 latent: 0 pull the same way, 1 against each other" in words(app)
    press(app, "vectors.save")
    assert "Saved as waves" in app.success[0].value
    made = shelf.get("waves + wind")
    # 2 x 6 - 12 x 1 is zero at latent 3: dropped
    assert {f.index: f.value for f in made.features} == {5: 12.0, 20: 10.0, 11: -4.0}
    assert (made.method, made.note) == ("latents", "Composed: 2 x waves + 12 x wind.")
    assert {i.name: i.origin for i in shelf.list()}["waves + wind"] == "composed"


def test_a_taken_name_is_refused_before_anything_is_computed(shelf, vector):
    for name in ("waves", "other"):
        shelf.save(vector.model_copy(update={"name": name}), "built")
    app = opened("Compose")
    app.multiselect(key="vectors.chosen").set_value(["waves", "other"]).run()
    app.text_input(key="vectors.new.waves + other").set_value("other")
    press(app, "vectors.save")
    assert "already a vector named" in app.error[0].value
    assert names(shelf) == ["other", "waves"]


def test_the_tray_is_saved_as_one_vector(shelf, vector):
    shelf.save(vector, "built")
    app = press(opened(), "vectors.add.waves")
    app.session_state["vectors.view"] = "Compose"
    app.session_state["vectors.source"] = "The tray as it is now"
    press(app.run(), "vectors.save")
    made = shelf.get("my tray")
    assert {f.index: f.value for f in made.features} == {3: 12.0, 11: -4.0, 20: 10.0}


def pasted(app, text):
    app.text_area(key="vectors.pasted.0").set_value(text).run()
    assert not app.exception
    return app


def test_a_pasted_file_is_previewed_imported_and_reproduced(shelf, vector):
    app = pasted(opened("Import"), dump_vector(vector))
    assert "Made for exactly what is loaded." in words(app)
    press(app, "vectors.import")
    assert names(shelf) == ["waves"]
    total = len(vector.verify.unsteered) + len(vector.verify.steered)
    assert f"Reproduced {total} of {total} tokens." in words(app)
    press(app, "vectors.see")
    assert [s.value for s in app.subheader] == ["waves"]


def test_an_uploaded_file_is_read_too(shelf, vector):
    app = opened("Import")
    app.file_uploader(key="vectors.file.0").upload("v.json", dump_vector(vector).encode(), "application/json")
    app.run()
    assert "Made for exactly what is loaded." in words(app)


def test_a_faulty_file_is_one_sentence_and_the_text_stays(shelf):
    app = pasted(opened("Import"), '{"format": "other"}')
    assert [e.value.count(".") for e in app.error] != []
    assert "sparse" in app.error[0].value
    assert app.text_area(key="vectors.pasted.0").value == '{"format": "other"}'
    assert names(shelf) == []


def test_a_taken_name_is_imported_under_a_free_one(shelf, vector):
    shelf.save(vector, "built")
    app = pasted(opened("Import"), dump_vector(changed(vector, note="second")))
    press(app, "vectors.import")
    assert names(shelf) == ["waves", "waves-2"]
    assert shelf.get("waves").note == ""


def test_a_vector_of_another_sae_can_be_kept_and_every_difference_is_told(shelf, vector):
    other = changed(vector, sae__sha256="f" * 64, model__dtype="bfloat16")
    app = pasted(opened("Import"), dump_vector(other))
    said = words(app)
    assert "can be kept on the shelf, but not steered with now" in said
    assert "other SAE weights" in said and "built in bfloat16" in said
    press(app, "vectors.import")
    assert names(shelf) == ["waves"]
    assert "was not reproduced here" in words(app)


def test_a_damaged_shelf_is_set_aside_at_a_button_and_a_fresh_one_opens(shelf, tmp_path):
    shelf.close()
    st.cache_resource.clear()
    for file in tmp_path.glob("shelf.db*"):
        file.unlink()
    (tmp_path / "shelf.db").write_bytes(b"not a database" * 200)
    app = opened()
    assert "is damaged" in app.error[0].value.replace("\\", "")
    press(app, "vectors.set_aside")
    assert "Nothing is saved yet" in words(app)
    assert [f.read_bytes()[:14] for f in tmp_path.glob("shelf.db.corrupt-*")] == [b"not a database"]
    assert Shelf(tmp_path / "shelf.db").list() == ()


def test_a_name_with_markup_is_shown_as_written(shelf, vector):
    shelf.save(vector.model_copy(update={"name": "<img src=x> *a* $b$"}), "built")
    (title,) = opened().subheader
    assert "\\<img" in title.value and "\\*a\\*" in title.value and "\\$b\\$" in title.value


def test_every_latent_of_a_vector_gets_its_output_score_when_asked(shelf, vector, engine):
    from sas_core.atlas.outputs import output_score

    shelf.save(vector, "built")
    app = opened(link=vector.name)
    assert "output" not in app.dataframe[-1].value.columns
    press(app, "vectors.score")
    table = next(each.value for each in app.dataframe if "output" in each.value.columns)
    expected = {s.latent: s.score for s in output_score(engine, [f.index for f in vector.features])}
    assert dict(zip(table["index"], table["output"], strict=True)) == pytest.approx(expected, rel=1e-5)


def _outcome_app() -> None:
    from pages.shared.vectors.replay import draw_outcome
    from sas_core.vectors.replay import Parting, Replay

    for gap in (7.6e-6, 0.5):
        parting = Parting("steered", 33, " a", " b", gap)
        draw_outcome(Replay(73, 80, (parting.sentence(),), (parting,)))


def test_a_run_that_rounding_parts_is_told_from_one_that_differs():
    at = AppTest.from_function(_outcome_app, default_timeout=60).run()
    (near,), (far,) = at.info, at.warning
    assert near.value == "Reproduced 73 of 80 tokens. The rest follows a token that rounding decides:"
    assert "What may explain the rest" in far.value
    assert [t.value.rpartition(": ")[2] for t in at.text] == [
        "another processor rounds otherwise.",
        "more than rounding explains.",
    ]
