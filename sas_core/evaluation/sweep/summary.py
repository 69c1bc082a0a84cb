"""From a sweep's numbers to outcomes: means, changes, intervals, and a strength chosen on the dev half.

Numbers only: knows nothing of models, edits or files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from sas_core.evaluation.bootstrap import RESAMPLES
from sas_core.evaluation.sweep.cells import VECTOR, Cell, Setting
from sas_core.evaluation.sweep.outcome import PRICES, Chosen, Outcome, SweepResult
from sas_core.evaluation.sweep.rows import OF_PAIRS, SHARE, Matrix, is_of_text
from sas_core.evaluation.sweep.spec import SweepSpec, parse_settled

HALVES = ("all", "dev", "test")
NOTHING = (
    "Nothing was added at any token: suppression can only switch off latents that are on, and the SAE's "
    "thresholds can erase a small strength."
)


@dataclass(frozen=True, eq=False)
class Placing:
    """`rows`: a cell, the column it reads, its latents, why it has none. `base[c]`: column c unsteered."""

    rows: tuple[tuple[Cell, int | None, int, str | None], ...]
    base: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """All that was measured: for each dictionary the placing of its cells and its matrices."""

    key: str
    spec: str
    provenance: Mapping[str, Any]
    parts: tuple[tuple[Placing, tuple[Matrix, ...]], ...]
    done: int
    total: int


def result_of(found: Found) -> SweepResult:
    """Every outcome, and the strengths chosen on the dev half."""
    spec = parse_settled(found.spec)
    outcomes = tuple(
        outcome
        for placing, matrices in found.parts
        for matrix in matrices
        if not matrix.figure.startswith(SHARE)
        for outcome in _outcomes(
            placing, matrix, _shares(matrices, matrix.figure), _halves(found, spec, matrix)
        )
    )
    problems = {
        f"{cell.arm}: {problem}"
        for placing, _ in found.parts for cell, _, _, problem in placing.rows if problem
    }  # fmt: skip
    return SweepResult(
        found.key, spec, dict(found.provenance), outcomes, tuple(_chosen(spec, outcomes)),
        found.done, found.total, tuple(sorted(problems)),
    )  # fmt: skip


def dev_units(count: int, share: float, seed: int) -> Bool[np.ndarray, " unit"]:
    """Which units are for choosing: a random part, one at least on either side."""
    dev = np.zeros(count, dtype=bool)
    wanted = min(max(1, round(count * share)), max(1, count - 1))
    dev[np.random.default_rng(seed).permutation(count)[:wanted]] = True
    return dev


def bootstrap_columns(
    values: Float[np.ndarray, "unit column"], *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]]:
    """`report.bootstrap` of every column, the same resamples for all: low and high of 95 %."""
    n = len(values)
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    weights = np.zeros((resamples, n))
    np.add.at(weights, (np.arange(resamples)[:, None], drawn), 1.0 / n)
    low, high = np.quantile(weights @ values, (0.025, 0.975), axis=0)
    return low, high


def _shares(matrices: Sequence[Matrix], figure: str) -> Matrix | None:
    measured = "text" if is_of_text(figure) else figure
    return next((m for m in matrices if m.figure == SHARE + measured), None)


@dataclass(frozen=True)
class _Group:
    """The columns of one setting, arm and strength: one a seed."""

    setting: Setting
    arm: str
    scale: float
    columns: tuple[int, ...]
    latents: int
    problem: str | None


def _groups(placing: Placing) -> list[_Group]:
    by: dict[tuple[Setting, str, float], list[tuple[int | None, int, str | None]]] = {}
    for cell, column, latents, problem in placing.rows:
        by.setdefault((cell.setting, cell.arm, cell.scale), []).append((column, latents, problem))
    return [
        _Group(
            *which,
            tuple(column for column, _, _ in rows if column is not None),
            max(latents for _, latents, _ in rows),
            next((problem for _, _, problem in rows if problem), None),
        )
        for which, rows in by.items()
    ]


def _outcomes(
    placing: Placing, matrix: Matrix, shares: Matrix | None, halves: Mapping[str, Bool[np.ndarray, " unit"]]
) -> Iterator[Outcome]:
    groups = _groups(placing)
    nan = np.full(len(matrix.units), np.nan)
    numbers, base = matrix.numbers, placing.base
    values = np.stack([numbers[:, g.columns].mean(axis=1) if g.columns else nan for g in groups], axis=1)
    plain = np.stack([numbers[:, base[g.columns[0]]] if g.columns else nan for g in groups], axis=1)
    added = [_mean(shares, g.columns) for g in groups]
    for half, chosen in halves.items():
        yield from _half(matrix.figure, half, groups, values[chosen], plain[chosen], added)


def _halves(found: Found, spec: SweepSpec, matrix: Matrix) -> dict[str, Bool[np.ndarray, " unit"]]:
    """What is no effect is not chosen by, so its halves are the whole."""
    everything = np.ones(len(matrix.units), dtype=bool)
    if matrix.figure in PRICES:
        return dict.fromkeys(HALVES, everything)
    # of all units there will be, so that a half does not depend on how far the sweep has come
    total = found.provenance["units"]["pairs" if matrix.figure in OF_PAIRS else "prompts"]
    dev = dev_units(total, spec.dev_share, spec.split_seed)[list(matrix.units)]
    return {"all": everything, "dev": dev, "test": ~dev}


def _half(
    figure: str, half: str, groups: Sequence[_Group], values: Float[np.ndarray, "unit group"],
    plain: Float[np.ndarray, "unit group"], added: Sequence[float],
) -> Iterator[Outcome]:  # fmt: skip
    if not len(values):
        return
    whole = _statistics(values, values - plain)
    for i, group in enumerate(groups):
        mean, low, high, change, change_low, change_high, count = whole[:, i].tolist()
        moved = (values - plain)[:, i]
        wrong = None
        if group.scale and count:
            wrong = float(np.nanmean(np.where(np.isnan(moved), np.nan, moved * np.sign(group.scale) < 0)))
        idle = group.scale != 0.0 and group.arm != "system" and added[i] == 0.0 and group.columns
        yield Outcome(
            group.setting, group.arm, group.scale, figure, half, int(count), mean, low, high, change,
            change_low, change_high, wrong, added[i], group.latents,
            group.problem or (NOTHING if idle else None),
        )  # fmt: skip


def _statistics(
    values: Float[np.ndarray, "unit group"], changes: Float[np.ndarray, "unit group"]
) -> Float[np.ndarray, "statistic group"]:
    """Mean, low, high of the values and of the changes, and the count, over units with a number."""
    there = ~np.isnan(changes)
    out = np.full((7, values.shape[1]), np.nan)
    out[6] = there.sum(axis=0)
    whole = there.all(axis=0)
    for rows, columns in _patterns(there, whole):
        for at, each in ((0, values), (3, changes)):
            some = each[np.ix_(rows, columns)]
            out[at, columns] = some.mean(axis=0)
            # one unit says nothing of how others would scatter
            if len(rows) > 1:
                out[at + 1, columns], out[at + 2, columns] = bootstrap_columns(some)
    return out


def _patterns(
    there: Bool[np.ndarray, "unit group"], whole: Bool[np.ndarray, " group"]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Columns that have the same units together: nearly always all of them at once."""
    if whole.any():
        yield np.arange(len(there)), np.flatnonzero(whole)
    for column in np.flatnonzero(~whole):
        rows = np.flatnonzero(there[:, column])
        if len(rows):
            yield rows, np.array([column])


