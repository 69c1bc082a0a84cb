"""The view "Prompt" of Features on a tiny engine: a text in, every token's latents out."""

import json
import re
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.shared import loaded
from pages.shared.atlas.prompt import FIRST_TEXT, PIN, POSITION
from pages.shared.loaded import EngineChoice
from sas_core.atlas.build import BuildSpec, build
from sas_core.atlas.find import new_path
from sas_core.atlas.labels import LabelBook
from sas_core.atlas.probe import PromptView, read_prompt
from sas_core.atlas.store import Atlas
from tests.helpers import D_SAE, N_CTX

EVIL = "<img src=x onerror=alert(1)> ![](http://x) $x$ **b**"

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def atlas(tiny, tmp_path) -> Atlas:
    """A finished atlas of the tiny engine, where the page finds it."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("The train was late again.\n\nThe sea is warm and low in winter.\n\n" * 4)
    path = new_path(tiny, str(corpus))
    for _ in build(tiny, BuildSpec(str(corpus), window=16, top_k=3), path):
        pass
    return Atlas.open(path)


def script() -> None:
    from pages.shared.atlas.prompt import draw_prompt_view
    from pages.shared.header import open_page
    from pages.shared.loaded import get_atlas

    engine = open_page("Features")
    draw_prompt_view(engine, get_atlas(engine))


def page() -> AppTest:
    at = AppTest.from_function(script, default_timeout=60)
    at.session_state["engine_choice"] = EngineChoice("custom", model="tiny")
    return shown(at)


def shown(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def read(text: str = FIRST_TEXT, *, chat: bool = False) -> AppTest:
    at = page()
    at.text_area(key="atlas.prompt.text").set_value(text)
    at.segmented_control(key="atlas.prompt.format").set_value("chat" if chat else "raw text")
    at.button(key="atlas.prompt.go").click()
    return shown(at)


def view_of(at: AppTest) -> PromptView:
    return at.session_state["atlas.prompt.read"].view


def token(at: AppTest, position: int) -> AppTest:
    at.session_state[POSITION] = position
    return shown(at)


def list_of(at: AppTest) -> Any:
    """The table of the chosen token's latents."""
    return next(frame.value for frame in at.dataframe if "activation" in frame.value.columns)


def choose(at: AppTest, row: int) -> AppTest:
    number = at.session_state["atlas.prompt.read"].number
    key = f"atlas.prompt.{number}.latents.{at.session_state[POSITION]}"
    at.session_state[key] = {"selection": {"rows": [row]}}
    return shown(at)


def strip(at: AppTest) -> dict[str, Any]:
    """What the browser is given to draw the tokens with."""
    (component,) = at.get("bidi_component")
    return json.loads(component.proto.mixed.json or component.proto.json)


def texts(at: AppTest) -> str:
    kinds = (at.markdown, at.caption, at.text, at.info, at.warning, at.error)
    return "\n".join(element.value for kind in kinds for element in kind)


def busiest(view: PromptView) -> int:
    return max(range(len(view.pieces)), key=lambda at: len(view.token(at)))


def test_a_first_visit_offers_a_text_and_one_button() -> None:
    at = page()
    assert at.text_area(key="atlas.prompt.text").value == FIRST_TEXT
    assert "Nothing is read yet" in texts(at) and not at.dataframe


@pytest.mark.parametrize("chat", [False, True])
def test_reading_shows_every_token_with_its_strongest_latent(tiny, chat: bool) -> None:
    at = read(chat=chat)
    expected = read_prompt(tiny, FIRST_TEXT, chat=chat)
    drawn = strip(at)
    assert [text for text, _ in drawn["shown"]] == [piece.replace("\n", "⏎") for piece in expected.pieces]
    assert [below for _, _, below in drawn["said"]] == [
        str(found[0][0]) if found else "" for found in expected.strongest
    ]
    assert set(drawn["excluded"]) == expected.excluded and bool(drawn["excluded"]) == chat
    assert drawn["selected"] not in expected.excluded
    for at_token, (said, colour, _) in enumerate(drawn["said"]):
        assert said.startswith(f"Token {at_token + 1} ") and colour == ""
        assert ("not counted" in said) == (at_token in expected.excluded)


