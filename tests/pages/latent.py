"""The card of a latent as its tests work it: drawn alone or over a page, clicked, read."""

from typing import Any
from unittest.mock import patch

import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.pages.app import chosen, open_page, shown
from tests.pages.test_tokens import Seen

CALLBACKS: dict[str, Any] = {}
BUSY = 20
"""A latent of the tiny atlas that fires in many windows."""


def card(index: int, **state: Any) -> AppTest:
    at = AppTest.from_function(_card_app, args=(index,), default_timeout=60)
    return shown(chosen(at, _dotted(state)))


def _card_app(index: int) -> None:
    import streamlit as st

    from pages.shared.latent.card import draw_latent
    from pages.shared.loaded import get_atlas, get_engine
    from pages.shared.tray.state import get_tray

    engine = get_engine()
    get_tray(engine)
    at = st.session_state.setdefault("at", index)
    draw_latent(engine, get_atlas(engine), at, key="here", go=lambda other: st.session_state.update(at=other))


def page(script: str, **state: Any) -> AppTest:
    return open_page(script, state=_dotted(state))


def _dotted(state: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in state.items()}


def selected(at: AppTest, name: str, row: int) -> AppTest:
    """The page after a click on a row of the table of this name."""
    names = ("latent.moves", "latent.open", "latent.trail", "at")
    state = {known: at.session_state[known] for known in names if known in at.session_state}
    key = f"{name}.{state.get('latent.moves', 0)}"
    with patch.object(st, "session_state", {**state, key: {"selection": {"rows": [row]}}}) as changed:
        CALLBACKS[key]()
    for known in names:
        if known in changed:
            at.session_state[known] = changed[known]
    return shown(at)


def texts(at: AppTest) -> str:
    kinds = (at.header, at.markdown, at.caption, at.text, at.info, at.warning, at.error, at.success)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def html_text(at: AppTest) -> str:
    return "\n".join(Seen(element.value).text for element in at.get("html"))


def uses(at: AppTest, band: str = "top") -> Any:
    """The menu of the first context of a band."""
    return next(menu for menu in at.get("menu_button") if f".{band}.0" in menu.key)
