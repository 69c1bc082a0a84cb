"""What a latent is called, on every page: a person's label, else what a program made of it, told apart.

An automatic label is a rule with a known rate of errors and no more: it is muted, marked and has that rate
beside it, and it stands only where nobody has labelled the latent. Those without a clear rule have no name
here; their card says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from pages.shared.loaded import get_atlas, get_labels
from pages.shared.tokens import plain
from sas_core.atlas.types import AutoLabel
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine

MARK = "\u2248"
"""Before an automatic label, wherever text has no other look."""


@dataclass(frozen=True)
class Name:
    """What stands beside a latent's number. `auto` is set where a program wrote `text`, and no person."""

    text: str
    auto: AutoLabel | None = None

    @classmethod
    def of(cls, label: str | None, auto: AutoLabel | None) -> "Name | None":
        """A person's label, else the automatic one if it is clear."""
        if label:
            return cls(label)
        return cls(auto.text, auto) if auto is not None and auto.clear else None

    @property
    def words(self) -> str:
        """For cells and sentences: the mark tells an automatic label from a person's."""
        return f"{MARK} {self.text}" if self.auto else self.text

    @property
    def markdown(self) -> str:
        """A person's label in bold; an automatic one muted, with the share in which it is right."""
        if self.auto is None:
            return f"**{plain(self.text)}**"
        return f":gray[{plain(self.words)}] :gray-badge[auto {self.auto.confidence:.2f}]"

    @property
    def help(self) -> str | None:
        """What an automatic label is worth, as Markdown."""
        return None if self.auto is None else f"Automatic label: {plain(self.auto.said)}"


def names_of(
    engine: Engine, latents: Sequence[int], given: Mapping[int, str] | None = None
) -> dict[int, Name]:
    """The names of those latents that have one: the user's, then the `given` ones, then automatic ones.

    `given` are labels that somebody wrote into a file.
    """
    if not latents:
        # to open an atlas may mean to unpack it, which nobody should wait for in vain
        return {}
    latents = [int(latent) for latent in latents]
    people = {**(given or {}), **_own(engine, latents)}
    automatic = _automatic(engine, latents)
    found = {latent: Name.of(people.get(latent), automatic.get(latent)) for latent in latents}
    return {latent: name for latent, name in found.items() if name is not None}


def draw_name(name: Name) -> None:
    """The name on the line where the script stands."""
    st.markdown(name.markdown, width="content", help=name.help)


def name_columns(names: Mapping[int, Name], latents: Sequence[int]) -> dict[str, list[object]]:
    """For a table of these latents: the column of names and that of how far automatic ones are right.

    Each is there only where it holds something.
    """
    found = [names.get(latent) for latent in latents]
    columns: dict[str, list[object]] = {
        "label": [name.words if name else "" for name in found],
        "auto_right": [name.auto.confidence if name and name.auto else None for name in found],
    }
    return {key: cells for key, cells in columns.items() if any(cells)}


def name_config(width: int | None = 120) -> dict[str, object]:
    """How a table shows the columns of `name_columns`."""
    column = st.column_config
    return {
        "label": column.TextColumn(
            "Label", width=width, help=f"Your own; after {MARK} an automatic one, a rule made from contexts"
        ),
        "auto_right": column.NumberColumn(
            f"{MARK} right", format="%.2f", width=62,
            help="How far an automatic label is right: balanced accuracy on passages that the rule was not "
            "made from; 0.5 is chance, 1 never wrong",
        ),
    }  # fmt: skip


def _own(engine: Engine, latents: Sequence[int]) -> dict[int, str]:
    try:
        return get_labels().of(engine.dictionary.identity.sha256, latents)
    except SteerscopeError:
        # a name is an extra here; the card, where labels are written, says what is wrong with their file
        return {}


def _automatic(engine: Engine, latents: Sequence[int]) -> dict[int, AutoLabel]:
    atlas = get_atlas(engine)
    try:
        return atlas.auto_labels(latents) if atlas else {}
    except SteerscopeError:
        # Features says what is wrong with the atlas
        return {}
