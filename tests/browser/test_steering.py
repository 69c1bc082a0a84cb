"""Steer in a real browser: the first screen, a live run, a slider moved while the model writes."""

import re

from playwright.sync_api import Page, expect

PROMPT = "Tell me about your day."


def lane(page: Page, name: str):
    return page.locator(f".st-key-lane-{name}")


def lane_text(page: Page, name: str) -> str:
    """The answer alone, without the lane's heading: while it is written, or as tokens to press."""
    words = lane(page, name).locator(".stHtml, [role=listbox]")
    # as a list: exactly one, where there may be an old and a new one for a moment
    expect(words).to_have_text([re.compile(r"\S")])
    return words.inner_text().strip()


def expect_lane_text(page: Page, name: str, text: str) -> None:
    """The lane comes to read so: what stood there before may be swept away first."""
    expect(lane(page, name).locator(".stHtml, [role=listbox]")).to_have_text([text])


def open_steer(page: Page, address: str, new_tokens: int = 24) -> None:
    page.goto(f"{address}/?n={new_tokens}")
    expect(page.get_by_role("heading", name="Steer")).to_be_visible()
    expect(lane(page, "steered").locator(".stHtml, [role=listbox]")).to_be_visible()


def wait_until_done(page: Page) -> None:
    """A finished run has a receipt."""
    expect(page.get_by_text(re.compile(r"\d+ tokens steered"))).to_be_visible()


def test_the_first_screen_shows_a_recorded_answer_and_says_so(page: Page, app: str):
    open_steer(page, app)
    expect(page.get_by_text("Recorded with the vector")).to_be_visible()
    assert lane_text(page, "unsteered") != lane_text(page, "steered") != ""
    expect(page.locator(".st-key-steer-run [data-testid^=stBaseButton]").first).to_be_visible()


def test_moving_the_slider_while_the_model_writes_restarts_only_what_changes(page: Page, app: str):
    open_steer(page, app)
    page.locator(".st-key-steer-run [data-testid^=stBaseButton]").first.click()
    expect(page.get_by_text(re.compile(r"Token [3-9] of at most"))).to_be_visible()
    exact = page.get_by_label("Exact strength of sea")
    before = exact.input_value()
    exact.fill("-3")
    exact.press("Enter")
    expect(page.get_by_text("steered: sea -3.00")).to_be_visible()
    wait_until_done(page)
    unsteered, suppressed = lane_text(page, "unsteered"), lane_text(page, "steered")
    assert "tray=sea%3A-3" in page.url or "tray=sea:-3" in page.url
    exact.fill(before)
    exact.press("Enter")
    expect(page.get_by_text(f"steered: sea +{float(before):.2f}")).to_be_visible()
    # what stood there stays until the new answer is drawn over it
    expect(lane(page, "steered").locator(".stHtml, [role=listbox]").last).not_to_have_text(suppressed)
    expect(page.get_by_text("unsteered lane kept from before")).to_be_visible()
    wait_until_done(page)
    expect_lane_text(page, "unsteered", unsteered)
    assert lane_text(page, "steered") != suppressed
    assert suppressed != unsteered


def test_stop_keeps_what_is_written_and_a_run_at_strength_zero_is_not_called_steered(page: Page, app: str):
    # a length of its own: the finished request of another test would be answered from the history
    open_steer(page, app, 25)
    page.locator(".st-key-steer-run [data-testid^=stBaseButton]").first.click()
    expect(page.get_by_text(re.compile(r"Token [3-9] of at most"))).to_be_visible()
    page.locator(".st-key-steer-stop [data-testid^=stBaseButton]").first.click()
    expect(page.get_by_text("Stopped. Press Run to start again.")).to_be_visible()
    assert lane_text(page, "unsteered")
    exact = page.get_by_label("Exact strength of sea")
    exact.fill("0")
    exact.press("Enter")
    expect(lane(page, "steered")).to_have_count(0)


def test_a_prompt_of_markup_is_shown_as_written_and_an_empty_one_gets_one_sentence(page: Page, app: str):
    page.goto(f"{app}/?n=8&prompt=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("<img src=x onerror=alert(1)>")
    assert page.locator("img[src='x']").count() == 0
    page.get_by_label("Prompt", exact=True).fill("")
    page.locator(".st-key-steer-run [data-testid^=stBaseButton]").first.click()
    expect(page.get_by_text("The prompt is empty")).to_be_visible()


def test_a_bad_link_leaves_out_what_it_cannot_use_and_says_so(page: Page, app: str):
    page.goto(f"{app}/steer?tray=nonsense;sea:2")
    expect(page.get_by_text("was left out")).to_be_visible()
    expect(page.get_by_label("Exact strength of sea")).to_have_value("2.00")
