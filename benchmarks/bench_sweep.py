"""A sweep of 500 cells: all cells of a pair as columns of one batch, against running cells one by one.

    PYTHONPATH=. python benchmarks/bench_sweep.py --pairs 3

One by one, `--sample` cells (spread evenly) are run alone and their time is multiplied up to all; both
ways score the same completions of the shipped behaviour `sea` on the demo model and must agree.
"""

from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.record import environment, in_turn, ratio, report
from sas_core.cli.output import quiet
from sas_core.cli.terms import find_vector
from sas_core.evaluation.sweep.cells import cells_of
from sas_core.evaluation.sweep.edits import Columns, columns_of
from sas_core.evaluation.sweep.material import Material, material_of
from sas_core.evaluation.sweep.sources import read_sources
from sas_core.evaluation.sweep.spec import parse_spec
from sas_core.evaluation.sweep.tasks import Batch
from sas_core.model.presets import get_preset, load_engine
from sas_core.steering.engine import Engine

SPEC = """
name: 500 cells
behaviour: sea
measures: [margin]
axes:
  scale: [-4, -3, -2, -1, -0.5, 0.5, 1, 2, 3, 4, 6]
  tau: [0.5, 0.7, 0.9]
  top_k: [null, 10, 40]
  drop_shared: [true]
controls: [random-matched, dense, caa]
seeds: 2
"""


def main(
    pairs: Annotated[int, typer.Option(min=1, help="Held-out pairs that are timed.")] = 3,
    sample: Annotated[int, typer.Option(min=1, help="Cells that are run alone.")] = 25,
    rounds: Annotated[int, typer.Option(min=1, help="Counted rounds.")] = 1,
    device: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Time both ways in turn and print a table and a JSON line."""
    with quiet():
        engine = load_engine(get_preset("demo"), device=device)
        spec = parse_spec(SPEC)
        material = material_of(spec, find_vector)
        columns = _columns(engine, material, spec)
        result = measure(engine, columns, material, pairs, sample, rounds)
    document = {
        "benchmark": "sweep", "pairs": pairs, "sample": sample, "rounds": rounds, **result,
        "environment": environment(engine.placement.device, engine.placement.dtype),
    }  # fmt: skip
    row = (f"{result['cells']}", f"{result['columns']}", f"{result['batched']:.2f}",
           f"{result['alone']:.1f}", f"{result['ratio']:.1f} x", f"{result['difference']:.1e}")  # fmt: skip
    names = ("cells", "columns", "batched, s a pair", "one by one, s a pair", "ratio", "largest difference")
    report(f"Completion margins of {pairs} pairs", names, [row], document)


def measure(
    engine: Engine, columns: Columns, material: Material, pairs: int, sample: int, rounds: int
) -> dict[str, Any]:
    """Seconds a pair, both ways, and by how much their margins differ at most (nats per token)."""
    asked = [placed.column for placed in columns.placed if placed.column is not None]
    chosen = [asked[i] for i in np.linspace(0, len(asked) - 1, min(sample, len(asked))).round().astype(int)]
    together = Batch(engine, columns.columns)
    alone = [Batch(engine, [columns.columns[i]]) for i in chosen]
    found: dict[str, Any] = {}

    def batched() -> None:
        found["batched"] = np.array([_margins(engine, together, material, i) for i in range(pairs)])[
            :, chosen
        ]

    def one_by_one() -> None:
        found["alone"] = np.array(
            [[_margins(engine, batch, material, i)[0] for batch in alone] for i in range(pairs)]
        )

    seconds = in_turn({"batched": batched, "alone": one_by_one}, rounds)
    cells = len(asked) / len(chosen)
    return {
        "cells": len(asked),
        "columns": len(columns.columns),
        "batched": float(np.median(seconds["batched"])) / pairs,
        "alone": cells * float(np.median(seconds["alone"])) / pairs,
        "ratio": cells * ratio(seconds, "alone", "batched"),
        "difference": float(np.abs(found["batched"] - found["alone"]).max()),
    }


def _margins(engine: Engine, batch: Batch, material: Material, pair: int) -> np.ndarray:
    with engine.turn() as ticket:
        ticket.wait_turn()
        return batch.margin(material.heldout.pairs[pair], material.heldout.form, ticket)["margin"]


def _columns(engine: Engine, material: Material, spec: Any) -> Columns:
    cells = cells_of(material.settle(spec))
    reading = read_sources(engine, material, cells)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return columns_of(engine, cells, end.value, None, None)


if __name__ == "__main__":
    typer.run(main)
