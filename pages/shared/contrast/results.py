"""The right column of Contrast: funnel, plane and ranked table. What is selected is kept by latent index."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.shared.contrast.run import Computed
from pages.shared.density import density_columns, density_config
from pages.shared.naming import name_columns, name_config, names_of
from pages.shared.tokens import visible
from sas_core.atlas.lens import Writes, writes
from sas_core.contrast.choice import Choice
from sas_core.contrast.figures import Dot, dots, latents_at, plane
from sas_core.contrast.table import LISTINGS, MOST_ROWS, Fate, Listing, fates, latent_columns, ranked
from sas_core.steering.engine import Engine

PLANE_HEIGHT = 400
_TABLE_HEIGHT = 330
_TOKENS = 4


@dataclass(frozen=True, eq=False)
class View:
    """A ranking under a choice: what became of each latent, and the dots of the plane."""

    computed: Computed
    choice: Choice
    fate: list[Fate]
    found: list[Dot]
    stale: bool

    def position(self, latent: int) -> int | None:
        """Where the latent stands in the evidence; None when it never fires."""
        at = self.computed.ranking.evidence.latents.searchsorted(latent)
        latents = self.computed.ranking.evidence.latents
        return int(at) if at < len(latents) and latents[at] == latent else None


def view_of(computed: Computed, choice: Choice, *, stale: bool) -> View:
    """Counts and sums only: fast enough for every move of the slider."""
    fate = fates(computed.ranking, choice)
    return View(computed, choice, fate, dots(computed.ranking.evidence, fate), stale)


def get_selected(view: View) -> int | None:
    """The latent whose card is open, if the ranking knows it."""
    latent = st.session_state.get("contrast.latent")
    return latent if latent is not None and view.position(latent) is not None else None


def select(latent: int | None) -> None:
    """Open a latent's card, or close it. The table is redrawn with its row marked."""
    st.session_state["contrast.latent"] = latent
    st.session_state["contrast.moves"] = st.session_state.get("contrast.moves", 0) + 1


def draw_plane(view: View) -> None:
    figure = plane(
        view.found,
        view.choice.tau,
        drop_shared=view.choice.drop_shared,
        selected=get_selected(view),
        muted=view.stale,
        height=PLANE_HEIGHT,
    )
    st.plotly_chart(
        figure,
        key="contrast.plane", on_select=_plane_clicked, selection_mode=("points", "box"),
        config={"displaylogo": False, "modeBarButtons": [["pan2d", "select2d", "resetScale2d"]]},
        alt=_plane_alt(view),
    )  # fmt: skip


def _plane_alt(view: View) -> str:
    kept = sum(fate in ("+", "\u2212") for fate in view.fate)
    return (
        f"{len(view.fate)} latents by the share of positive and of negative texts in which they fire, with "
        f"tau at {view.choice.tau:.2f} on both axes; {kept} are kept. The table below holds the same numbers."
    )


def _plane_clicked() -> None:
    """Dots of a click or a box, strongest first; the table then lists these."""
    points = st.session_state["contrast.plane"]["selection"]["points"]
    latents = [_first(point.get("customdata")) for point in points]
    latents = [latent for latent in latents if latent is not None]
    if latents:
        st.session_state["contrast.box"] = tuple(dict.fromkeys(latents))
        select(latents[0])


def _first(customdata: Any) -> int | None:
    # Streamlit hands a row of customdata back as a list, or as an object with its positions as names
    value = customdata.get("0") if isinstance(customdata, dict) else (customdata or [None])[0]
    return int(value) if value is not None else None


def clear_box() -> None:
    """Let the table list everything again. For a widget's callback."""
    st.session_state.pop("contrast.box", None)


def draw_listing() -> Listing:
    """Which latents the table lists."""
    st.session_state.setdefault("contrast.listing", "kept")
    return st.segmented_control(
        "Latents listed", list(LISTINGS), format_func=str.capitalize, required=True, key="contrast.listing",
        persist_state="session", label_visibility="collapsed", on_change=clear_box,
    )  # fmt: skip


def draw_table(engine: Engine, view: View, listing: Listing) -> None:
    """Ranked rows with evidence; a click on one opens its card, the table stays."""
    at, total = _rows(view, listing)
    evidence = view.computed.ranking.evidence
    latents = evidence.latents[at].tolist()
    if not latents:
        st.text("No latent to list here. Lower tau, or list all.")
        return
    columns = latent_columns(evidence, at, view.fate, _reads(engine, view, latents), _writes(engine, latents))
    number_and_side = {name: columns.pop(name) for name in ("latent", "side")}
    known = name_columns(names_of(engine, latents), latents) | density_columns(engine, latents)
    columns = number_and_side | known | columns
    selected = get_selected(view)
    st.session_state["contrast.listed"] = latents
    few = (
        f"The {len(latents)} strongest of {total:,} latents" if total > len(latents) else f"{total:,} latents"
    )
    said = f"{few} by mean difference over pairs. AUROC: {evidence.auroc_source}; q: Benjamini-Hochberg."
    st.dataframe(
        columns, hide_index=True, height=_TABLE_HEIGHT, column_config=_column_config(evidence.auroc_source),
        key=_table_key(latents), on_select=_row_clicked, selection_mode="single-row",
        selection_default={"selection": {"rows": [latents.index(selected)] if selected in latents else []}},
        alt=said, placeholder="",
    )  # fmt: skip
    st.caption(said)


