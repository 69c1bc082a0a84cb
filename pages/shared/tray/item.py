"""One item of the tray in the sidebar: its line, its slider and number, the ruler, and what can be done."""

from dataclasses import dataclass

import streamlit as st

from pages.shared.latent.state import open_latent
from pages.shared.naming import Name
from pages.shared.tokens import plain, show_html
from pages.shared.tray.focus import focus
from pages.shared.tray.how import draw_how, how_words
from pages.shared.tray.ruler import marks_words, ruler_html
from pages.shared.tray.search import Found, Search, found_zone, item_subject
from pages.shared.tray.sizes import item_sizes
from pages.shared.tray.state import set_tray
from pages.shared.tray.zone import draw_zone
from pages.shared.url import clamp
from sas_core.errors import SteerscopeError
from sas_core.settings import limit
from sas_core.steering.engine import Engine
from sas_core.steering.tray import Tray, TrayItem
from sas_core.steering.units import Axis, Marks, Sizes, Unit, axis_of, marks_of, why_not

_NUMBER_WIDTH = 76
_SHORT = 20
"""Characters of a name that fit beside a number on a line of the tray."""


@dataclass(frozen=True)
class ItemView:
    """An item as the sidebar shows it: `scale` is the whole tray's lambda, `fault` why it has no sizes.

    `name` is what its latent is called, for an item of a single one.
    """

    item: TrayItem
    unit: Unit
    scale: float
    sizes: Sizes
    axis: Axis
    fault: str | None = None
    name: Name | None = None


def view_item(engine: Engine, item: TrayItem, unit: Unit, scale: float, name: Name | None = None) -> ItemView:
    try:
        sizes, fault = item_sizes(engine, item), None
    except SteerscopeError as error:
        sizes, fault = Sizes(), str(error)
    return ItemView(item, unit, scale, sizes, axis_of(item, unit, sizes), fault, name)


def draw_line(view: ItemView, *, focused: bool) -> None:
    """One line: on or off, the name, and the strength, which leads to the item's controls.

    The focused item's controls are drawn already; its line only marks it.
    """
    name, reading = st.columns([5, 2], vertical_alignment="center")
    if focused:
        name.markdown(f":material/chevron_right: **{plain(view.item.label)}**")
    else:
        with name:
            _draw_switch(view.item, bold=False, name=view.name)
    reading.button(view.axis.words(view.item.strength), key=f"focus.{view.item.key}", type="tertiary",
                   disabled=focused, on_click=focus, args=(view.item.key,),
                   help=f"Show the controls of {plain(view.item.label)}")  # fmt: skip


def draw_item(engine: Engine, view: ItemView, place: int, *, focused: bool) -> Search | None:
    """Its slider; when focused also the numbers in words, mode, gate and safe zone. May return a search.

    `place`: the item's in the tray.
    """
    with st.container(border=focused, key=f"tray.item.{place}", gap="xsmall"):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="xsmall"):
            _draw_head(view, focused)
        if view.name is not None:
            st.markdown(f":small[{view.name.markdown}]", help=view.name.help)
        found = _found(engine, view)
        marks = marks_of(view.axis, view.sizes, view.scale, found.coherent)
        _draw_slider(view, marks)
        return _draw_details(engine, view, marks, found) if focused else None


def _draw_head(view: ItemView, focused: bool) -> None:
    item = view.item
    _draw_switch(item, bold=focused)
    _draw_number(view)
    if not focused:
        st.button("", icon=":material/tune:", key=f"focus.{item.key}", type="tertiary", on_click=focus,
                  args=(item.key,), help=f"Mode, gate and safe zone of {plain(item.label)}")  # fmt: skip
    st.button("", icon=":material/close:", key=f"remove.{item.key}", type="tertiary",
              help=f"Remove {plain(item.label)} from the tray",
              on_click=lambda: set_tray(st.session_state["tray"].remove(item.key)))  # fmt: skip