def test_a_token_has_its_full_list_strongest_first() -> None:
    at = read()
    view = view_of(at)
    position = busiest(view)
    token(at, position)
    listed = list_of(at)
    assert len(listed) > 8, "more than the strip names"
    assert list(zip(listed["latent"], listed["activation"], strict=True)) == [
        (latent, pytest.approx(value)) for latent, value in view.token(position)
    ]
    assert f"Token {position + 1}" in texts(at) and strip(at)["selected"] == position


def test_a_special_token_says_why_it_has_no_list() -> None:
    at = read(chat=True)
    token(at, min(view_of(at).excluded))
    assert "its code means nothing" in texts(at) and not at.dataframe


def test_a_pinned_latent_colours_the_whole_text() -> None:
    at = read()
    view = view_of(at)
    token(at, busiest(view))
    choose(at, 2)
    latent = int(list_of(at)["latent"][2])
    at.button(key="atlas.prompt.colour").click()
    shown(at)

    assert at.number_input(key=PIN).value == latent
    values = view.values(latent)
    for (said, colour, below), value in zip(strip(at)["said"], values, strict=True):
        assert f"{value:.4g} activation" in said
        assert bool(colour) == bool(below) == (value > 0)
    full = strip(at)["said"][values.index(max(values))][1]
    assert full == "rgba(217, 119, 6, 0.60)"
    fired = sum(value > 0 for value in values)
    assert f"Latent {latent} fires at {fired} of {view.counted} tokens" in texts(at)
    assert at.button(key="atlas.prompt.colour").disabled


def test_any_latent_can_be_pinned_by_its_number_and_let_go() -> None:
    at = read("late")
    silent = next(latent for latent in range(D_SAE) if max(view_of(at).values(latent)) == 0)
    at.number_input(key=PIN).set_value(silent)
    shown(at)
    assert f"Latent {silent} fires at no token of this text" in texts(at)
    at.number_input(key=PIN).set_value(None)
    shown(at)
    assert all(not colour for _, colour, _ in strip(at)["said"])


def test_a_pin_of_a_wider_sae_is_let_go() -> None:
    at = read()
    at.session_state[PIN] = D_SAE
    shown(at)
    assert at.number_input(key=PIN).value is None


def test_the_table_says_the_same_and_a_row_chooses_its_token() -> None:
    at = read(chat=True)
    at.session_state[PIN] = latent = view_of(at).strongest[busiest(view_of(at))][0][0]
    at.session_state["atlas.prompt.shown"] = "Table"
    shown(at)
    view = view_of(at)
    table = next(frame.value for frame in at.dataframe if "strongest" in frame.value.columns)
    assert table["position"].tolist() == list(range(1, len(view.pieces) + 1))
    assert table["pinned"].fillna(0).tolist() == pytest.approx(list(view.values(latent)))
    for position, found in enumerate(view.strongest):
        said = table["strongest"][position]
        if position in view.excluded:
            assert said == "not counted"
        else:
            assert [int(n) for n in re.findall(r"(\d+) \(", said)] == [index for index, _ in found]
    at.session_state["atlas.prompt.table.0"] = {"selection": {"rows": [4]}}
    shown(at)
    assert at.session_state[POSITION] == 4 and "Token 5" in texts(at)


def test_a_label_stands_with_its_latent(tiny, tmp_path) -> None:
    view = read_prompt(tiny, FIRST_TEXT)
    latent = view.strongest[busiest(view)][0][0]
    LabelBook(tmp_path / "labels.db").put(tiny.dictionary.identity.sha256, latent, f"sea {EVIL}")
    at = token(read(), busiest(view))
    at.session_state[PIN] = latent
    shown(at)
    assert list_of(at)["label"][0] == f"sea {EVIL}"
    assert f"{latent} sea <img" in strip(at)["said"][busiest(view)][0]
    assert f"Latent {latent} (sea <img" in texts(at)


