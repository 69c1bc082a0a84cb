"""Features on a tiny engine and a tiny atlas: find, open, filter, turn pages."""

import re

import pytest

from pages.shared import loaded
from sas_core.atlas.store import Atlas
from sas_core.vectors.build import latents_file
from tests.atlas.tiny_atlas import DEAD, DENSE, ONE_TOKEN
from tests.pages.app import link, press, shown, words
from tests.pages.features import found, opened, page, search, table

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.mark.parametrize("script", ["app.py", "pages/atlas.py"])
def test_the_whole_dictionary_is_listed_and_the_first_latent_that_fires_is_open(atlas_path, script):
    at = page(script)
    assert table(at)["index"].tolist() == list(range(48))
    assert opened(at) == DENSE == DEAD + 1
    assert link(at, "latent") is None


def test_a_link_opens_its_latent_and_its_query(atlas_path):
    at = page(query={"latent": "7", "q": "ship"})
    assert opened(at) == 7
    assert at.text_input(key="atlas.query").value == "ship"
    assert found(at)


@pytest.mark.parametrize("asked", ["48", "-1", "seven", "\u00b2", "<b>"])
def test_a_link_to_no_latent_says_so_and_opens_the_page(atlas_path, asked):
    at = page(query={"latent": asked})
    assert "latents 0 to 47" in at.warning[0].value
    assert opened(at) == DENSE


def test_words_find_the_latents_whose_contexts_hold_them(atlas_path):
    at = search(page(), "ship")
    whole = Atlas.open(atlas_path)
    assert found(at)
    for index in found(at):
        assert any("ship" in "".join(c.tokens).lower() for c in whole.contexts(index) if c.band == "top")
    assert link(at, "q") == "ship"


def test_what_nobody_wrote_finds_nothing_and_says_so(atlas_path):
    at = search(page(), "*zebra*")
    assert found(at) == []
    assert "No context and no label holds" in words(at) and "\\*zebra\\*" in words(at)


def test_a_number_opens_its_card_and_lists_those_like_it(atlas_path):
    at = search(page(), "5")
    whole = Atlas.open(atlas_path)
    assert opened(at) == found(at)[0] == 5
    assert found(at)[1:4] == [index for index, _ in whole.latent(5).neighbours[:3]]
    assert link(at, "latent") == "5"


def test_a_number_leads_to_its_place_in_the_table(atlas_path):
    at = press(search(page(order="strongest first"), "5"), "atlas.in_table")
    assert at.text_input(key="atlas.query").value == ""
    assert table(at)["index"].tolist()[5] == 5 == opened(at)


@pytest.mark.parametrize("text", ["99", "like: 99", "like: sea", "fires on:", "\u2014"])
def test_a_query_that_makes_no_sense_is_one_sentence_and_stays_in_the_box(atlas_path, text):
    at = search(page(), text)
    assert len(at.error) == 1
    assert at.text_input(key="atlas.query").value == text


def test_a_text_finds_what_fires_on_it_and_less_on_another(atlas_path, engine):
    from sas_core.atlas.probe import fires_on

    opened_atlas = Atlas.open(atlas_path)
    distinctive = fires_on(engine, "The sea was grey.", weigh=opened_atlas.distinctive).rows
    opened_atlas.close()
    at = search(page(), "fires on: The sea was grey.")
    assert found(at) == [row.latent for row in distinctive][:10], "what fires everywhere does not come first"
    at.segmented_control(key="atlas.by").set_value("max")
    shown(at)
    by_maximum = [row.latent for row in fires_on(engine, "The sea was grey.").rows]
    assert found(at) == by_maximum[:10] != [row.latent for row in distinctive][:10]
    at.text_input(key="atlas.against").set_value("A small ship.")
    shown(at)
    expected = fires_on(engine, "The sea was grey.", against="A small ship.").rows
    assert found(at) == [row.latent for row in expected][:10]
    assert link(at, "not") == "A small ship."
    assert "on the second" in words(at)


