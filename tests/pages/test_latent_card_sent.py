"""A context of a latent is sent to the pairs on Contrast or to the test box; nothing there is lost."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from sas_core.atlas.store import Atlas
from tests.pages.app import shown
from tests.pages.latent import BUSY, card, page, texts, uses

pytestmark = pytest.mark.usefixtures("tiny", "tables")


def sent(atlas: Atlas, side: str, **state: Any) -> AppTest:
    """Contrast after the first context of the busy latent was sent to a side from the card over it."""
    at = page("pages/contrast.py", latent__open=BUSY, **state)
    uses(at).click(f"To the {side} texts")
    at.run()
    del at.session_state["latent.open"]
    return shown(at)


def test_a_context_joins_a_copy_of_the_shipped_pairs(atlas: Atlas) -> None:
    at = sent(atlas, "positive")
    rows = at.session_state["contrast.draft"]
    text = "".join(atlas.contexts(BUSY)[0].tokens).strip()
    assert rows[0] == {"prompt": "", "positive": text, "negative": ""}
    assert len(rows) > 20 and at.session_state["contrast.source"] == "My own"
    assert "Row 1 is new" in texts(at)
    at.session_state["contrast.source"] = "Shipped"
    assert at.session_state["contrast.behaviour"] == "sea"
    assert len(shown(at).dataframe[0].value) == len(rows) - 1, "the shipped pairs stay as they are"


def test_a_context_joins_the_table_that_is_open_and_every_row_of_it_stays(atlas: Atlas) -> None:
    mine = [{"prompt": "Hello?", "positive": "The sea", "negative": "The office"}]
    at = sent(
        atlas, "negative", contrast__source="My own", contrast__way="Table", contrast__draft=mine,
        contrast__draft_name="mine",
    )  # fmt: skip
    rows = at.session_state["contrast.draft"]
    assert rows[1:] == mine
    assert rows[0]["negative"] and not rows[0]["positive"] and not rows[0]["prompt"]
    assert at.session_state["contrast.draft_name"] == "mine"


def test_a_table_that_gives_way_to_a_copy_can_be_brought_back(atlas: Atlas) -> None:
    mine = [{"prompt": "Hello?", "positive": "The sea", "negative": "The office"}]
    at = sent(atlas, "positive", contrast__draft=mine, contrast__draft_name="mine")
    copied = at.session_state["contrast.draft"]
    assert mine[0] not in copied
    at.button(key="contrast.bring_back").click()
    shown(at)
    assert at.session_state["contrast.draft"] == mine and at.session_state["contrast.draft_name"] == "mine"
    assert at.session_state["contrast.former"]["draft"] == copied


def test_pasted_pairs_are_copied_and_the_pasted_text_stays(atlas: Atlas) -> None:
    pasted = "prompt,positive,negative\nAsk,The sea,The office"
    at = sent(atlas, "positive", contrast__source="My own", contrast__way="Paste", contrast__paste=pasted)
    assert [row["prompt"] for row in at.session_state["contrast.draft"]] == ["", "Ask"]
    assert at.session_state["contrast.paste"] == pasted


def test_a_text_sent_from_another_page_waits_for_contrast_and_can_be_taken_back(atlas: Atlas) -> None:
    at = card(BUSY)
    uses(at).click("To the negative texts")
    shown(at)
    assert "to the pairs on Contrast" in texts(at)
    waiting = at.session_state["contrast.inbox"]
    contrast = page("pages/contrast.py", contrast__inbox=waiting)
    assert contrast.session_state["contrast.draft"] == list(waiting)
    at.button(key="here.take_back").click()
    shown(at)
    assert at.session_state["contrast.inbox"] == () and "to the pairs on Contrast" not in texts(at)


def test_a_context_goes_to_the_test_box(atlas: Atlas) -> None:
    at = card(BUSY)
    uses(at).click("To the test box")
    shown(at)
    assert at.text_area(key="here.try").value == "".join(atlas.contexts(BUSY)[0].tokens).strip()
