"""The search box of Features: a number, words, "like: 2317", "fires on: some text", each with its results."""

from collections.abc import Iterator
from dataclasses import replace

import streamlit as st

from pages.shared.atlas.filters import among
from pages.shared.atlas.results import Result, Results, Snippet
from pages.shared.atlas.state import (
    AGAINST,
    BY,
    QUERY,
    new_search,
    open_card,
    search_for,
    show_in_table,
)
from pages.shared.header import session_id
from sas_core.atlas.probe import FiredLatent, Firing, fires_on
from sas_core.atlas.search import Hit, Query, by_words, like, parse_query
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import Filter
from sas_core.errors import BadInput
from sas_core.steering.engine import Engine

DISTINCTIVE = "distinctive"
_MOST = 50
_FIRED = "atlas.fired"
_PLACEHOLDER = "Words, a latent's number, like: 2317, or fires on: some text"
_FOUND_IN = {"label": "in your label", "auto": "in its automatic label"}
_HOW = {"cosine": "decoder cosine {:.2f}", "together": "fires together, Jaccard {:.2f}"}


def draw_box(d_sae: int) -> None:
    """The one field that understands all four."""
    st.text_input(
        "Search the latents", key=QUERY, persist_state="session", placeholder=_PLACEHOLDER,
        label_visibility="collapsed", icon=":material/search:", on_change=_searched, args=(d_sae,),
    )  # fmt: skip


def draw_examples(d_sae: int) -> None:
    """One of each kind of query, to be pressed."""
    number = 2317 % d_sae
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Try", width="content")
        examples = ("sea", "fires on: I miss the smell of the sea.", f"like: {number}", str(number))
        for at, query in enumerate(examples):
            st.button(
                query, key=f"atlas.example.{at}", type="tertiary", on_click=_example, args=(query, d_sae)
            )


def read_query() -> Query | None:
    """What the box asks for; None while it is empty. Raises BadInput where a prefix has no sense."""
    text = st.session_state[QUERY].strip()
    return parse_query(text) if text else None


def draw_options(query: Query) -> None:
    """What belongs to one kind of query: a second text and the measure, or the way back to the table."""
    if query.kind == "fires on":
        st.session_state.setdefault(BY, DISTINCTIVE)
        row = st.container(horizontal=True, vertical_alignment="bottom")
        row.text_input(
            "but not on", key=AGAINST, persist_state="session", on_change=new_search,
            placeholder="a second text (optional)",
            help="Latents are then ranked by how much more they fire on the first text",
        )  # fmt: skip
        row.segmented_control(
            "ranked by", (DISTINCTIVE, "max", "mean"), required=True, key=BY, persist_state="session",
            on_change=new_search,
            help="Distinctive: the strongest value as a share of the latent's own maximum, times its rarity; "
            "max: the value at the strongest token; mean: over the text",
        )  # fmt: skip
    elif query.kind == "number":
        st.button("Show it in the table", key="atlas.in_table", type="tertiary", on_click=show_in_table,
                  args=(query.index,), icon=":material/table_rows:")  # fmt: skip


def search(engine: Engine, atlas: Atlas, query: Query, chosen: Filter) -> Results:
    """What was found and passes the filters. Raises BadInput for a query that cannot be answered."""
    found = _found(engine, atlas, query)
    if chosen == Filter() or not found.items:
        return found
    narrowed = among(chosen, tuple(result.row.index for result in found.items))
    passing = {row.index for row in atlas.page(narrowed, limit=len(found.items))}
    kept = tuple(result for result in found.items if result.row.index in passing)
    return Results(f"{found.title} {len(kept)} of {len(found.items)} pass the filters.", kept)


def _found(engine: Engine, atlas: Atlas, query: Query) -> Results:
    if query.kind == "words":
        return _by_words(atlas, query.text)
    if query.kind == "fires on":
        return _by_firing(engine, atlas, query.text)
    hits = tuple(map(_likeness, like(atlas, query.index, _MOST)))
    if query.kind == "like":
        return Results(
            f"{len(hits)} latents like {query.index}: by direction, then by firing together.", hits
        )
    (row,) = atlas.rows([query.index])
    return Results(f"Latent {query.index}, and the latents like it.", (Result(row), *hits))


def _by_words(atlas: Atlas, text: str) -> Results:
    hits = by_words(atlas, text, _MOST)
    items = tuple(_worded(hit) for hit in hits)
    if not items:
        return Results(f"No context and no label holds \u201c{text}\u201d. Fewer words find more.", ())
    count = f"The {_MOST} best latents" if len(items) == _MOST else f"{len(items)} latents"
    return Results(
        f"{count} for \u201c{text}\u201d in labels and contexts; words at the peak count most.", items
    )


def _worded(hit: Hit) -> Result:
    said = _FOUND_IN.get(hit.how, "")
    if hit.context is None:
        return Result(hit.row, said)
    return Result(hit.row, said, Snippet.of(hit.context, hit.matched[0] if hit.matched else None))


def _likeness(hit: Hit) -> Result:
    return Result(hit.row, _HOW[hit.how].format(hit.score))


def _by_firing(engine: Engine, atlas: Atlas, text: str) -> Results:
    against = st.session_state[AGAINST].strip() or None
    by = st.session_state[BY]
    asked = (engine.dictionary.identity.sha256, engine.name, atlas.path, text, against, by)
    known = st.session_state.get(_FIRED)
    if known is None or known[0] != asked:
        with st.spinner("The model reads the text"):
            known = (asked, _ranked(engine, atlas, text, against, by))
        st.session_state[_FIRED] = known
    items = tuple(_fired(atlas, known[1], by))
    if not items:
        return Results("Nothing fires more on this text than on the second one.", ())
    measure = {"max": "their strongest token", "mean": "their mean"}.get(by, "what is distinctive of it")
    more = " more than on the second text" if against else ""
    return Results(f"{len(items)} latents that fire on the text{more}, by {measure}.", items)


def _ranked(engine: Engine, atlas: Atlas, text: str, against: str | None, by: str) -> Firing:
    weigh = atlas.distinctive if by == DISTINCTIVE else None
    measure = "mean" if by == "mean" else "max"
    return fires_on(engine, text, by=measure, against=against, weigh=weigh, k=_MOST, session=session_id())


def _fired(atlas: Atlas, firing: Firing, by: str) -> Iterator[Result]:
    rows = atlas.rows([found.latent for found in firing.rows])
    for row, found in zip(rows, firing.rows, strict=True):
        own = Snippet(firing.pieces, firing.values(found.latent), found.peak, firing.excluded, found.peak)
        # its own text in full colour at its own strongest, where the corpus never drove it as high
        strongest = max(own.values)
        yield Result(replace(row, max=max(row.max, strongest)), _values(found), own)


def _values(found: FiredLatent) -> str:
    if found.against_value is None:
        return f"{found.value:.2f} on your text"
    return f"{found.value:.2f} on your text, {found.against_value:.2f} on the second"


def _searched(d_sae: int) -> None:
    """A number opens its card at once."""
    new_search()
    try:
        query = read_query()
    except BadInput:
        # said where the results would stand
        return
    if query is not None and query.kind == "number" and query.index < d_sae:
        open_card(query.index)


def _example(query: str, d_sae: int) -> None:
    search_for(query)
    _searched(d_sae)
