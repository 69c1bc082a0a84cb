"""Each shipped vector against dense CAA, its dense equivalent and random directions, all at one price.

    python -m benchmarks.behaviours                     # 3 minutes a behaviour on one core
    python -m benchmarks.behaviours --only sea --pairs 4 --prompts 2

Neutral texts are read first over a grid of strengths, and again between them until each arm costs the same
within a tenth; there held-out pairs and prompts are read. Writes docs/measured/behaviours.json and .md after
each behaviour; one that is there for the same vector, dictionary and options is not measured again.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.behaviours_page import page
from benchmarks.behaviours_read import SPEC, Bench, Changes, prepared
from benchmarks.matched import Match, estimate, lead, strength_at
from benchmarks.record import ROOT, environment
from sas_core.cli.output import quiet
from sas_core.evaluation.margin import neutral_texts
from sas_core.evaluation.sweep.cells import Cell, Setting, cells_of
from sas_core.evaluation.sweep.run import sweep_key
from sas_core.model.presets import get_preset, load_engine
from sas_core.steering.engine import Engine
from sas_core.text_file import write_file
from sas_core.vectors.ship import SHIPPED

OUT = ROOT / "docs" / "measured" / "behaviours.json"
TARGETS = (0.05, 0.2)
# a price that is missed by more than this part of it is looked for again, so many times at most
NEAR, ROUNDS = 0.1, 3
Arm = tuple[str, int | None]
Curves = dict[Arm, dict[float, float]]


@dataclass(frozen=True)
class Point:
    """An arm (each seed of the random one for itself) where it has a price, in the direction of `sign`."""

    arm: Arm
    sign: int
    target: float
    match: Match

    @property
    def cell(self) -> Cell:
        return Cell(Setting(), self.arm[0], self.match.scale, self.arm[1])

    def missed_by(self, price: float) -> bool:
        """Whether the price measured here is another one than was looked for."""
        return self.match.reached and abs(price / self.target - 1) > NEAR


def measure(bench: Bench, told: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """All of one behaviour: prices over the grid, and every figure where the arms cost the same."""
    grid = cells_of(bench.spec)
    told("prices over the grid")
    prices = bench.prices(grid)
    curves: Curves = {}
    for cell, price in zip(grid, prices.mean(axis=0).tolist(), strict=True):
        curves.setdefault((cell.arm, cell.seed), {})[cell.scale] = price
    told("prices between")
    points, paid = _matched(bench, curves)
    cells, found = [point.cell for point in points], {"price": paid}
    told("margins")
    found["margin"] = bench.margins(cells)
    told("texts")
    found |= bench.written(cells)
    material = bench.material
    return {
        "latents": len(material.vector.features),
        "pairs": len(material.heldout),
        "prompts": len(material.prompts),
        "grid": [
            {"arm": c.arm, "seed": c.seed, "scale": c.scale, "price": price}
            for c, price in zip(grid, prices.mean(axis=0).tolist(), strict=True)
        ],
        "rows": list(_rows(points, found)),
    }


def _matched(bench: Bench, curves: Curves) -> tuple[list[Point], Float[np.ndarray, "text point"]]:
    """Where each arm has its prices, and what neutral texts lose there; `curves` gain what is read."""
    points = list(_points(curves))
    found = bench.prices([point.cell for point in points])
    for _ in range(ROUNDS):
        paid = found.mean(axis=0).tolist()
        missed = [i for i, point in enumerate(points) if point.missed_by(paid[i])]
        if not missed:
            break
        for i in missed:
            curves[points[i].arm][points[i].match.scale] = paid[i]
        again = list(_points(curves))
        for i in missed:
            points[i] = again[i]
        found[:, missed] = bench.prices([points[i].cell for i in missed])
    return points, found


def _points(curves: Curves) -> Iterator[Point]:
    for sign in (1, -1):
        for target in TARGETS:
            for arm, curve in curves.items():
                scales = sorted((scale for scale in curve if scale * sign > 0), key=abs)
                match = strength_at(scales, [curve[scale] for scale in scales], target)
                yield Point(arm, sign, target, match)


def _rows(points: Sequence[Point], found: Changes) -> Iterator[dict[str, Any]]:
    """One row a sign, price and arm; the random one is the mean of its seeds, unit by unit."""
    by: dict[tuple[int, float], dict[str, list[int]]] = {}
    for index, point in enumerate(points):
        by.setdefault((point.sign, point.target), {}).setdefault(point.arm[0], []).append(index)
    for (sign, target), arms in by.items():
        own = arms["vector"]
        for arm, indices in arms.items():
            matches = [points[i].match for i in indices]
            met = all(m.reached for m in [*matches, points[own[0]].match])
            values = {name: numbers[:, indices].mean(axis=1) for name, numbers in found.items()}
            leads = {
                name: lead(numbers[:, own[0]], values[name], sign)
                for name, numbers in found.items() if name != "price" and arm != "vector"
            }  # fmt: skip
            yield {
                "sign": sign, "target": target, "arm": arm,
                "scales": [m.scale for m in matches],
                "reached": all(m.reached for m in matches),
                "figures": {name: _plain(estimate(each)) for name, each in values.items()},
                "vector_leads_by": {n: _plain(e) for n, e in leads.items()} if met else {},
            }  # fmt: skip


def _plain(found: Any) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def written(path: Path, document: dict[str, Any]) -> None:
    """Both files, through a copy beside them. A line a row of results, so that they diff well."""
    whole = json.dumps(_rounded(document), allow_nan=False)
    for mark in ('{"arm": ', '{"sign": ', '"rows": ', '"grid": ', '"behaviours": '):
        whole = whole.replace(mark, f"\n{mark}")
    write_file(path, whole + "\n")
    write_file(path.with_suffix(".md"), page(json.loads(whole)))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


def main() -> None:
    """Measure, or write the page again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", action="extend", default=[], help="names of shipped vectors")
    parser.add_argument("--pairs", type=int, default=24, help="held-out pairs, at most")
    parser.add_argument("--prompts", type=int, default=6, help="prompts that are written to; 0: none")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSON file; the page goes beside it")
    parser.add_argument("--page", action="store_true", help="write the page of the JSON file again, no more")
    asked = parser.parse_args()
    if asked.page:
        return written(asked.out, json.loads(asked.out.read_text()))
    with quiet():
        return run(asked.out, asked.only, asked.pairs, asked.prompts)


