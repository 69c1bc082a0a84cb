"""How `steer --zone` tells what a sweep found: a table for a person, one document for a program."""

import math
from typing import TYPE_CHECKING, Any

from rich.table import Table

from sas_core.cli.output import table
from sas_core.errors import BadInput

if TYPE_CHECKING:
    from sas_core.steering.zone import Zone, ZonePoint

_FIGURES = ("scale", "share", "perplexity", "repeated", "compression")


def parse_scales(text: str | None) -> tuple[float, ...] | None:
    """`-2,-1,1,2` as numbers. Raises BadInput for anything else."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise BadInput(f"--scales {text[:60]!r} is not a list of numbers like -2,-1,1,2.") from None


def zone_document(zone: "Zone") -> dict[str, Any]:
    """Numbers that are not finite become null."""
    return {
        "points": [{**_figures(point), "text": point.text, "broken": point.broken} for point in zone.points],
        "lowest": zone.lowest,
        "highest": zone.highest,
        "half_norm": zone.half_norm,
        "rule": zone.rule,
    }


def zone_table(zone: "Zone") -> Table:
    """One row per strength, with its text, or why it is not coherent."""
    return table(
        (*_FIGURES, "text", "not coherent because"),
        ([*(_shown(v) for v in _figures(p).values()), p.text, p.broken or ""] for p in zone.points),
        right=_FIGURES,
    )


def zone_sentence(zone: "Zone") -> str:
    """The result in words."""
    half = (
        "What is only scaled or removed has no strength at which half the residual's norm is added."
        if zone.half_norm is None
        else f"At scale {zone.half_norm:.3g} at most half the typical residual's norm is added."
    )
    return f"Coherent from scale {zone.lowest:g} to {zone.highest:g} among those tried. {half}"


def _figures(point: "ZonePoint") -> dict[str, float | None]:
    found = point.measures
    values = (
        point.scale,
        point.share,
        None if found is None else found.perplexity,
        None if found is None else found.repeated,
        None if found is None else found.compression,
    )
    return {
        name: value if value is None or math.isfinite(value) else None
        for name, value in zip(_FIGURES, values, strict=True)
    }


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
