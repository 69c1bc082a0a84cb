"""The switches between a ranking and its vector: tau, sides, top-k, shared. None asks the model."""

import math

import streamlit as st

from sas_core.contrast.choice import Choice, begin_with
from sas_core.contrast.pairs import Form

_SIDES = {"both": "Both", "positive": "+ only", "negative": "\u2212 only"}


def draw_choice(form: Form, *, disabled: bool) -> Choice:
    """One row of widgets, begun as the pairs' form asks; values survive page changes, tau is in the URL."""
    _begin(form)
    tau, sides, top_k, shared = st.columns([8, 9, 5, 7], vertical_alignment="bottom")
    return Choice(
        tau=tau.slider(
            "Threshold tau", 0.0, 1.0, step=0.01, key="contrast.tau", persist_state="session",
            disabled=disabled, on_change=_remember_tau,
            help="A latent is kept when it fires in at least this share of the texts of exactly one side",
        ),
        sides=sides.segmented_control(
            "Sides", list(_SIDES), format_func=_SIDES.__getitem__, required=True, key="contrast.sides",
            persist_state="session", disabled=disabled,
        ),
        top_k=top_k.number_input(
            "Top-k of each", min_value=1, step=1, key="contrast.top_k", placeholder="all",
            persist_state="session", disabled=disabled,
            help="The strongest k latents of each side; empty keeps all",
        ),
        drop_shared=shared.toggle(
            "Drop shared", key="contrast.drop_shared", persist_state="session", disabled=disabled,
            help="On: latents that reach tau on both sides are removed, as published. Off keeps their "
            "difference: in free text nearly all latents fire somewhere on both sides",
        ),
    )  # fmt: skip


def _begin(form: Form) -> None:
    st.session_state.setdefault("contrast.tau", _tau_from_url())
    st.session_state.setdefault("contrast.sides", "both")
    if st.session_state.get("contrast.form") != form:
        begun = begin_with(form)
        st.session_state["contrast.top_k"], st.session_state["contrast.drop_shared"] = (
            begun.top_k,
            begun.drop_shared,
        )
        st.session_state["contrast.form"] = form


def _tau_from_url() -> float:
    try:
        asked = float(st.query_params.get("tau", "0.7"))
    except ValueError:
        return 0.7
    return round(min(max(asked, 0.0), 1.0), 2) if math.isfinite(asked) else 0.7


def _remember_tau() -> None:
    st.query_params["tau"] = f"{st.session_state['contrast.tau']:g}"
