"""Reports as JSON values, and a set of them as the Markdown page that docs/ shows. Knows no model."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sas_core.errors import BadInput
from sas_core.evaluation.margin_report import Cell, MarginReport

FORMAT, VERSION = "steerscope-measured-margins", 1

NAMES = {
    "vector": "the vector",
    "random": "random, norm of the dense equivalent",
    "random-matched": "random, the vector's own norm",
    "dense": "dense equivalent",
}


def values(report: MarginReport, *, per_pair: bool = False) -> dict[str, Any]:
    """The report ready for JSON, rounded to six decimals; each pair's own change only if asked for."""
    found = _rounded(asdict(report))
    found["holds"] = {f"{scale:g}": report.holds(scale) for scale in report.scales if scale}
    if not per_pair:
        for curve in found["curves"]:
            for cell in curve["cells"]:
                del cell["changes"]
    return found


def dump(measured: Mapping[str, Any]) -> str:
    """The JSON of many reports as a text that diffs well."""
    return json.dumps({"format": FORMAT, "version": VERSION, **measured}, indent=1, allow_nan=False) + "\n"


def reference(scales: Sequence[float], at: float) -> tuple[float, ...]:
    """`-at` and `at`, chosen before anything is seen. Raises BadInput when they are not measured."""
    if at <= 0 or at not in scales or -at not in scales:
        raise BadInput(f"The summary is for lambda -{at:g} and {at:g}, so both must be among the strengths.")
    return (-at, at)


def markdown(heading: Mapping[str, Any], reports: Mapping[str, MarginReport], *, at: float) -> str:
    """A page: how it was measured, every behaviour at `±at`, and the whole curves.

    `heading`: what was loaded and how the vectors were built, one line each. Raises BadInput as `reference`.
    """
    lines = [
        "# Measured completion margins",
        "",
        "Made by `python -m sas_core evaluate margin --all-behaviours`; [evaluation.md](../evaluation.md) "
        "says how to read it. Every figure is on held-out pairs that no vector was built from.",
        "",
        *(f"- {key}: {value}" for key, value in heading.items()),
        "",
        f"## At lambda -{at:g} and {at:g}",
        "",
        *_table(_HEAD, (row for name, r in reports.items() for row in _summary_rows(name, r, at))),
        "",
        "## Mean change at every lambda",
        "",
        *_curves(reports),
    ]
    return "\n".join(lines) + "\n"


_HEAD = ("behaviour", "pairs", "lambda", "change [95 %]", "pairs moved the right way", "random, dense norm",
         "random, own norm", "dense", "added norm", "price", "stands")  # fmt: skip


def change_text(cell: Cell) -> str:
    """`+0.312 [+0.221, +0.405]`."""
    return f"{cell.change:+.3f} [{cell.interval.low:+.3f}, {cell.interval.high:+.3f}]"


def right_way_text(cell: Cell) -> str:
    """`92 %`, or nothing at lambda 0."""
    return "" if cell.right_way is None else f"{100 * cell.right_way:.0f} %"


def stands_text(report: MarginReport, scale: float) -> str:
    """`yes`, `no`, or nothing where it cannot be said."""
    return {True: "yes", False: "no", None: ""}[report.holds(scale)]


def control_text(report: MarginReport, control: str, scale: float) -> str:
    """The mean change of a control at one lambda; nothing when it was not measured."""
    curve = report.curve(control)
    return "" if curve is None else f"{curve.at(scale).change:+.3f}"


def _summary_rows(name: str, report: MarginReport, at: float) -> Iterable[tuple[str, ...]]:
    for scale in reference(report.scales, at):
        cell = report.curves[0].at(scale)
        yield (
            name, str(report.count), f"{scale:+g}", change_text(cell), right_way_text(cell),
            *(control_text(report, control, scale) for control in ("random", "random-matched", "dense")),
            f"{cell.share:.2f}", f"{cell.price:+.3f}", stands_text(report, scale),
        )  # fmt: skip


def _curves(reports: Mapping[str, MarginReport]) -> Iterable[str]:
    scales = next(iter(reports.values())).scales
    rows = (
        (name, NAMES[curve.name], *(f"{cell.change:+.3f}" for cell in curve.cells))
        for name, report in reports.items()
        for curve in report.curves
    )
    return _table(("behaviour", "added", *(f"{scale:+g}" for scale in scales)), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    return [_line(head), _line(["---"] * len(head)), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
