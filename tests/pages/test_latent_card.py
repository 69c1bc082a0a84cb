"""The card of one latent on a tiny engine and a tiny atlas: what it says."""

import pytest

from pages.shared import loaded
from sas_core.atlas.store import Atlas
from sas_core.steering.engine import Engine
from tests.atlas.tiny_atlas import DEAD, DENSE, ONE_TOKEN
from tests.pages.latent import BUSY, card, html_text, texts
from tests.pages.test_tokens import Seen

pytestmark = pytest.mark.usefixtures("tiny", "tables")


def test_the_card_reads_as_an_argument_from_what_fires_it_to_ones_own_label(atlas: Atlas) -> None:
    at = card(BUSY)
    said = texts(at)
    places = [said.index(heading) for heading in (
        f"Latent {BUSY}", "What makes it fire", "How often it fires", "What it writes",
        f"What is near latent {BUSY}", "What fires with it", "Where you use it", "Your label and note",
        "Try it",
    )]  # fmt: skip
    assert places == sorted(places)
    assert "no label" in said


def test_the_strongest_contexts_come_first_with_their_value_and_their_row(atlas: Atlas) -> None:
    at = card(BUSY)
    found = atlas.contexts(BUSY)
    first = next(element.value for element in at.get("html") if "tiny.jsonl" in element.value)
    assert f"{found[0].max:.2f}" in Seen(first).text
    assert f"row {found[0].document + 1} of tiny.jsonl" in Seen(first).text and "/some/" not in first
    assert found[0].tokens[found[0].peak] in Seen(first).text


def test_every_band_is_shown_and_on_request_every_context(atlas: Atlas) -> None:
    at = card(BUSY)
    found = atlas.contexts(BUSY)
    for band in {context.band for context in found} - {"top"}:
        assert f"quarter, {band}" in texts(at)
    few = len(at.get("menu_button"))
    at = card(BUSY, here__contexts=["All"])
    assert few < len(at.get("menu_button")) == len(found)


@pytest.mark.parametrize("views", [[], ["Whole windows"], ["White space"], ["All", "Whole windows"]])
def test_text_of_a_context_is_never_read_as_markup(atlas: Atlas, views: list[str]) -> None:
    found = [i for i in range(48) if any("onerror" in "".join(c.tokens) for c in atlas.contexts(i))]
    at = card(found[0], here__contexts=[*views, "All"])
    for element in at.get("html"):
        assert set(Seen(element.value).tags) <= {"div", "span", "wbr"}
    assert all("onerror" not in element.value for kind in (at.markdown, at.caption) for element in kind)


def test_what_looks_like_markup_stands_in_the_card_letter_by_letter(atlas: Atlas) -> None:
    at = card(DENSE, here__contexts=["All", "Whole windows"])
    shown_texts = html_text(at)
    held = ["".join(c.tokens) for c in atlas.contexts(DENSE)]
    nasty = [part for part in ("<img", "![", "$x$") if any(part in text for text in held)]
    assert nasty and all(part in shown_texts for part in nasty)


def test_the_table_holds_every_context_with_every_value(atlas: Atlas) -> None:
    at = card(BUSY, here__contexts=["Table"])
    found = atlas.contexts(BUSY)
    table = at.dataframe[0].value
    assert table["max"].tolist() == [context.max for context in found]
    assert not at.get("menu_button")
    fired = sum(value > 0 for value in found[0].activations)
    assert table["fires"][0].count(", ") == fired - 1


def test_a_latent_that_never_fired_is_said_to_be_rare_at_most(atlas: Atlas) -> None:
    at = card(DEAD)
    assert "never fired" in texts(at) and "3/" in texts(at).replace(" / ", "/")
    assert at.button(key=f"here.tray.{DEAD}").disabled
    assert "What it writes" in texts(at)


def test_a_saved_vector_that_uses_it_is_named_with_its_value(atlas: Atlas, engine: Engine) -> None:
    from sas_core.vectors.build import latents_file

    shelf = loaded.get_shelf()
    shelf.save(latents_file(engine, "mine", {BUSY: 1.5, 3: -2.0}, verify=False), "composed")
    at = card(BUSY)
    table = next(frame.value for frame in at.dataframe if "vector" in frame.value)
    assert table["vector"].tolist() == ["mine"] and table["value"].tolist() == [1.5]
    assert "In no saved vector" in texts(card(DENSE))


def test_without_an_atlas_the_card_says_so_and_shows_what_the_weights_say() -> None:
    at = card(BUSY)
    said = texts(at)
    assert "no atlas" in said and "What makes it fire" not in said
    for heading in ("What it writes", "What is near latent", "Your label and note", "Try it"):
        assert heading in said
    assert at.button(key="here.build").label == "Build one in Features"
    assert at.button(key=f"here.tray.{BUSY}").disabled


def test_a_latent_that_does_not_exist_gets_one_sentence(atlas: Atlas) -> None:
    at = card(48)
    assert len(at.error) == 1 and "0 to 47" in at.error[0].value


def test_a_latent_of_one_token_says_so(atlas: Atlas) -> None:
    latent = atlas.latent(ONE_TOKEN)
    assert latent.single_token
    assert "token" in texts(card(ONE_TOKEN)).split("How often it fires")[1]
