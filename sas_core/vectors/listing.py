"""A saved vector as one row of the list: its age, and whether it fits what is loaded.

Knows files and identities, no model and no tensor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sas_core.errors import BadInput
from sas_core.vectors.compare import Difference, LoadedIdentity, differences
from sas_core.vectors.fields import VectorFile, name_fault
from sas_core.vectors.rows import ShelfItem
from sas_core.vectors.shelf import Shelf

# the field that differs -> what to call the difference in a narrow column
_SHORT = {
    "model.d_model": "another model",
    "model.name": "another model",
    "model.revision": "other revision",
    "model.dtype": "other dtype",
    "model.processing": "other processing",
    "sae.d_in": "another model",
    "sae.d_sae": "another SAE",
    "sae.hook_name": "another hook",
    "sae.sha256": "another SAE",
}
# the model says more than the sizes and hooks that follow from it
_TELLING = ("model.name", "model.d_model", "sae.d_in", "sae.hook_name", "sae.d_sae", "sae.sha256")


@dataclass(frozen=True)
class ShelfRow:
    """One row. `usable`: it can be steered with now; `reason` says why not, or what to bear in mind."""

    item: ShelfItem
    tau: float | None
    usable: bool
    fits: str
    reason: str


def shelf_row(item: ShelfItem, vector: VectorFile, loaded: LoadedIdentity) -> ShelfRow:
    """The row of a vector whose file could be read."""
    found = differences(vector, loaded)
    usable, fits = verdict(found)
    return ShelfRow(item, vector.tau, usable, fits, _reason(found))


def damaged_row(item: ShelfItem, problem: str) -> ShelfRow:
    """The row of a vector whose file cannot be read: shown, never used."""
    return ShelfRow(item, None, False, "no: unreadable", problem)


def verdict(found: Sequence[Difference]) -> tuple[bool, str]:
    """Whether a vector with these differences can be steered with, and that in a few words."""
    telling = _telling(found)
    if telling:
        return False, f"no: {_SHORT.get(telling.field, telling.field)}"
    if not found:
        return True, "yes"
    words = dict.fromkeys(_SHORT.get(difference.field, difference.field) for difference in found)
    return True, f"yes, {', '.join(words)}"


def _telling(found: Sequence[Difference]) -> Difference | None:
    """Of the fatal differences the one that explains most of the others."""
    fatal = {difference.field: difference for difference in found if difference.severity == "fatal"}
    return next((fatal[field] for field in (*_TELLING, *fatal) if field in fatal), None)


def _reason(found: Sequence[Difference]) -> str:
    """All warnings; of fatal differences the telling one, since the others mostly follow from it."""
    telling = _telling(found)
    if telling is None:
        return " ".join(difference.sentence for difference in found)
    more = len(found) - 1
    follow = f" {more} more {'thing differs' if more == 1 else 'things differ'} too." if more else ""
    return telling.sentence + follow


def require_free_name(shelf: Shelf, name: str) -> None:
    """Raise BadInput when `name` cannot be used or is taken, proposing a free one."""
    fault = name_fault(name)
    if fault:
        raise BadInput(f"The vector cannot be saved: its name {fault}.")
    free = shelf.free_name(name)
    if free != name:
        raise BadInput(f"There is already a vector named {name!r}. Save this one as {free!r}, for example.")


def ago(moment: str | None, now: datetime | None = None) -> str:
    """How long ago an ISO time in UTC was, in its largest unit; `never` for None."""
    if moment is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"
