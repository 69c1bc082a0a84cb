"""Where the atlases of an engine are: those built here and the one shipped with the demo. Imports no torch.

A file that cannot be read, or is no atlas, is passed over here; who opens it by name is told why.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sas_core.atlas.files import atlas_folder
from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.shipped import shipped_atlas, shipped_facts
from sas_core.atlas.store import read_made_of
from sas_core.errors import Mismatch, SteerscopeError

if TYPE_CHECKING:
    from sas_core.steering.engine import Engine

__all__ = ["Found", "atlas_folder", "every", "find_atlas", "new_path", "shipped_atlas", "unfinished"]

_SLUG_CHARS = 32


@dataclass(frozen=True)
class Found:
    """An atlas of this machine and what it is made of."""

    path: Path
    made_of: MadeOf


def find_atlas(engine: "Engine") -> Path | None:
    """The atlas to open first: of this engine's model, SAE and hook, finished, the newest.

    The shipped one is unpacked when it fits. Raises what `shipped_atlas` raises if there is no other.
    """
    fault: SteerscopeError | None = None
    try:
        facts = shipped_facts()
        if facts is not None and _fits(facts, engine):
            shipped_atlas()
    except SteerscopeError as error:
        fault = error
    found = every(engine)
    if not found and fault is not None:
        raise fault
    return found[0].path if found else None


def every(engine: "Engine") -> list[Found]:
    """All finished atlases of this engine in the cache, the newest first."""
    done = [found for found in _of(engine) if found.made_of.finished]
    return sorted(done, key=lambda found: found.made_of.finished or "", reverse=True)


def unfinished(engine: "Engine") -> list[Path]:
    """Builds of this engine that were stopped or are still running, the last begun first."""
    found = [found for found in _of(engine) if not found.made_of.finished]
    found.sort(key=lambda found: found.made_of.started, reverse=True)
    return [each.path for each in found]


def new_path(engine: "Engine", corpus: str) -> Path:
    """A file for a new atlas that no other has: named after the model, the SAE and the corpus."""
    sae = engine.dictionary.identity.sha256[:12]
    name = f"{_slug(Path(engine.name).name)}-{sae}-{_slug(Path(corpus).name.partition('.')[0])}"
    path, number = atlas_folder() / f"{name}.db", 2
    while path.exists():
        path, number = atlas_folder() / f"{name}-{number}.db", number + 1
    return path


def _of(engine: "Engine") -> list[Found]:
    found = []
    for path in sorted(atlas_folder().glob("*.db")):
        try:
            facts = read_made_of(path)
        except SteerscopeError:
            continue
        if _fits(facts, engine):
            found.append(Found(path, facts))
    return found


def _fits(facts: MadeOf, engine: "Engine") -> bool:
    try:
        facts.check(engine)
    except Mismatch:
        return False
    return True


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_SLUG_CHARS].strip("-") or "text"
