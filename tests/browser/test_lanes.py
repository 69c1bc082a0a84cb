"""Lanes beside the main pair in a real browser: a strip with a control, a lane used, the history."""

import re

from playwright.sync_api import Page, expect

from tests.browser.test_steering import expect_lane_text, lane, lane_text, wait_until_done

LINK = "?n=9&also=strip&strengths=0.5%201.5&controls=random"


def row_text(page: Page, index: int) -> str:
    """What the lane wrote, not what is said of it while its divergence is computed."""
    found = page.locator(f".st-key-lane-row-{index}").locator(".stHtml, [role=listbox]")
    words = found.filter(has_not_text="KL to unsteered").first
    expect(words).not_to_have_text("")
    return words.inner_text().strip()


def open_strip(page: Page, address: str) -> None:
    page.goto(f"{address}/{LINK}")
    wait_until_done(page)
    for name in ("random direction (seed 0)", "\u03bb +0.5", "\u03bb +1.5"):
        expect(page.get_by_text(name, exact=True)).to_be_visible()


def test_a_strip_runs_and_a_lane_of_it_takes_the_main_place_without_running_again(page: Page, app: str):
    open_strip(page, app)
    expect(page.get_by_text(re.compile(r"Token 9 of at most 9"))).to_be_visible()
    stronger = row_text(page, 4)
    assert len({lane_text(page, "unsteered"), lane_text(page, "steered"), stronger}) == 3
    page.locator(".st-key-lane-row-4").get_by_role("button", name="Use").click()
    # the control alone runs again: it is as long as what the steering adds now
    expect(page.get_by_text("4 lanes kept from before")).to_be_visible()
    expect(page.get_by_text(re.compile(r"steered: sea \+4\.05"))).to_be_visible()
    expect_lane_text(page, "steered", stronger)
    assert "scale=1.5" in page.url


def test_the_same_request_of_another_session_is_answered_from_the_history(page: Page, app: str):
    open_strip(page, app)
    expect(page.get_by_text("Answered from the history")).to_be_visible()
    before = lane_text(page, "steered")
    page.get_by_role("button", name="Copy as command").click()
    expect(page.get_by_text(re.compile(r"steer --prompt .*--strip"))).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Compute again").click()
    expect(page.get_by_text(re.compile(r"Token 9 of at most 9"))).to_be_visible()
    wait_until_done(page)
    expect_lane_text(page, "steered", before)
    page.get_by_text("Runs", exact=True).click()
    expect(page.get_by_text("Tell me about your day.").nth(1)).to_be_visible()
    expect(page.get_by_role("button", name="Restore").first).to_be_enabled()


def test_a_key_runs_what_stands_in_the_prompt(page: Page, app: str):
    page.goto(f"{app}/?n=5")
    expect(lane(page, "steered").locator(".stHtml, [role=listbox]")).to_be_visible()
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    prompt.fill("How is the harvest?")
    prompt.press("Control+Enter")
    expect(page.get_by_text(re.compile(r"Token 5 of at most 5"))).to_be_visible()
    assert "harvest" in page.url
