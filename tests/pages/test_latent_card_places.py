"""Where the card of a latent opens, and that the page below it stays as it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from sas_core.atlas.store import Atlas
from sas_core.steering.engine import Engine
from sas_core.steering.tray import Tray, latent_item
from tests.atlas.tiny_atlas import DENSE, tiny_atlas
from tests.pages.app import shown
from tests.pages.latent import BUSY, card, page, selected, texts

pytestmark = pytest.mark.usefixtures("tiny", "tables")


@pytest.mark.parametrize("script", ["pages/steering.py", "pages/contrast.py", "pages/vectors.py"])
def test_the_card_opens_over_a_page_and_closes_again(atlas: Atlas, script: str) -> None:
    tray = Tray().put(latent_item(3, 1.0))
    at = page(script, latent__open=BUSY, tray=tray, steer__new_tokens=2)
    assert f"Latent {BUSY}" in texts(at) and "Try it" in texts(at)
    del at.session_state["latent.open"]
    assert "Try it" not in texts(shown(at))


def test_inside_the_drawer_one_goes_on_to_a_neighbour_and_back(atlas: Atlas) -> None:
    near, _ = atlas.latent(BUSY).neighbours[1]
    at = selected(page("pages/vectors.py", latent__open=BUSY), f"card.near.{BUSY}", 1)
    assert f"Latent {near}" in texts(at)
    at.button(key="card.back").click()
    shown(at)
    assert f"Latent {BUSY}" in texts(at)
    assert not any(button.key == "card.back" for button in at.button)


@pytest.mark.parametrize("build", [False, True])
def test_from_the_drawer_one_goes_to_features(tiny: Engine, tmp_path: Path, build: bool) -> None:
    if not build:
        tiny_atlas(tmp_path / "atlas" / "tiny.db", engine=tiny)
    at = page("app.py", steer__new_tokens=2)
    at.session_state["latent.open"] = BUSY
    at.switch_page("pages/vectors.py")
    shown(at).button(key="card.build" if build else "card.page").click()
    assert shown(at).title[0].value == "Features"
    assert "latent.open" not in at.session_state


def test_a_latent_in_the_tray_opens_its_card(atlas: Atlas) -> None:
    at = card(BUSY)
    at.button(key=f"here.tray.{BUSY}").click()
    shown(at)
    steer = page("pages/steering.py", tray=at.session_state["tray"], steer__new_tokens=2)
    steer.button(key=f"card.latent:{BUSY}").click()
    assert f"Latent {BUSY}" in texts(shown(steer)) and "What makes it fire" in texts(steer)


def test_a_row_of_the_receipt_opens_the_card_and_the_answer_stays(atlas: Atlas) -> None:
    at = card(DENSE)
    at.button(key=f"here.tray.{DENSE}").click()
    shown(at)
    steer = page("pages/steering.py", tray=at.session_state["tray"], steer__new_tokens=3)
    answered = steer.session_state["steer.shown"]
    assert answered.status == "done"
    selected(steer, "steer.receipt", 0)
    assert f"Latent {DENSE}" in texts(steer)
    assert steer.session_state["steer.shown"] is answered, "the answer must not be generated again"


def test_an_answer_that_a_card_interrupted_is_finished_and_nothing_of_it_is_lost(atlas: Atlas) -> None:
    at = page("pages/steering.py", tray=Tray().put(latent_item(3, 4.0)), steer__new_tokens=4)
    answered = at.session_state["steer.shown"]
    begun = tuple(
        replace(lane, token_ids=lane.token_ids[:3], pieces=lane.pieces[:3]) for lane in answered.lanes
    )
    at.session_state["steer.shown"] = replace(answered, lanes=begun, status="running")
    at.session_state["latent.open"] = BUSY
    shown(at)
    again = at.session_state["steer.shown"]
    assert again.status == "done" and f"Latent {BUSY}" in texts(at)
    assert [lane.token_ids for lane in again.lanes] == [lane.token_ids for lane in answered.lanes]
