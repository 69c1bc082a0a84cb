"""The outcomes of a sweep as a flat table, for CSV, the page and the report."""

from dataclasses import asdict, fields

import pandas as pd

from sas_core.evaluation.plots.words import unit_of
from sas_core.evaluation.sweep.cells import Setting
from sas_core.evaluation.sweep.outcome import SweepResult

COLUMNS = (
    "figure", "unit", "half", "arm", "scale", *(field.name for field in fields(Setting)), "count",
    "mean", "low", "high", "change", "change_low", "change_high", "wrong_way", "share", "latents", "problem",
)  # fmt: skip


def cells_table(result: SweepResult) -> pd.DataFrame:
    """One row per outcome, in their order; the fields are those of Outcome and Setting, and the unit."""
    rows = []
    for outcome in result.outcomes:
        flat = asdict(outcome)
        rows.append({**flat, **flat.pop("setting"), "unit": unit_of(outcome.figure)})
    # pandas would make 10.0 of a top-k of 10 beside one of None
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"top_k": "Int64"})
