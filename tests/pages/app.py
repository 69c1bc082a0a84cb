"""Any page as its tests work it: opened on the tiny engine, pressed, read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from pages.shared.loaded import EngineChoice
from sas_core.steering.engine import Engine

ROOT = Path(__file__).resolve().parents[2]


def open_page(
    script: str,
    page: str = "",
    *,
    query: Mapping[str, str] | None = None,
    state: Mapping[str, Any] | None = None,
) -> AppTest:
    """The page of a script; of the whole app (`app.py`) after turning to `page`."""
    at = chosen(AppTest.from_file(str(ROOT / script), default_timeout=60), state)
    for name, value in (query or {}).items():
        at.query_params[name] = value
    if page and script == "app.py":
        at.run()
        at.switch_page(page)
    return shown(at)


def chosen(at: AppTest, state: Mapping[str, Any] | None = None) -> AppTest:
    """Before its first run: the tiny engine is chosen, and this is in the session's state."""
    at.session_state["engine_choice"] = EngineChoice("custom", model="tiny")
    for name, value in (state or {}).items():
        at.session_state[name] = value
    return at


def shown(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def press(at: AppTest, key: str) -> AppTest:
    at.button(key=key).click()
    return shown(at)


def words(at: AppTest) -> str:
    """Everything that is said, as it goes to the browser."""
    kinds = ("text", "markdown", "caption", "success", "warning", "error", "info", "html", "subheader")
    return "\n".join(str(getattr(e, "value", None) or e.proto.body) for kind in kinds for e in at.get(kind))


def plain_words(at: AppTest) -> str:
    """The same without the backslashes that keep markdown from being read."""
    return words(at).replace("\\", "")


def link(at: AppTest, name: str) -> str | None:
    """What the page's address says under this name."""
    value = at.query_params.get(name)
    return value[0] if isinstance(value, list) else value


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """The model is somebody else's turn, so that what needs it waits."""
    with engine.turn("somebody else") as ticket:
        assert ticket.wait(60)
        yield
