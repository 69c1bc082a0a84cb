"""What the measuring commands share: held-out pairs, and figures with their intervals as text."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sas_core.cli.output import note
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.parse import read_pairs
from sas_core.contrast.shipped import load_behaviour
from sas_core.errors import BadInput
from sas_core.evaluation.heldout import behaviour_of
from sas_core.vectors.fields import VectorFile

if TYPE_CHECKING:
    from sas_core.evaluation.bootstrap import Estimate


def heldout_pairs(vector: VectorFile, path: Path | None) -> PairSet:
    """The pairs of a file, else those kept back when the contrast behind the vector was written.

    Raises BadInput when there are no such pairs.
    """
    if path is not None:
        return read_heldout(path, [vector])
    name = behaviour_of(vector)
    if name is None:
        raise BadInput(
            f"{vector.name!r} was not built from a shipped contrast; give held-out pairs with --heldout."
        )
    return load_behaviour(name).heldout


def read_heldout(path: Path, vectors: Sequence[VectorFile]) -> PairSet:
    """The pairs of a file; its problems, and vectors built from these very pairs, are told on stderr."""
    parsed = read_pairs(path)
    for problem in parsed.problems:
        note(f"{problem.severity.capitalize()}: {problem.message}")
    for vector in vectors:
        if vector.pairs and parsed.pairs.sha256 == vector.pairs.sha256:
            note(f"Warning: {vector.name} was built from these very pairs, so the result says little.")
    return parsed.pairs


def with_interval(found: "Estimate") -> str:
    """`+0.123 [+0.045, +0.201]`."""
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