def test_with_an_atlas_a_latent_goes_to_the_tray_at_its_typical_activation(atlas) -> None:
    at = read()
    position = busiest(view_of(at))
    token(at, position)
    latents = [latent for latent, _ in view_of(at).token(position)]
    row = next(i for i, latent in enumerate(latents) if atlas.typical(latent))
    choose(at, row)
    listed = list_of(at)
    known = atlas.latent(latents[row])
    assert listed["share"][row] == pytest.approx(100 * listed["activation"][row] / known.max)
    assert known.positive[0][0].strip() in listed["writes"][row]
    at.button(key=f"atlas.prompt.tray.{latents[row]}").click()
    shown(at)
    (item,) = at.session_state["tray"]
    assert item.key == f"latent:{latents[row]}" and item.values == pytest.approx((known.mean_nonzero,))


def test_a_full_tray_is_said_beside_the_list(atlas, monkeypatch) -> None:
    at = read()
    token(at, busiest(view_of(at)))
    monkeypatch.setenv("STEERSCOPE_MAX_TRAY_ITEMS", "1")
    for row in (0, 1):
        choose(at, row)
        latent = int(list_of(at)["latent"][row])
        at.button(key=f"atlas.prompt.tray.{latent}").click()
        shown(at)
    assert "The tray holds 1 items" in at.error[0].value and len(at.session_state["tray"]) == 1


def test_a_latent_opens_its_card() -> None:
    at = read()
    latent = int(list_of(at)["latent"][0])
    at.button(key="atlas.prompt.card").click()
    shown(at)
    assert at.session_state["latent.open"] == latent


def test_markup_in_a_text_stays_text() -> None:
    at = read(EVIL)
    token(at, 3)
    assert "".join(text for text, _ in strip(at)["shown"]) == EVIL
    html = "".join(element.proto.body for element in at.get("html"))
    assert "<img" not in html
    outside = "\n".join(element.value for kind in (at.markdown, at.caption) for element in kind)
    assert "<img" not in outside and "![](" not in outside and "**b**" not in outside


def test_line_breaks_are_marked_and_kept() -> None:
    drawn = strip(read("late\n\nagain\tsea"))
    assert "".join(text for text, _ in drawn["shown"]) == "late⏎⏎again→sea"
    assert sum(breaks for _, breaks in drawn["shown"]) == 2


@pytest.mark.parametrize(
    ("text", "said"), [(" \n ", "no text to read"), ("late again " * N_CTX, f"the limit is {N_CTX - 1}")]
)
def test_a_text_that_cannot_be_read_is_refused_in_words_and_kept(text: str, said: str) -> None:
    at = read(text)
    assert said in at.error[0].value and len(at.error) == 1
    assert at.text_area(key="atlas.prompt.text").value == text
    assert not at.get("bidi_component")


def test_an_earlier_text_stays_and_is_marked_when_the_text_changes() -> None:
    at = read()
    at.text_area(key="atlas.prompt.text").set_value("Another one.")
    shown(at)
    assert "has changed since this was read" in texts(at)
    assert "".join(text for text, _ in strip(at)["shown"]) == FIRST_TEXT
    at.button(key="atlas.prompt.go").click()
    shown(at)
    assert "has changed" not in texts(at)
    assert "".join(text for text, _ in strip(at)["shown"]) == "Another one."


def test_nothing_but_reading_asks_for_the_model(tiny, monkeypatch) -> None:
    at = read()

    def refuse(session: str = "") -> None:
        raise AssertionError("looking at a text that is read asked for the model")

    monkeypatch.setattr(tiny.queue, "enter", refuse)
    token(at, 5)
    at.session_state[PIN] = 3
    at.session_state["atlas.prompt.shown"] = "Table"
    shown(at)


def test_a_text_read_by_another_sae_is_not_shown(monkeypatch, tiny) -> None:
    from sas_core.steering.engine import Engine
    from tests.helpers import build_dictionary

    at = read()
    other = Engine(tiny.model, build_dictionary("jumprelu", seed=9), tiny.placement, tiny.name)
    monkeypatch.setattr(loaded, "_load", lambda choice: other)
    st.cache_resource.clear()
    shown(at)
    assert "Nothing is read yet" in texts(at) and not at.get("bidi_component")


def test_a_model_without_a_template_reads_raw_text(raw_engine, monkeypatch) -> None:
    monkeypatch.setattr(loaded, "_load", lambda choice: raw_engine)
    at = page()
    assert not at.segmented_control
    at.button(key="atlas.prompt.go").click()
    shown(at)
    assert "".join(text for text, _ in strip(at)["shown"]) == FIRST_TEXT
