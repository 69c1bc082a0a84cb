"""A composition in words and as a document. Knows reports, no model."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sas_core.evaluation.composition.measure import CompositionReport


def strongest(grid: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Of each vector's ascending strengths the largest, or the smallest where none is above 0."""
    return tuple(own[-1] or own[0] for own in grid)


def composition_document(
    facts: dict[str, Any], report: "CompositionReport", alone: Sequence[float]
) -> dict[str, Any]:
    """What `evaluate compose --json` prints; `alone`: the strengths of the off-target matrix."""
    changes = [[asdict(found) for found in row] for row in report.off_target(alone)]
    return {**facts, **asdict(report), "off_target": {"strengths": alone, "changes": changes}}


def additivity(report: "CompositionReport") -> str:
    """Whether effects add, in one sentence: how many combinations depart from the sum, and which the most."""
    found = [
        (extra, behaviour, point)
        for point in report.points
        for extra, behaviour in zip(point.extra or (), report.behaviours, strict=bool(point.extra))
    ]
    apart = [each for each in found if each[0].low > 0 or each[0].high < 0]
    if not found:
        return "No two vectors act at once here, so nothing can be said about their sum."
    if not apart:
        return (
            f"Effects add up: in none of the {len(found)} cases does the change differ from the sum of what "
            "each vector does alone (95 %)."
        )
    extra, behaviour, point = max(apart, key=lambda each: abs(each[0].value))
    at = ", ".join(f"{name} {s:+g}" for name, s in zip(report.vectors, point.strengths, strict=True))
    return (
        f"In {len(apart)} of {len(found)} cases the change differs from the sum of what each vector does "
        f"alone (95 %), the most at {at}, where {behaviour.name} moves by {extra.value:+.2f} "
        f"[{extra.low:+.2f}, {extra.high:+.2f}] beyond it ({behaviour.unit})."
    )
