"""The real app on the demo preset in a real browser. One server and one browser for all tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from sas_core.model.demo import demo_ready
from sas_core.paths import ROOT
from tests.browser.chromium import LAUNCH_FLAGS, find_chromium
from tests.browser.server import served

PATIENCE_MS = 180_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a fresh server with an empty shelf and the demo's weights."""
    cache = tmp_path_factory.mktemp("cache")
    weights = demo_ready()
    assert weights is not None, "the demo's weights are missing: run `make test`"
    (cache / "models").symlink_to(weights.parent, target_is_directory=True)
    with served(ROOT / "app.py", cache) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(find_chromium()), args=list(LAUNCH_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()
