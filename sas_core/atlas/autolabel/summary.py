"""How many automatic labels an atlas holds, of which kinds, and how sure they are."""

import sqlite3
from collections import Counter
from statistics import median
from typing import Any

from sas_core.atlas.autolabel import table
from sas_core.atlas.types import AUTO_KINDS


def of(connection: sqlite3.Connection) -> dict[str, Any]:
    """`kinds`: labels by kind; `median_confidence` of the clear ones, None without any."""
    labels = [label for _, label in table.every(connection)]
    kinds = Counter(label.kind for label in labels)
    sure = [label.confidence for label in labels if label.clear and label.confidence is not None]
    return {
        "kinds": {kind: kinds[kind] for kind in AUTO_KINDS},
        "clear": len(sure),
        "median_confidence": median(sure) if sure else None,
    }


def sentence(facts: dict[str, Any]) -> str:
    """For people, as the README of a shipped atlas has it."""
    kinds = facts["kinds"]
    by_kind = ", ".join(f"{kinds[kind]:,} {kind}" for kind in AUTO_KINDS if kind not in ("unclear", "few"))
    middle = facts["median_confidence"]
    sure = "" if middle is None else f", median confidence {middle:.2f}"
    return (
        f"{facts['clear']:,} clear ({by_kind}{sure}), {kinds['unclear']:,} without a clear pattern, "
        f"{kinds['few']:,} with too few contexts"
    )
