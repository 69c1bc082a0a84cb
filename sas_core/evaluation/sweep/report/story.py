"""A sweep in sentences: what was done, what came of it. Plain text; names in it are foreign."""

import math
from collections.abc import Iterator

from sas_core.evaluation.plots.words import (
    arm_title,
    axis_title,
    chance_note,
    change_text,
    figure_title,
    scale_text,
    setting_text,
    unit_of,
    value_text,
)
from sas_core.evaluation.sweep.cells import AXIS_TITLES, VECTOR, varied
from sas_core.evaluation.sweep.outcome import Chosen, Outcome, SweepResult
from sas_core.evaluation.sweep.spec import SweepSpec

_RANDOM = ("random", "random-matched", "random-latents", "shuffled")


def story(result: SweepResult) -> str:
    """One paragraph: what steered, how strongly, what varied, what was measured and compared."""
    spec = result.spec
    said = [_steered(spec), *_varied(spec), _measured(result), _compared(spec)]
    if result.chosen:
        said.append(
            "Strengths are chosen on one half of the held-out units (dev) and reported on the other (test)."
        )
    said.append("Intervals are 95 % bootstrap intervals over units.")
    if not result.complete:
        said.append(
            f"So far {result.done:,} of {result.total:,} tasks are measured; the rest is missing here."
        )
    return " ".join(said)


def findings(result: SweepResult) -> tuple[str, ...]:
    """The vector's chosen strengths, one sentence per figure and sign of lambda; then what is to be known.

    Among several settings the one with the largest change on the dev half is told.
    """
    told: dict[tuple[str, bool], Chosen] = {}
    for chosen in (c for c in result.chosen if c.arm == VECTOR):
        best = told.setdefault((chosen.figure, chosen.positive), chosen)
        if abs(chosen.dev.change) > abs(best.dev.change):
            told[chosen.figure, chosen.positive] = chosen
    remarks = (*filter(None, [chance_note(result)]), *result.notes)
    return (*(_finding(result, chosen) for chosen in told.values()), *remarks)


def _steered(spec: SweepSpec) -> str:
    source = {
        "behaviour": f"The vector of the shipped contrast {spec.behaviour}",
        "pairs": f"A vector built from the pairs in {spec.pairs}",
        "vector": f"The vector {spec.vector}",
    }
    what = next(text for field, text in source.items() if getattr(spec, field) is not None)
    scales = [scale for scale in spec.axes.scale if scale]
    if len(scales) == 1:
        return f"{what} steered the model of the preset {spec.preset} at lambda {scale_text(scales[0])}."
    reach = f"{scale_text(min(scales))} to {scale_text(max(scales))}"
    strengths = f"{len(scales)} strengths, lambda {reach}"
    return f"{what} steered the model of the preset {spec.preset} at {strengths}, beside the unsteered one."


def _varied(spec: SweepSpec) -> Iterator[str]:
    axes = [axis for axis in varied(spec) if axis != "scale"]
    if axes:
        each = (
            f"{AXIS_TITLES[axis]} ({', '.join(value_text(axis, v) for v in getattr(spec.axes, axis))})"
            for axis in axes
        )
        yield f"Varied besides: {'; '.join(each)}."


def _measured(result: SweepResult) -> str:
    figures = [axis_title(figure, change=False) for figure in result.figures()]
    return f"Measured: {'; '.join(figures)}." if figures else "Nothing is measured yet."


def _compared(spec: SweepSpec) -> str:
    if not spec.controls:
        return "No control was run, so nothing says that another direction would do less."
    names = [arm_title(name) for name in spec.controls]
    seeded = any(name in _RANDOM for name in spec.controls) and spec.seeds > 1
    seeds = f" Random ones are averages over {spec.seeds} seeds." if seeded else ""
    return f"Controls: {'; '.join(names)}.{seeds}"


def _finding(result: SweepResult, chosen: Chosen) -> str:
    axes = [axis for axis in varied(result.spec) if axis != "scale"]
    under = f" ({setting_text(chosen.setting, axes)})" if axes else ""
    test = chosen.test
    start = (
        f"At lambda {scale_text(chosen.scale)}{under}, chosen on the dev half, the vector changed the "
        f"{figure_title(chosen.figure)} by {change_text(test)} {unit_of(chosen.figure)} on the test half"
    ).rstrip()
    if not math.isfinite(test.change):
        return f"At lambda {scale_text(chosen.scale)}{under} the test half could not be measured."
    unclear = ", which cannot be told from none" if test.change_low <= 0 <= test.change_high else ""
    return f"{start}{unclear}.{_beside(result, test)}"


def _beside(result: SweepResult, test: Outcome) -> str:
    """The random control that went furthest at the same strength, and what the vector costs there."""

    def at(figure: str, half: str) -> list[Outcome]:
        return [o for o in result.of(figure, half) if (o.setting, o.scale) == (test.setting, test.scale)]

    said = ""
    random = [o for o in at(test.figure, "test") if o.arm in _RANDOM and math.isfinite(o.change)]
    if random:
        furthest = max(random, key=lambda o: o.change * math.copysign(1, test.change))
        said += f" {arm_title(furthest.arm).capitalize()} went {change_text(furthest)} there."
    price = next((o for half in ("test", "all") for o in at("price", half) if o.arm == VECTOR), None)
    if price and test.figure != "price":
        said += f" The price on neutral text is {change_text(price)} {unit_of('price')}."
    return said
