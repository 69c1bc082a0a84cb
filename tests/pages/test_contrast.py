"""The Contrast page on a tiny engine: pairs in, latents out, nothing lost on the way."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared.loaded import EngineChoice
from sas_core.vectors.shelf import Shelf

ROOT = Path(__file__).resolve().parents[2]
CSV = "prompt,positive,negative\n" + "\n".join(
    f"Ask me {i},The sea is warm and low {i},The book was late again {i}" for i in range(8)
)

pytestmark = pytest.mark.usefixtures("tiny")


def page(query: dict[str, str] | None = None, script: str = "pages/contrast.py") -> AppTest:
    at = AppTest.from_file(str(ROOT / script), default_timeout=60)
    at.session_state["engine_choice"] = EngineChoice("custom", model="tiny")
    for name, value in (query or {}).items():
        at.query_params[name] = value
    if script == "app.py":
        at.run()
        at.switch_page("pages/contrast.py")
    return shown(at)


def shown(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def pasted(text: str = CSV) -> AppTest:
    at = page()
    at.session_state["contrast.source"] = "My own"
    at.session_state["contrast.way"] = "Paste"
    at.session_state["contrast.paste"] = text
    return shown(at)


def computed(text: str = CSV) -> AppTest:
    at = pasted(text)
    at.button(key="contrast.compute").click()
    shown(at)
    # everything that fires on a side of these few texts
    at.slider(key="contrast.tau").set_value(0.9)
    return shown(at)


def texts(at: AppTest) -> str:
    kinds = (at.markdown, at.caption, at.text, at.info, at.warning, at.error, at.success)
    return "\n".join(element.value for kind in kinds for element in kind)


def has_button(at: AppTest, key: str) -> bool:
    return any(button.key == key for button in at.button)


def link(at: AppTest, name: str) -> str:
    value = at.query_params[name]
    return value if isinstance(value, str) else value[0]


def ranked_latents(at: AppTest) -> list[int]:
    return at.session_state["contrast.listed"]


@pytest.mark.parametrize("script", ["app.py", "pages/contrast.py"])
def test_a_first_visit_offers_a_behaviour_and_one_button(script: str) -> None:
    at = page(script=script)
    assert at.selectbox(key="contrast.behaviour").value == "sea"
    assert has_button(at, "contrast.compute") and has_button(at, "contrast.first")
    assert "Nothing is computed yet" in texts(at)


def test_a_link_opens_its_behaviour() -> None:
    at = page({"behaviour": "hedging"})
    assert at.selectbox(key="contrast.behaviour").value == "hedging"


def test_a_link_to_no_behaviour_says_so_and_opens_the_page() -> None:
    at = page({"behaviour": "**seas**"})
    assert at.selectbox(key="contrast.behaviour").value == "sea"
    assert "No behaviour is named" in at.warning[0].value
    assert "**seas**" not in at.warning[0].value, "text from a link must not be Markdown"


@pytest.mark.parametrize(("asked", "tau"), [("0.55", 0.55), ("7", 1.0), ("nan", 0.7), ("x", 0.7)])
def test_a_link_opens_its_tau_and_a_wrong_one_is_mended(asked: str, tau: float) -> None:
    computed()
    at = page({"tau": asked})
    at.session_state["contrast.source"] = "My own"
    at.session_state["contrast.way"] = "Paste"
    at.session_state["contrast.paste"] = CSV
    assert shown(at).slider(key="contrast.tau").value == tau


def test_choosing_a_behaviour_writes_the_link() -> None:
    at = page()
    at.selectbox(key="contrast.behaviour").select("sentiment")
    shown(at)
    assert link(at, "behaviour") == "sentiment"


def test_computing_gives_the_funnel_the_table_and_the_vector() -> None:
    at = computed()
    ranking = at.session_state["ranking"].ranking
    assert len(ranking.pairs) == 8
    assert "latents fire" in texts(at) and "AUROC: 5\\-fold" in texts(at).replace("5-fold", "5\\-fold")
    assert not has_button(at, "contrast.compute"), "what is up to date has nothing to compute"
    assert len(ranked_latents(at)) > 0


def test_tau_filters_without_a_turn_at_the_model(tiny, monkeypatch) -> None:
    at = computed()
    assert "at least 90 % of a side" in texts(at)

    def refuse(session: str = "") -> None:
        raise AssertionError("a move of tau asked for the model")

    monkeypatch.setattr(tiny.queue, "enter", refuse)
    at.slider(key="contrast.tau").set_value(0.1)
    shown(at)
    assert "at least 10 % of a side" in texts(at)
    assert link(at, "tau") == "0.1"


def test_listing_all_shows_latents_that_are_not_kept() -> None:
    at = computed()
    kept = set(ranked_latents(at))
    at.session_state["contrast.listing"] = "all"
    shown(at)
    assert kept < set(ranked_latents(at))


def test_a_second_session_finds_the_stored_ranking_without_pressing_anything() -> None:
    computed()
    at = pasted()
    assert at.session_state["ranking"].asked.title == "pasted pairs"
    assert not has_button(at, "contrast.compute")


def test_changed_pairs_mark_the_result_as_outdated_and_lead_back() -> None:
    at = computed()
    at.session_state["contrast.source"] = "Shipped"
    shown(at)
    assert "not of the pairs on the left" in at.info[0].value
    assert at.slider(key="contrast.tau").disabled and at.button(key="contrast.save_add").disabled
    at.button(key="contrast.back").click()
    shown(at)
    assert not at.info and at.text_area(key="contrast.paste").value == CSV


def test_a_click_in_the_table_opens_the_evidence_of_that_latent() -> None:
    at = computed()
    at.session_state["contrast.latent"] = latent = ranked_latents(at)[0]
    shown(at)
    said = texts(at)
    assert f"Latent {latent}" in said and "of 8 positive" in said and "Against: where it fires in" in said
    at.button(key="contrast.close").click()
    shown(at)
    assert "Evidence for one latent" in texts(at)


def test_a_latent_goes_to_the_tray_at_the_mean_of_its_side() -> None:
    at = computed()
    latent = ranked_latents(at)[0]
    at.session_state["contrast.latent"] = latent
    shown(at)
    at.button(key="contrast.add_latent").click()
    shown(at)
    evidence = at.session_state["ranking"].ranking.evidence
    i = evidence.latents.tolist().index(latent)
    side = evidence.mean_pos if evidence.difference[i] > 0 else evidence.mean_neg
    (item,) = at.session_state["tray"]
    assert item.key == f"latent:{latent}" and item.values == pytest.approx((side[i],))
    assert at.button(key="contrast.add_latent").disabled


def test_a_latent_unknown_to_the_ranking_opens_no_card() -> None:
    at = computed()
    at.session_state["contrast.latent"] = 10_000
    shown(at)
    assert "Evidence for one latent" in texts(at)


def test_adding_the_vector_saves_it_first_so_that_a_link_finds_it(tmp_path) -> None:
    at = computed()
    at.button(key="contrast.save_add").click()
    shown(at)
    (item,) = at.session_state["tray"]
    shelf = Shelf(tmp_path / "shelf.db")
    vector = shelf.get(item.label)
    shelf.close()
    assert item.label == "pasted pairs tau 0.90 top 32 with shared" and vector.tau == 0.9
    assert not vector.drop_shared
    assert item.indices == tuple(f.index for f in vector.features) and vector.verify is not None
    assert 0.5 <= vector.strength <= 8 and item.strength == vector.strength
    assert "added to the tray" in texts(at)


def test_a_taken_name_is_refused_in_words_and_stays_in_the_field() -> None:
    at = computed()
    for _ in range(2):
        name = next(field for field in at.text_input if field.key.startswith("contrast.name."))
        name.set_value("mine")
        shown(at)
        at.button(key="contrast.save").click()
        shown(at)
    assert "already a vector named" in at.error[0].value
    assert any(field.value == "mine" for field in at.text_input)


def test_no_kept_latent_leaves_nothing_to_save() -> None:
    at = computed()
    at.session_state["contrast.sides"] = "positive"
    at.session_state["contrast.tau"] = 1.0
    at.session_state["contrast.drop_shared"] = True
    at.session_state["ranking"].ranking.tally.count_pos[:] = 0
    shown(at)
    assert at.button(key="contrast.save_add").disabled
    assert "No latent to list here" in texts(at)


def test_a_bad_row_costs_that_row_alone() -> None:
    at = pasted(CSV + "\nonly a prompt,,\n")
    assert "1 row could not be read" in texts(at)
    assert has_button(at, "contrast.compute")


def test_a_file_that_is_no_set_of_pairs_is_refused_in_words_and_kept() -> None:
    at = pasted("no header here")
    assert "needs a header" in at.error[0].value
    assert at.text_area(key="contrast.paste").value == "no header here"
    assert not has_button(at, "contrast.compute")


def test_an_uploaded_file_stays_when_the_page_is_left(tiny) -> None:
    at = page()
    at.session_state["contrast.source"] = "My own"
    shown(at)
    caa = [{"question": f"Q{i}", "answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(B)"}
           for i in range(4)]  # fmt: skip
    at.file_uploader(key="contrast.upload").upload("caa.json", json.dumps(caa).encode())
    shown(at)
    assert "matching answer is \\(A\\) in 100 %" in texts(at)
    assert at.session_state["contrast.file"][0] == "caa.json"


def test_a_copy_of_a_behaviour_can_be_edited_and_keeps_its_form() -> None:
    at = page({"behaviour": "myopia-choice"})
    at.button(key="contrast.copy").click()
    shown(at)
    assert at.session_state["contrast.source"] == "My own"
    assert len(at.session_state["contrast.draft"]) == 68
    assert at.session_state["contrast.draft_form"] == "multiple-choice"
    assert "68 pairs" not in texts(at), "it is the user's own set now, without the shipped caption"


def test_a_position_the_pairs_do_not_have_is_refused_where_the_button_is() -> None:
    at = pasted()
    at.selectbox(key="contrast.position").select("answer")
    shown(at)
    assert "no answer letter" in at.error[0].value
    assert at.button(key="contrast.compute").disabled


def test_markup_in_pairs_is_shown_and_never_drawn() -> None:
    evil = "<img src=x onerror=alert(1)> ![](http://x) **b** "
    at = computed(CSV.replace("The sea", f"{evil} sea").replace("Ask me", f"{evil} ask"))
    at.session_state["contrast.latent"] = ranked_latents(at)[0]
    shown(at)
    html = "".join(element.proto.body for element in at.get("html"))
    assert "<img" not in html
    assert "**b**" not in texts(at) and "![](" not in texts(at)


def test_stop_leaves_a_note_and_the_button_to_go_on() -> None:
    at = pasted()
    at.session_state["contrast.run_note"] = "Stopped. What was read is kept; Compute goes on from there."
    shown(at)
    assert "Compute goes on" in at.info[0].value and has_button(at, "contrast.compute")
