"""What can be done on the card of a latent: tray, label, neighbours, texts to try, scores."""

import pytest

from pages.shared.loaded import get_labels
from sas_core.atlas.store import Atlas
from sas_core.steering.engine import Engine
from tests.pages.app import shown
from tests.pages.latent import BUSY, card, html_text, selected, texts

pytestmark = pytest.mark.usefixtures("tiny", "tables")


def test_it_goes_to_the_tray_at_its_typical_activation(atlas: Atlas) -> None:
    at = card(BUSY)
    at.button(key=f"here.tray.{BUSY}").click()
    shown(at)
    item = at.session_state["tray"].get(f"latent:{BUSY}")
    assert item.values == (atlas.typical(BUSY),) and item.strength == 1.0
    assert (
        at.button(key=f"here.tray.{BUSY}").disabled and "In tray" in at.button(key=f"here.tray.{BUSY}").label
    )


def test_a_label_is_kept_at_once_and_shown_at_the_top(atlas: Atlas, engine: Engine) -> None:
    at = card(BUSY)
    at.text_input(key=f"here.label.{BUSY}").set_value("the **sea**")
    shown(at)
    assert get_labels().get(engine.dictionary.identity.sha256, BUSY).label == "the **sea**"
    assert "no label" not in texts(at)
    assert any(element.value == "**the \\*\\*sea\\*\\***" for element in at.markdown)
    at.text_area(key=f"here.note.{BUSY}").set_value("mostly ships")
    shown(at)
    again = card(BUSY)
    assert again.text_input(key=f"here.label.{BUSY}").value == "the **sea**"
    assert again.text_area(key=f"here.note.{BUSY}").value == "mostly ships"
    for kind, name in ((again.text_input, "label"), (again.text_area, "note")):
        kind(key=f"here.{name}.{BUSY}").set_value("")
    shown(again)
    assert get_labels().get(engine.dictionary.identity.sha256, BUSY) is None


def test_a_note_without_a_label_is_refused_in_words_and_stays_in_its_field(atlas: Atlas) -> None:
    at = card(BUSY)
    at.text_area(key=f"here.note.{BUSY}").set_value("mostly ships")
    shown(at)
    assert "label has no words" in texts(at)
    assert at.text_area(key=f"here.note.{BUSY}").value == "mostly ships"


def test_a_neighbours_row_turns_to_that_latent(atlas: Atlas) -> None:
    at = selected(card(BUSY), f"here.near.{BUSY}", 0)
    near, _ = atlas.latent(BUSY).neighbours[0]
    assert at.session_state["at"] == near and f"Latent {near}" in texts(at)
    together, _ = atlas.cofiring(near)[2]
    assert selected(at, f"here.together.{near}", 2).session_state["at"] == together


def test_text_is_tried_and_shaded(atlas: Atlas, engine: Engine) -> None:
    at = card(BUSY)
    at.text_area(key="here.try").set_value("The sea <b>is</b> warm")
    shown(at)
    ids = engine.turns.encode("The sea <b>is</b> warm", chat=False).ids
    latents, excluded = engine.latents_of(ids)
    values = latents[:, BUSY].masked_fill(excluded, 0.0)
    fired = int((values > 0).sum())
    counted = int((~excluded).sum())
    said = f"{fired} of {counted} tokens" if fired else f"none of the {counted} tokens"
    assert said in texts(at)
    assert "The sea <b>is</b> warm" in html_text(at)


def test_a_text_beyond_the_models_context_gets_one_sentence(atlas: Atlas) -> None:
    at = card(BUSY, here__try="sea " * 500)
    assert "limit is" in at.error[0].value and at.text_area(key="here.try").value.startswith("sea")


def test_both_scores_are_measured_on_request(atlas: Atlas) -> None:
    at = card(BUSY)
    assert "Output score" not in texts(at)
    at.button(key=f"here.score.{BUSY}").click()
    shown(at)
    assert "Output score" in texts(at) and "Input score" in texts(at)
    assert "Output score" in texts(shown(at)), "a score is kept for the session"