def test_clicking_a_card_opens_it_and_keeps_the_results(atlas_path):
    at = search(page(), "sea")
    before = found(at)
    press(at, f"atlas.open.{before[1]}")
    assert (opened(at), found(at)) == (before[1], before)
    assert link(at, "latent") == str(before[1])


def test_more_results_come_at_a_button(atlas_path):
    at = search(page(), "like: 5")
    first = found(at)
    press(at, "atlas.more_results")
    assert len(first) == 10 and found(at)[:10] == first and len(found(at)) > 10


def test_texts_of_the_corpus_are_shown_as_written(atlas_path):
    at = search(page(), "img")
    assert found(at)
    markup = "\n".join(element.proto.body for element in at.get("html"))
    assert "&lt;" in markup
    # only what our own module writes is a tag
    assert set(re.findall(r"<\s*(\w+)", markup)) == {"div", "span"}
    assert "![](http" not in "\n".join(m.value for m in (*at.markdown, *at.caption))


def test_the_table_orders_by_what_is_asked(atlas_path):
    at = page()
    at.selectbox(key="atlas.order").select("strongest first")
    shown(at)
    most = table(at)["max"].dropna().tolist()
    assert most == sorted(most, reverse=True)
    assert "48 latents, strongest first: 1 to 48" in words(at)


def test_a_row_opens_its_card_and_the_table_stays(atlas_path):
    at = page()
    at.session_state[at.session_state["atlas.table_key"]] = {
        "selection": {"rows": [], "columns": [], "cells": [[9, "index"]]}
    }
    shown(at)
    at.session_state["atlas.latent"] = 9
    assert opened(shown(at)) == 9
    assert table(at)["index"].tolist() == list(range(48))


def test_pages_are_turned_and_a_number_beyond_the_last_is_the_last(atlas_path, monkeypatch):
    monkeypatch.setattr("pages.shared.atlas.table.ROWS_A_PAGE", 20)
    at = press(page(), "atlas.next")
    assert table(at)["index"].tolist() == list(range(20, 40))
    at.number_input(key="atlas.page").set_value(3)
    assert table(shown(at))["index"].tolist() == list(range(40, 48))
    assert at.button(key="atlas.next").disabled
    assert table(page(page=900))["index"].tolist() == list(range(40, 48))


def test_filters_narrow_the_table_and_the_results_and_can_be_cleared(atlas_path):
    at = page()
    at.selectbox(key="atlas.filter.density").select("dead")
    assert table(shown(at))["index"].tolist() == [DEAD]
    search(at, "sea")
    assert found(at) == [] and "pass the filters" in words(at)
    press(at, "atlas.filter.clear")
    assert found(at)


def test_a_filter_that_nothing_passes_says_so(atlas_path):
    at = page()
    at.number_input(key="atlas.filter.min_max").set_value(1e6)
    assert "No latent passes these filters" in words(shown(at))


def test_the_latents_of_a_saved_vector_can_be_listed(atlas_path, engine):
    loaded.get_shelf().save(latents_file(engine, "*waves*", {3: 6.0, 11: -2.0}), "built")
    at = page()
    at.selectbox(key="atlas.filter.vector").select("*waves*")
    assert table(shown(at))["index"].tolist() == [3, 11]


def test_labels_are_found_shown_and_filtered(atlas_path, engine):
    sha = engine.dictionary.identity.sha256
    loaded.get_labels().put(sha, 30, "my *own* waves")
    at = page()
    assert table(at)["label"].tolist()[30] == "my *own* waves"
    at.selectbox(key="atlas.filter.label").select("labelled")
    assert table(shown(at))["index"].tolist() == [30]
    search(at, "own waves")
    assert found(at) == [30]
    assert "my \\*own\\* waves" in words(at)


def test_one_token_latents_say_so_in_the_table(atlas_path):
    row = table(page())
    assert row["share"].tolist()[ONE_TOKEN] >= 90