def _draw_switch(item: TrayItem, *, bold: bool, name: Name | None = None) -> None:
    """`name` is for a line without room for one of its own."""
    key = f"on.{item.key}"
    st.session_state[key] = item.on
    words = f"**{plain(item.label)}**" if bold else plain(item.label)
    if name is not None:
        words += f" :gray[{plain(_cut(name.words))}]"

    def switched() -> None:
        set_tray(st.session_state["tray"].switch(item.key, st.session_state[key]))

    simple = item.mode == "add" and item.gate is None
    st.checkbox(words, key=key, on_change=switched, width="stretch",
                help=None if simple else plain(how_words(item)))  # fmt: skip


def _cut(words: str) -> str:
    return words if len(words) <= _SHORT else f"{words[: _SHORT - 1]}\u2026"


def _draw_slider(view: ItemView, marks: Marks) -> None:
    item, axis = view.item, view.axis
    key = f"strength.{_widget(view)}"
    st.session_state[key] = clamp(axis.read(item.strength), axis.low, axis.high)
    st.slider(
        f"{axis.title} of {plain(item.label)}", axis.low, axis.high, step=axis.step, key=key,
        format=f"%.{axis.decimals}f", on_change=_moved, args=(view, key),
        label_visibility="collapsed" if item.mode == "add" else "visible",
    )  # fmt: skip
    # always there, like the notes below: an element more or less would close the popover after it
    place = st.container()
    if marks != Marks():
        show_html(ruler_html(axis, marks, marks_words(axis, marks, view.scale)), place)


def _draw_number(view: ItemView) -> None:
    item, axis = view.item, view.axis
    key = f"exact.{_widget(view)}"
    st.session_state[key] = clamp(axis.read(item.strength), *axis.widest)
    st.number_input(
        f"Exact {axis.title.lower()} of {plain(item.label)}", *axis.widest, step=axis.step, key=key,
        format=f"%.{axis.decimals}f", on_change=_moved, args=(view, key), label_visibility="collapsed",
        width=_NUMBER_WIDTH,
    )  # fmt: skip


def _moved(view: ItemView, key: str) -> None:
    focus(view.item.key)
    _set_strength(view, view.axis.strength(float(st.session_state[key])))


def _set_strength(view: ItemView, strength: float) -> None:
    set_tray(st.session_state["tray"].set_strength(view.item.key, strength))


def _draw_details(engine: Engine, view: ItemView, marks: Marks, found: Found) -> Search | None:
    item = view.item
    count = "" if item.is_latent else f"{len(item.indices)} latents. "
    notes = [
        view.fault,
        count + marks_words(view.axis, marks, view.scale),
        why_not(item, view.unit, view.sizes),
    ]
    with st.container(gap="xsmall"):
        for note in filter(None, notes):
            st.caption(plain(note))
    with st.container(horizontal=True, gap="small"):
        draw_how(item, engine.dictionary.identity.d_sae)
        if item.is_latent:
            st.button("Card", key=f"card.{item.key}", type="tertiary", on_click=open_latent,
                      args=(item.indices[0],), help=f"What {plain(item.label)} means")  # fmt: skip
        else:
            _draw_split(item)
    if view.fault:
        return None
    return draw_zone(item_subject(item, view.scale), found, view.axis, view.scale or 1.0,
                     lambda strength: _set_strength(view, strength))  # fmt: skip


def _draw_split(item: TrayItem) -> None:
    tray: Tray = st.session_state["tray"]
    too_many = len(tray) - 1 + len(item.indices) > limit("max_tray_items")
    st.button(
        "Split into latents", key=f"split.{item.key}", type="tertiary", on_click=_split, args=(item.key,),
        disabled=too_many,
        help=f"Its {len(item.indices)} latents do not fit: the tray holds {limit('max_tray_items')} items"
        if too_many else "A slider for each of its latents, which together steer as it did",
    )  # fmt: skip


def _split(key: str) -> None:
    try:
        set_tray(st.session_state["tray"].split(key))
    except SteerscopeError as error:
        st.toast(plain(str(error)), icon=":material/error:")


def _found(engine: Engine, view: ItemView) -> Found:
    try:
        return found_zone(engine, item_subject(view.item, view.scale))
    except SteerscopeError:
        # the page itself says what is wrong with its settings
        return Found()


def _widget(view: ItemView) -> str:
    """Another mode or unit is another widget: its numbers mean something else."""
    return f"{view.item.key}.{view.item.mode}.{view.unit}"
