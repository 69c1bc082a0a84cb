"""The report of a sweep in a real browser, from a file: it draws, saves pictures, and fetches nothing."""

from pathlib import Path

from playwright.sync_api import Page, expect

from sas_core.evaluation.sweep.cells import Setting
from sas_core.evaluation.sweep.report.html import page as report
from tests.evaluation.sweeps import HOSTILE, a_sweep, some_texts


def test_the_report_opens_offline_draws_every_plot_and_saves_them(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    settings = (Setting(sae=HOSTILE), Setting(sae="other"))
    result = a_sweep(figures=("margin", "mcq", "price"), settings=settings, spec={"name": HOSTILE})
    file.write_text(report(result, some_texts(HOSTILE)), encoding="utf-8")
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    page.goto(file.as_uri())
    plots = page.locator("figure.plot")
    expect(page.locator("figure.plot .main-svg").first).to_be_visible()
    assert plots.count() == 7
    assert all(plots.nth(i).locator(".scatterlayer .trace").count() for i in range(7))
    assert page.title() == HOSTILE and page.locator("img").count() == 0
    expect(page.get_by_text("over the warm sand").or_(page.get_by_text(HOSTILE)).first).to_be_visible()

    for form, start in (("png", b"\x89PNG"), ("svg", b"<svg")):
        with page.expect_download() as started:
            plots.first.get_by_role("button", name=form.upper()).click()
        saved = tmp_path / f"plot.{form}"
        started.value.save_as(saved)
        assert saved.read_bytes().startswith(start)

    before = page.locator("figure.plot .canvas text").first.evaluate("node => getComputedStyle(node).fill")
    page.emulate_media(color_scheme="dark")
    after = page.locator("figure.plot .canvas text").first.evaluate("node => getComputedStyle(node).fill")
    assert before != after
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400

    assert said == []
    # a picture is made from a blob in memory
    assert [url for url in asked if not url.startswith(("blob:", "data:"))] == [file.as_uri()]
