"""Features in a real browser: find, open, try, label, steer; an atlas of one's own, stopped and resumed."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, TimeoutError, expect

# about 8,000 tokens: enough blocks for a stop between two of them
CORPUS = "\n".join(
    f"On day {day} the {what} of the old harbour was counted again, and {what} number {day * 7} was missing."
    for day in range(120)
    for what in ("boats", "lamps", "nets")
)


def open_features(page: Page, app: str, view: str = "Find") -> None:
    page.goto(f"{app}/atlas")
    expect(page.get_by_role("heading", name="Features", level=1)).to_be_visible()
    page.get_by_role("radio", name=view, exact=True).click()


def settle(page: Page) -> None:
    """Wait for the end of a run, which would close a popover that is opened during it."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def search(page: Page, text: str) -> None:
    box = page.get_by_label("Search the latents")
    expect(box).to_have_count(1)
    box.fill(text)
    box.press("Enter")


def cards(page: Page) -> Locator:
    """The buttons that open the latents of the results."""
    return page.get_by_role("button", name=re.compile(r"Latent \d+"))


def card_title(page: Page) -> Locator:
    return page.get_by_role("heading", name=re.compile(r"^Latent \d+"))


def number_in(text: str) -> str:
    found = re.search(r"Latent (\d+)", text)
    assert found, text
    return found[1]


def test_the_shipped_atlas_is_open_and_a_click_on_a_row_opens_its_card(page: Page, app: str):
    open_features(page, app)
    expect(page.get_by_text(re.compile(r"^[\d,]+ latents, by number: 1 to 100"))).to_be_visible()
    expect(card_title(page)).to_be_visible()
    table = page.get_by_test_id("stDataFrame").first
    chosen = re.compile(r"[?&]latent=\d+")
    for _ in range(4):
        settle(page)
        table.click(position={"x": 200, "y": 35 * 6 + 10})
        # a table that was drawn anew under the mouse loses the press
        with suppress(TimeoutError):
            page.wait_for_url(chosen, timeout=30_000)
            break
    expect(page).to_have_url(chosen)
    latent = re.search(r"latent=(\d+)", page.url)[1]
    expect(page.get_by_role("heading", name=f"Latent {latent}")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name=f"Latent {latent}")).to_be_visible()


def test_words_find_latents_and_the_card_opens_beside_the_results(page: Page, app: str):
    open_features(page, app)
    search(page, "water")
    expect(cards(page).nth(2)).to_be_visible()
    latent = number_in(cards(page).nth(2).inner_text())
    first = number_in(cards(page).first.inner_text())
    cards(page).nth(2).click()
    expect(page.get_by_role("heading", name=f"Latent {latent}")).to_be_visible()
    assert number_in(cards(page).first.inner_text()) == first
    assert "q=water" in page.url and f"latent={latent}" in page.url


def test_what_fires_on_a_text_is_listed_with_that_text(page: Page, app: str):
    open_features(page, app)
    search(page, "fires on: <b>the tide</b> came in")
    expect(
        page.get_by_text("50 latents that fire on the text, by what is distinctive of it.")
    ).to_be_visible()
    page.get_by_label("but not on", exact=True).fill("the train came in")
    page.get_by_label("but not on", exact=True).press("Enter")
    expect(page.get_by_text(re.compile(r"more than on the second text"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"on your text, \d+\.\d\d on the second")).first).to_be_visible()


def test_a_latent_is_tried_labelled_found_by_its_label_and_put_in_the_tray(page: Page, app: str):
    open_features(page, app)
    search(page, "water")
    cards(page).first.click()
    latent = number_in(cards(page).first.inner_text())
    expect(page.get_by_role("heading", name=f"Latent {latent}")).to_be_visible()
    text = page.get_by_label("Text to read")
    text.fill("They drank the water of the river and of the sea.")
    text.press("Control+Enter")
    expect(page.get_by_text(re.compile(r"It fires at (none|\d+) of"))).to_be_visible()
    label = page.get_by_label("Label", exact=True).last
    label.fill("drinking *and* rivers")
    label.press("Enter")
    expect(page.get_by_text("drinking *and* rivers").first).to_be_visible()
    search(page, "drinking and rivers")
    expect(cards(page)).to_have_count(1)
    assert number_in(cards(page).first.inner_text()) == latent
    page.get_by_role("button", name="Add to tray").click()
    expect(page.get_by_text("Steering tray (2)")).to_be_visible()
    expect(page.get_by_role("button", name="In tray")).to_be_disabled()


@pytest.mark.timeout(900)
def test_an_atlas_of_ones_own_text_is_stopped_resumed_used_and_deleted(page: Page, app: str, tmp_path: Path):
    corpus = tmp_path / "harbour.txt"
    corpus.write_text(CORPUS)
    open_features(page, app, "Build")
    page.locator("input[type=file]").first.set_input_files(corpus)
    page.get_by_label("Contexts", exact=True).fill("4")
    page.get_by_label("Contexts", exact=True).press("Enter")
    page.get_by_role("button", name="Build the atlas").click()
    expect(page.get_by_text(re.compile(r"Read [\d,]+ tokens, [\d,]+ a second"))).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Stopped. What was read is kept")).to_be_visible()
    expect(page.get_by_text(re.compile(r"harbour\.txt.*[1-9][\d,]* tokens read"))).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("button", name="Resume")).to_have_count(1)
    page.get_by_role("button", name="Resume").click()
    # the rest of the app works meanwhile
    page.get_by_role("radio", name="Find", exact=True).click()
    search(page, "water")
    expect(cards(page).first).to_be_visible()
    expect(page.get_by_text("The atlas of harbour.txt is ready")).to_be_visible(timeout=400_000)
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_text(re.compile(r"read off [\d,]+ tokens of harbour\.txt"))).to_be_visible()
    search(page, "lamps")
    expect(cards(page).first).to_be_visible()
    # a press while the page still answers the search would be lost
    settle(page)
    page.get_by_role("radio", name="Build", exact=True).click()
    expect(page.get_by_text("Build an atlas of your own text")).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_text(re.compile(r"read off [\d,]+ tokens of corpus\.jsonl"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"harbour\.txt.*tokens, built"))).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text(re.compile(r"harbour\.txt.*tokens, built"))).to_have_count(0)