def _mean(shares: Matrix | None, columns: Sequence[int]) -> float:
    return float(np.nanmean(shares.numbers[:, list(columns)])) if shares and len(columns) else 0.0


def _chosen(spec: SweepSpec, outcomes: Sequence[Outcome]) -> Iterator[Chosen]:
    """For every figure of effect, setting, arm and sign the strength that moves the dev half furthest."""
    prices = {(o.setting, o.arm, o.scale): o.change for o in outcomes if o.figure == "price"}
    by: dict[tuple[str, Setting, str, bool], list[Outcome]] = {}
    test: dict[tuple[str, Setting, str, float], Outcome] = {}
    for o in outcomes:
        if o.figure in PRICES or not o.scale or not o.count:
            continue
        if o.half == "test":
            test[o.figure, o.setting, o.arm, o.scale] = o
        elif o.half == "dev" and _affordable(spec, prices.get((o.setting, o.arm, o.scale))):
            by.setdefault((o.figure, o.setting, o.arm, o.scale > 0), []).append(o)
    for (figure, setting, arm, positive), able in by.items():
        dev = max(able, key=lambda o: o.change if o.scale > 0 else -o.change)
        there = test.get((figure, setting, arm, dev.scale))
        if there is not None:
            yield Chosen(setting, arm, figure, positive, dev.scale, dev, there)


def _affordable(spec: SweepSpec, price: float | None) -> bool:
    return spec.most_price is None or price is None or np.isnan(price) or price <= spec.most_price


def unsteered(result: SweepResult, figure: str) -> Outcome | None:
    """The figure of the unsteered model over all units."""
    return next(
        (o for o in result.of(figure, "all", VECTOR) if o.scale == 0.0 and o.setting.error_term), None
    )
