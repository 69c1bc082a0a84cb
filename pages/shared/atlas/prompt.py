"""The view "Prompt" of Features: any text, every token with its latents, one latent along the whole text."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from pages.shared.atlas.prompt_token import draw_token
from pages.shared.header import session_id
from pages.shared.naming import Name, names_of
from pages.shared.token_strip import token_strip
from pages.shared.tokens import plain, visible
from sas_core.atlas.probe import PromptView, read_prompt
from sas_core.atlas.store import Atlas
from sas_core.errors import Cancelled, SteerscopeError
from sas_core.steering.engine import Engine

FIRST_TEXT = (
    "The train was late again, so we walked down to the sea and talked about the book she had lent me."
)
PIN, POSITION = "atlas.prompt.pin", "atlas.prompt.position"
_TEXT, _FORMAT, _SHOWN, _READ = (f"atlas.prompt.{name}" for name in ("text", "format", "shown", "read"))
_RAW, _CHAT = "raw text", "chat"
_STRIP, _TABLE = "Text", "Table"
_HEIGHT = 460
_NOTED = 4


@dataclass(frozen=True)
class _Asked:
    """What a reading depends on."""

    model: str
    sae: str
    text: str
    chat: bool


@dataclass(frozen=True, eq=False)
class _Reading:
    """A text as it was read. `number` tells the widgets of one reading from those of another."""

    asked: _Asked
    number: int
    view: PromptView


def draw_prompt_view(engine: Engine, atlas: Atlas | None) -> None:
    """The whole view, where the script stands. The last text stays read while the session is elsewhere."""
    asked, pressed = _draw_form(engine)
    if pressed:
        _read(engine, asked)
    reading = _get_reading(asked)
    if reading is None:
        st.caption(
            "Which latents fire at which word? Nothing is read yet: Read runs the model over the text once."
        )
        return
    if reading.asked != asked:
        st.caption("The text above has changed since this was read; Read again shows the new one.")
    _draw_reading(engine, atlas, reading)


def _draw_form(engine: Engine) -> tuple[_Asked, bool]:
    st.session_state.setdefault(_TEXT, FIRST_TEXT)
    text = st.text_area("Text or prompt", key=_TEXT, height=120, persist_state="session")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        pressed = st.button("Read", type="primary", key="atlas.prompt.go", icon=":material/visibility:",
                            help="Run the model over the text: what fires at each token")  # fmt: skip
        chat = False
        if engine.turns.has_template:
            st.session_state.setdefault(_FORMAT, _RAW)
            style = st.segmented_control(
                "Read it as", [_RAW, _CHAT], required=True, key=_FORMAT, persist_state="session",
                label_visibility="collapsed",
                help="Chat: as a user's turn, with the model's template around it",
            )  # fmt: skip
            chat = style == _CHAT
    return _Asked(engine.name, engine.dictionary.identity.sha256, text, chat), pressed


def _read(engine: Engine, asked: _Asked) -> None:
    before: _Reading | None = st.session_state.get(_READ)
    try:
        with st.spinner("Reading the text"):
            view = read_prompt(engine, asked.text, chat=asked.chat, session=session_id())
    except Cancelled:
        return
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.session_state[_READ] = _Reading(asked, before.number + 1 if before else 0, view)
    counted = (at for at in range(len(view.pieces)) if at not in view.excluded)
    st.session_state[POSITION] = next(counted, 0)


def _get_reading(asked: _Asked) -> _Reading | None:
    """The last text read, if it was by the model and SAE that are loaded."""
    reading: _Reading | None = st.session_state.get(_READ)
    same = reading is not None and (reading.asked.model, reading.asked.sae) == (asked.model, asked.sae)
    return reading if same else None


def _draw_reading(engine: Engine, atlas: Atlas | None, reading: _Reading) -> None:
    view = reading.view
    names = names_of(engine, sorted(set(view.codes.latents.tolist())))
    st.caption(_sentence(view))
    shown = _draw_controls(engine, view, names)
    text, token = st.columns([5, 4], gap="medium")
    with text.container(height=_HEIGHT, border=True, key="atlas-prompt-text"):
        draw = _draw_strip if shown == _STRIP else _draw_table
        draw(reading, names)
    with token.container(height=_HEIGHT, border=True, key="atlas-prompt-token", gap="xsmall"):
        draw_token(engine, atlas, view, st.session_state[POSITION], names,
                   key=f"atlas.prompt.{reading.number}", pin_key=PIN)  # fmt: skip


def _sentence(view: PromptView) -> str:
    mean = len(view.codes.latents) / max(view.counted, 1)
    counted = f"{view.counted:,} tokens, {mean:,.1f} latents firing at each on average."
    left_out = len(view.excluded)
    if not left_out:
        return counted
    more = (
        "1 more is a special token or an attention sink"
        if left_out == 1
        else (f"{left_out:,} more are special tokens or attention sinks")
    )
    return f"{counted} {more}: dimmed and not counted."


def _draw_controls(engine: Engine, view: PromptView, names: Mapping[int, Name]) -> str:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.session_state.setdefault(_SHOWN, _STRIP)
        shown = st.segmented_control("Shown as", [_STRIP, _TABLE], required=True, key=_SHOWN,
                                     persist_state="session")  # fmt: skip
        last = engine.dictionary.identity.d_sae - 1
        if (st.session_state.get(PIN) or 0) > last:
            # it was of a wider SAE
            st.session_state[PIN] = None
        pin = st.number_input("Colour by latent", min_value=0, max_value=last, value=None, step=1, key=PIN,
                              persist_state="session", placeholder="none", width=150)  # fmt: skip
        st.text(_pin_sentence(view, pin, names))
    return shown


def _pin_sentence(view: PromptView, pin: int | None, names: Mapping[int, Name]) -> str:
    if pin is None:
        return "Under each token: its strongest latent. Press a token to see all of them."
    values = view.values(pin)
    fired, top = sum(value > 0 for value in values), max(values)
    name = f"Latent {pin} ({names[pin].words})" if pin in names else f"Latent {pin}"
    if not fired:
        return f"{name} fires at no token of this text."
    at = values.index(top)
    return (
        f"{name} fires at {fired:,} of {view.counted:,} tokens, most at token {at + 1} "
        f"\u201c{visible(view.pieces[at])}\u201d: {top:.3g}."
    )


def _draw_strip(reading: _Reading, names: Mapping[int, Name]) -> None:
    view, pin = reading.view, st.session_state[PIN]
    values = None if pin is None else view.values(pin)
    if values is None:
        below = [str(found[0][0]) if found else "" for found in view.strongest]
    else:
        below = [f"{value:.2g}" if value > 0 else "" for value in values]
    pressed = token_strip(
        view.pieces, values, key=f"atlas.prompt.strip.{reading.number}", unit="activation",
        excluded=view.excluded, selected=st.session_state[POSITION], below=below,
        notes=[_note(found[:_NOTED], names) for found in view.strongest],
    )  # fmt: skip
    if pressed is not None:
        st.session_state[POSITION] = pressed


def _note(found: tuple[tuple[int, float], ...], names: Mapping[int, Name]) -> str:
    named = (f"{latent} {names[latent].words}" if latent in names else str(latent) for latent, _ in found)
    said = ", ".join(f"{name} ({value:.3g})" for name, (_, value) in zip(named, found, strict=True))
    return f"strongest latents: {said}" if said else "no latent fires"


def _draw_table(reading: _Reading, names: Mapping[int, Name]) -> None:
    view, pin = reading.view, st.session_state[PIN]
    columns: dict[str, list] = {
        "position": list(range(1, len(view.pieces) + 1)),
        "token": [visible(piece) for piece in view.pieces],
    }
    if pin is not None:
        columns["pinned"] = [value or None for value in view.values(pin)]
    columns["fire"] = [len(view.token(at)) for at in range(len(view.pieces))]
    columns["strongest"] = [
        "not counted" if at in view.excluded else _note(found, names).removeprefix("strongest latents: ")
        for at, found in enumerate(view.strongest)
    ]
    event = st.dataframe(
        columns, hide_index=True, height=_HEIGHT - 40, key=f"atlas.prompt.table.{reading.number}",
        on_select="rerun", selection_mode="single-row", placeholder="",
        alt="Every token of the text with its strongest latents",
        column_config={
            "position": st.column_config.NumberColumn("Token", width=55, format="%d"),
            "token": st.column_config.TextColumn("Text", width=110),
            "fire": st.column_config.NumberColumn("Latents", width=65, help="How many fire at it"),
            "strongest": st.column_config.TextColumn("Strongest, with their activation", width="large"),
            "pinned": st.column_config.NumberColumn(f"Latent {pin}", width=90, format="%.3f"),
        },
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(view.pieces):
        st.session_state[POSITION] = chosen[0]
