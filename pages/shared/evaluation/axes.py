"""What varies: the strengths, up to two more axes with their values, and what the rest stands at."""

import re
from dataclasses import dataclass
from typing import Any, get_args

import streamlit as st

from sas_core.contrast.positions import POSITIONS
from sas_core.contrast.select import Sides
from sas_core.errors import BadInput
from sas_core.evaluation.sweep.cells import AXIS_TITLES
from sas_core.evaluation.sweep.spec import AUTO, Axes
from sas_core.steering.spec import Nonlinearity, SteeredTokens

_KEEP = {"persist_state": "session"}
_STRENGTHS = "-4 -2 -1 0 1 2 4"
_MOST_VARIED = 2
# what a top-k may be besides a number
_NAMED = {"all": None, AUTO: AUTO}


@dataclass(frozen=True)
class _Axis:
    """`options` of a choice; without any, values are typed. `start`: what it has when it varies first."""

    start: str | tuple[Any, ...]
    options: tuple[Any, ...] = ()
    help: str | None = None
    built: bool = True


_AXES = {
    "tau": _Axis("0.3 0.5 0.7 0.9", help="A latent is kept when it fires in this share of one side"),
    "top_k": _Axis("5 20 all", help="The strongest k latents of each side, or all. auto: as Contrast begins "
                   "with these pairs, and all where shared latents are not auto"),
    "sides": _Axis(get_args(Sides), get_args(Sides)),
    "drop_shared": _Axis((True, False), (AUTO, True, False), "Latents that reach tau on both sides are "
                         "removed; no: their difference is kept; auto: as Contrast begins with these pairs"),
    "position": _Axis(POSITIONS, ("auto", *POSITIONS), "Where the completions of the pairs are read"),
    "nonlinearity": _Axis(get_args(Nonlinearity), get_args(Nonlinearity), "After the addition", built=False),
    "error_term": _Axis((True, False), (True, False), "What the dictionary cannot rebuild is added back",
                        built=False),
    "tokens": _Axis(get_args(SteeredTokens), get_args(SteeredTokens), "Where the model is steered",
                    built=False),
}  # fmt: skip


def draw_strengths() -> str:
    st.session_state.setdefault("evaluate.scale", _STRENGTHS)
    return st.text_input(
        "Strengths \u03bb", key="evaluate.scale", **_KEEP,
        help="Numbers apart by spaces or commas; 0, the unsteered model, is always among them",
    )  # fmt: skip


def draw_varied(*, finished: bool) -> tuple[str, ...]:
    """Up to two axes besides the strength; a finished vector can only vary how it is applied."""
    names = [name for name, axis in _AXES.items() if not (finished and axis.built)]
    key = f"evaluate.vary.{'vector' if finished else 'pairs'}"
    chosen = st.multiselect(
        "Vary also", names, format_func=AXIS_TITLES.__getitem__, key=key, max_selections=_MOST_VARIED,
        placeholder="nothing else", help="Every value is combined with every strength and control", **_KEEP,
    )  # fmt: skip
    for name in chosen:
        _draw_values(name, "vary", _AXES[name].start)
    return tuple(chosen)


def draw_fixed(varied: tuple[str, ...], *, finished: bool) -> None:
    """One value for each axis that does not vary."""
    names = [n for n, axis in _AXES.items() if n not in varied and not (finished and axis.built)]
    for row in (names[:3], names[3:6], names[6:]):
        for name, place in zip(row, st.columns(3), strict=False):
            with place:
                _draw_one(name)


def read_axes(strengths: str, varied: tuple[str, ...], *, finished: bool) -> dict[str, list[Any]]:
    """The axes as a spec has them. Raises BadInput, naming the axis, for what is no value."""
    read: dict[str, list[Any]] = {"scale": read_numbers("Strengths", strengths)}
    for name, axis in _AXES.items():
        if finished and axis.built:
            continue
        key = f"evaluate.{'vary' if name in varied else 'fixed'}.{name}"
        given = st.session_state.get(key)
        if given is None:
            continue
        read[name] = _typed(name, given) if isinstance(given, str) and not axis.options else _listed(given)
        if not read[name]:
            raise BadInput(f"{AXIS_TITLES[name].capitalize()} has no value to vary; choose at least one.")
    return read


def _draw_values(name: str, way: str, start: Any) -> None:
    axis, key = _AXES[name], f"evaluate.{way}.{name}"
    st.session_state.setdefault(key, list(start) if axis.options else start)
    title = AXIS_TITLES[name].capitalize() if name != "tau" else "tau"
    if axis.options:
        st.pills(f"{title}: values", axis.options, selection_mode="multi", format_func=_said, key=key,
                 help=axis.help, **_KEEP)  # fmt: skip
    else:
        st.text_input(f"{title}: values", key=key, help=axis.help, **_KEEP)


def _draw_one(name: str) -> None:
    axis, key, (default,) = _AXES[name], f"evaluate.fixed.{name}", Axes.model_fields[name].default
    title = AXIS_TITLES[name].capitalize() if name != "tau" else "tau"
    if axis.options:
        st.session_state.setdefault(key, default)
        st.selectbox(title, axis.options, format_func=_said, key=key, help=axis.help, **_KEEP)
    else:
        st.session_state.setdefault(key, default if isinstance(default, str) else f"{default:g}")
        st.text_input(title, key=key, help=axis.help, **_KEEP)


def _said(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value))


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _typed(name: str, text: str) -> list[Any]:
    parts = _parts(text)
    if name == "top_k":
        return [_NAMED[part] if part in _NAMED else _number("Top-k", part, int) for part in parts]
    return read_numbers("tau", text)


def read_numbers(what: str, text: str) -> list[float]:
    """Numbers apart by spaces or commas. Raises BadInput, naming `what`."""
    return [_number(what, part, float) for part in _parts(text)]


def _number(what: str, part: str, kind: type) -> Any:
    try:
        return kind(part.replace("\u2212", "-"))
    except ValueError:
        raise BadInput(f"{what}: {part[:20]!r} is no number; write numbers apart by spaces.") from None


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,;]+", text) if part]