def run(out: Path, only: Sequence[str], pairs: int, prompts: int) -> None:
    """Measure the behaviours that are asked for and not yet there, one after the other."""
    engine = load_engine(get_preset("demo"))
    names = sorted(path.stem for path in SHIPPED.glob("*.json"))
    made = {name: prepared(name, pairs, prompts) for name in names}
    keys = {name: sweep_key(engine, *each) for name, each in made.items()}
    document = {**_begun(out, engine, keys), "pairs": pairs, "prompts": prompts}
    for name in (name for name in only or names if name not in document["behaviours"]):
        began = time.monotonic()
        found = measure(Bench(engine, *made[name]), lambda text, name=name: _told(f"{name}: {text}"))
        took = round(time.monotonic() - began)
        document["behaviours"][name] = {"key": keys[name], "seconds": took, **found}
        written(out, document)


def _told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _begun(path: Path, engine: Engine, keys: dict[str, str]) -> dict[str, Any]:
    """What is measured already of what is asked, and on what."""
    before = json.loads(path.read_text())["behaviours"] if path.is_file() else {}
    sae = engine.dictionary.identity
    return {
        "format": "steerscope-behaviours",
        "model": engine.name,
        "sae": {"hook_name": engine.hook_name, "d_sae": sae.d_sae, "sha256": sae.sha256},
        "environment": environment(engine.placement.device, engine.placement.dtype),
        "targets": list(TARGETS),
        "neutral_texts": len(neutral_texts()),
        "spec": SPEC.strip(),
        "behaviours": {name: each for name, each in before.items() if each["key"] == keys.get(name)},
    }


if __name__ == "__main__":
    main()