def _rows(view: View, listing: Listing) -> tuple[Sequence[int], int]:
    """Positions in the evidence to list, and of how many; a selection in the plane narrows them."""
    ranking = view.computed.ranking
    box = st.session_state.get("contrast.box", ())
    inside = {latent for one in box for latent in latents_at(view.found, one)}
    if len(inside) < 2:
        at = ranked(ranking, view.fate, listing, most=len(view.fate))
    else:
        st.button(f"{len(inside)} latents selected in the plane: list all again", type="tertiary",
                  key="contrast.unbox", icon=":material/filter_alt_off:", on_click=clear_box)  # fmt: skip
        everything = ranked(ranking, view.fate, "all", most=len(view.fate))
        at = [i for i in everything if int(ranking.evidence.latents[i]) in inside]
    return at[:MOST_ROWS], len(at)


def _table_key(latents: Sequence[int]) -> str:
    """Other rows, or a selection made elsewhere, need a table that forgets its own selection."""
    digest = hashlib.sha256(repr(latents).encode()).hexdigest()[:12]
    key = f"contrast.rows.{digest}.{st.session_state.get('contrast.moves', 0)}"
    st.session_state["contrast.table_key"] = key
    return key


def _row_clicked() -> None:
    rows = st.session_state[st.session_state["contrast.table_key"]]["selection"]["rows"]
    listed = st.session_state.get("contrast.listed", [])
    # the table marks its own row, so nothing has to be redrawn
    st.session_state["contrast.latent"] = listed[rows[0]] if rows and rows[0] < len(listed) else None


def _reads(engine: Engine, view: View, latents: Sequence[int]) -> dict[int, str]:
    ranking = view.computed.ranking
    return {latent: join(engine.turns.pieces(ranking.reads(latent, _TOKENS))) for latent in latents}


def join(pieces: Sequence[str]) -> str:
    """Tokens as one cell of text, white space visible."""
    return "  ".join(visible(piece) for piece in pieces)


@st.cache_resource(max_entries=2, show_spinner=False)
def _lens_store(sha256: str, model: str) -> dict[int, Writes]:
    """What latents write, found once for all sessions; grows with the rows that were shown."""
    return {}


def lens_of(engine: Engine, latents: Sequence[int]) -> dict[int, Writes]:
    """`writes` of these latents, from the store where they are known."""
    store = _lens_store(engine.dictionary.identity.sha256, engine.name)
    missing = [latent for latent in latents if latent not in store]
    if missing:
        store.update(zip(missing, writes(engine, missing), strict=True))
    return {latent: store[latent] for latent in latents}


def _writes(engine: Engine, latents: Sequence[int]) -> dict[int, str]:
    return {latent: join(found.up[:_TOKENS]) for latent, found in lens_of(engine, latents).items()}


def _column_config(auroc_source: str) -> dict[str, Any]:
    column = st.column_config
    share = {"min_value": 0, "max_value": 100, "format": "%.0f %%", "width": 80}
    number = {"format": "%.2f", "width": 72}
    return {
        "latent": column.NumberColumn("Latent", format="%d", width=58, pinned=True),
        "side": column.TextColumn("Side", width=48, help="+ or \u2212: the sign in the vector"),
        "reads": column.TextColumn(
            "Reads", width=152, help="Tokens at which it was strongest in these pairs"
        ),
        "writes": column.TextColumn("Writes", width=136, help="Tokens its decoder row raises (logit lens)"),
        **name_config(),
        **density_config(),
        "freq_pos": column.ProgressColumn("freq+", help="Share of positive texts where it fires", **share),
        "freq_neg": column.ProgressColumn(
            "freq\u2212", help="Share of negative texts where it fires", **share
        ),
        "auroc": column.ProgressColumn(
            "AUROC",
            min_value=0.0,
            max_value=1.0,
            format="%.2f",
            width=80,
            help=f"{auroc_source}; 0.5 is chance",
        ),
        "q_value": column.NumberColumn("q", format="%.2g", width=64, help="p after Benjamini-Hochberg"),
        "difference": column.NumberColumn(
            "Difference", help="Mean over pairs, + minus \u2212, zeros in", **number
        ),
        "mean_pos": column.NumberColumn("mean+", help="Mean where it fires, positive texts", **number),
        "mean_neg": column.NumberColumn("mean\u2212", help="Mean where it fires, negative texts", **number),
        "sign_agreement": column.NumberColumn(
            "Agreement", format="%.0f %%", width=84, help="Pairs that differ in the mean's direction"
        ),
        "p_value": column.NumberColumn(
            "p", format="%.2g", width=64, help="Sign-flip permutation, 2,000 draws"
        ),
    }
