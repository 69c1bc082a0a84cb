"""The first line of every page: set-up that may run twice, the engine, the sidebar with the tray."""

import uuid

import streamlit as st

from pages.shared.loaded import get_engine
from pages.shared.sidebar import draw_sidebar
from sas_core.steering.engine import Engine


def open_page(title: str) -> Engine:
    """Page config, title, engine, sidebar. Stops the page with a sentence when nothing can be loaded."""
    st.set_page_config(page_title=f"{title} - Steerscope", page_icon=":material/tune:", layout="wide")
    st.title(title, anchor=False)
    engine = get_engine()
    draw_sidebar(engine)
    return engine


def session_id() -> str:
    """Names this browser session in the engine's queue."""
    return st.session_state.setdefault("session_id", uuid.uuid4().hex)
