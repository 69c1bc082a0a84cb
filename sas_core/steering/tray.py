"""The steering tray: chosen vectors and latents with strengths. One immutable value, the same on every page.

Its URL form is `sea:2;812@3.1:1` - a vector by name, a latent by index @ typical activation, each with a
strength - so that a setting can be shared. What a URL says is user input and is checked here.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from sas_core.errors import BadInput, SteerscopeError
from sas_core.settings import setting
from sas_core.steering.spec import Nonlinearity, SteeredTokens, Steering, Term

_LATENT = re.compile(r"(\d+)@([0-9.eE+-]+)")


@dataclass(frozen=True)
class TrayItem:
    """A vector (by name) or a latent (by index), its values at strength 1, and its strength."""

    key: str
    label: str
    indices: tuple[int, ...]
    values: tuple[float, ...]
    strength: float = 1.0
    on: bool = True

    @property
    def is_latent(self) -> bool:
        return self.key.startswith("latent:")

    def term(self) -> Term:
        return Term(self.label, self.indices, self.values, self.strength)


def latent_item(index: int, typical: float, label: str = "", strength: float = 1.0) -> TrayItem:
    """A single latent; strength 1 adds its typical activation."""
    return TrayItem(f"latent:{index}", label or f"latent {index}", (index,), (typical,), strength)


def vector_item(name: str, indices: tuple[int, ...], values: tuple[float, ...], strength: float) -> TrayItem:
    """A saved vector; strength 1 adds it as it was saved."""
    return TrayItem(f"vector:{name}", name, indices, values, strength)


@dataclass(frozen=True)
class Tray:
    """An ordered set of items; every change returns a new tray."""

    items: tuple[TrayItem, ...] = ()

    def __iter__(self) -> Iterator[TrayItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def get(self, key: str) -> TrayItem | None:
        return next((item for item in self.items if item.key == key), None)

    def put(self, item: TrayItem) -> "Tray":
        """Add, or replace the item of the same key in its place. Raises BadInput when the tray is full."""
        if self.get(item.key):
            return Tray(tuple(item if old.key == item.key else old for old in self.items))
        limit = int(setting("max_tray_items"))
        if len(self.items) >= limit:
            raise BadInput(f"The tray holds {limit} items and no more; remove one first.")
        return Tray((*self.items, item))

    def remove(self, key: str) -> "Tray":
        return Tray(tuple(item for item in self.items if item.key != key))

    def set_strength(self, key: str, strength: float) -> "Tray":
        if not math.isfinite(strength):
            raise BadInput("A strength must be a finite number.")
        return Tray(tuple(replace(i, strength=strength) if i.key == key else i for i in self.items))

    def switch(self, key: str, on: bool) -> "Tray":
        return Tray(tuple(replace(i, on=on) if i.key == key else i for i in self.items))

    def split(self, key: str) -> "Tray":
        """Replace a vector by its latents, each at the vector's strength, so that each gets a slider."""
        whole = self.get(key)
        if whole is None:
            return self
        rest = self.remove(key)
        for index, value in zip(whole.indices, whole.values, strict=True):
            rest = rest.put(latent_item(index, value, f"{whole.label} / {index}", whole.strength))
        return rest

    def steering(
        self, scale: float, nonlinearity: Nonlinearity = "relu", tokens: SteeredTokens = "generated"
    ) -> Steering:
        """All items that are on, under one global lambda."""
        terms = tuple(item.term() for item in self.items if item.on)
        return Steering(terms, scale, nonlinearity, tokens)

    def to_query(self) -> str:
        """The URL form; items that are off are left out."""
        return ";".join(_spell(item) for item in self.items if item.on)

    @classmethod
    def from_query(cls, text: str, resolve: Callable[[str], TrayItem]) -> tuple["Tray", list[str]]:
        """Parse the URL form; `resolve` finds a vector by name. Returns the tray and what was left out."""
        tray, problems = cls(), []
        for part in filter(None, text.split(";")):
            try:
                tray = tray.put(_parse(part, resolve))
            except SteerscopeError as error:
                problems.append(str(error))
        return tray, problems


def _spell(item: TrayItem) -> str:
    if item.is_latent:
        return f"{item.indices[0]}@{item.values[0]:.6g}:{item.strength:.6g}"
    return f"{quote(item.label, safe='')}:{item.strength:.6g}"


def _parse(part: str, resolve: Callable[[str], TrayItem]) -> TrayItem:
    name, _, tail = part.rpartition(":")
    try:
        strength = float(tail)
        found = _LATENT.fullmatch(name)
        typical = float(found.group(2)) if found else 1.0
    except ValueError:
        strength, typical, found = math.nan, 1.0, None
    if not name or not math.isfinite(strength) or not math.isfinite(typical):
        raise BadInput(f"The link's tray entry {part[:40]!r} is not NAME:STRENGTH and was left out.")
    if found:
        return latent_item(int(found.group(1)), typical, strength=strength)
    return replace(resolve(unquote(name)), strength=strength)


@dataclass(frozen=True)
class History:
    """Undo for the tray: earlier trays, newest last."""

    past: tuple[Tray, ...] = ()

    def push(self, tray: Tray) -> "History":
        return History((*self.past, tray)[-50:])

    def undo(self) -> tuple["History", Tray | None]:
        if not self.past:
            return self, None
        return History(self.past[:-1]), self.past[-1]
