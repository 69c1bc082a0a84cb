"""Which rule makes a vector of free-text pairs that steers: `contrast.choice.begin_with` has the answer.

    python -m benchmarks.rules                     # about three minutes a behaviour on one core
    python -m benchmarks.rules --only hedging

Vectors are made from three of four training pairs by each rule. On the fourth their swing is read: the change
of the completion margin upwards less that downwards, at the strengths that cost neutral texts 0.05 nats a
token (or at the strongest tried). There the behaviour's prompts are answered too, and a probe made from the
pairs says what the answers moved: a vector can make the given completions likelier and still write of
something else. The pairs that ship as held out are not read. Writes docs/measured/rules.json and .md after
each behaviour; one that is there for the same model, dictionary, pairs and options is not measured again.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.behaviours_read import Bench
from benchmarks.matched import strength_at
from benchmarks.record import ROOT, environment
from sas_core.cli.output import quiet
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.shipped import load_behaviour
from sas_core.evaluation.sweep.cells import VECTOR, Cell, Setting
from sas_core.evaluation.sweep.material import Material, material_of
from sas_core.evaluation.sweep.run import sweep_key
from sas_core.evaluation.sweep.spec import SweepSpec, parse_spec
from sas_core.model.presets import get_preset, load_engine
from sas_core.steering.engine import Engine
from sas_core.text_file import write_file
from sas_core.vectors.ship import free_text_behaviours

OUT = ROOT / "docs" / "measured" / "rules.json"
PRICE, EVERY = 0.05, 4
CAA = "dense CAA"
RULES = {
    "published": Setting(position="completion-mean"),
    "published, often": Setting(position="completion-often"),
    "difference kept, 16": Setting(position="completion-mean", top_k=16, drop_shared=False),
    "difference kept, 32": Setting(position="completion-mean", top_k=32, drop_shared=False),
    "difference kept, 64": Setting(position="completion-mean", top_k=64, drop_shared=False),
}
SPEC = """
name: rules
behaviour: NAME
measures: [margin, price]
axes:
  scale: [-8, -4, -2, 2, 4, 8]
  position: [completion-mean, completion-often]
  top_k: [null, 16, 32, 64]
  drop_shared: [true, false]
controls: [caa]
text:
  max_new_tokens: 30
"""


Row = Float[np.ndarray, " cell"]


def prepared(name: str) -> tuple[SweepSpec, Material]:
    """The spec, and the training pairs in two parts: every fourth is scored."""
    spec = parse_spec(SPEC, changes=(f"behaviour={name}",))
    material = material_of(spec, lambda vector: sys.exit(f"no vector {vector} is needed"))
    pairs = material.training or sys.exit(f"{name} has no training pairs")
    scored = [n % EVERY == 0 for n in range(len(pairs))]
    made_of, read = (_part(pairs, scored, which) for which in (False, True))
    prompts = load_behaviour(name).prompts
    return spec, replace(material, training=made_of, heldout=read, prompts=prompts)


def _part(pairs: PairSet, scored: Sequence[bool], which: bool) -> PairSet:
    chosen = tuple(pair for pair, each in zip(pairs.pairs, scored, strict=True) if each is which)
    return PairSet(pairs.name, chosen, pairs.form)


def measure(bench: Bench) -> list[dict[str, Any]]:
    """A row per rule, and one of dense CAA: latents, what they move at the price, and the swings."""
    made = {name: bench.latents(setting) for name, setting in RULES.items()}
    arms = {name: (RULES[name], VECTOR) for name, latents in made.items() if latents}
    arms[CAA] = (RULES["published"], "caa")
    scales = np.array([scale for scale in bench.spec.axes.scale if scale])
    cells = [Cell(setting, arm, scale) for setting, arm in arms.values() for scale in scales.tolist()]
    curves = [
        found.mean(axis=0).reshape(len(arms), -1) for found in (bench.prices(cells), bench.margins(cells))
    ]
    moved = {name: _sides(scales, *each) for name, *each in zip(arms, *curves, strict=True)}
    return [_row(bench, name, made.get(name), arms.get(name), moved.get(name)) for name in (*made, CAA)]


def _sides(scales: Row, prices: Row, margins: Row) -> list[tuple[float, float]]:
    return [_at_price(scales, prices, margins, sign) for sign in (1, -1)]


def _row(
    bench: Bench, name: str, latents: int | None, arm: tuple[Setting, str] | None,
    sides: list[tuple[float, float]] | None,
) -> dict[str, Any]:  # fmt: skip
    up, down = (moved for _, moved in sides) if sides else (0.0, 0.0)
    cells = [Cell(*arm, scale) for scale, _ in sides] if arm and sides else []
    row = {"rule": name, "latents": latents, "up": up, "down": down, "swing": up - down}
    return row | _written(bench, cells)


def _written(bench: Bench, cells: Sequence[Cell]) -> dict[str, float]:
    """Of the probe's log odds on what is written, up and down; nothing without cells or prompts."""
    probe = bench.written(cells).get("probe") if cells else None
    if probe is None:
        return {"probe_up": 0.0, "probe_down": 0.0, "probe_swing": 0.0}
    up, down = np.nanmean(probe, axis=0).tolist()
    return {"probe_up": up, "probe_down": down, "probe_swing": up - down}


def _at_price(scales: Row, prices: Row, margins: Row, sign: int) -> tuple[float, float]:
    """The strength at the price, and the margin's change there, straight between what was measured."""
    side = np.flatnonzero(scales * sign > 0)
    side = side[np.argsort(np.abs(scales[side]))]
    match = strength_at(scales[side].tolist(), prices[side].tolist(), PRICE)
    return match.scale, float(np.interp(abs(match.scale), [0, *np.abs(scales[side])], [0, *margins[side]]))


def page(document: dict[str, Any]) -> str:
    """The rows as Markdown, the best of each behaviour in bold."""
    lines = [
        "# Which rule makes a vector that steers",
        "",
        f"Made by `python -m benchmarks.rules` on {document['model']} with the dictionary "
        f"`{document['sae']['sha256'][:12]}`. Vectors from three of four training pairs, measured on the",
        f"fourth: change of the completion margin, nats a token, where neutral texts lose {PRICE} "
        "nats a token (or at the strongest of ±8); swing: up less down. Written: the same of a probe's",
        "log odds on the answers to the behaviour's prompts, greedily, 30 tokens each.",
        "",
        "| behaviour | rule | latents | up | down | swing | written, up | down | swing |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in sorted(document["behaviours"].items()):
        ours = [row for row in found["rows"] if row["rule"] != CAA]
        best = {figure: max(row[figure] for row in ours) for figure in ("swing", "probe_swing")}
        for row in found["rows"]:
            swing, written = (_marked(row[figure], most) for figure, most in best.items())
            lines.append(
                f"| {name} | {row['rule']} | {_count(row)} | {row['up']:+.3f} | {row['down']:+.3f} "
                f"| {swing} | {row['probe_up']:+.2f} | {row['probe_down']:+.2f} | {written} |"
            )
    return "\n".join(lines) + "\n"


def _count(row: dict[str, Any]) -> str:
    return "" if row["latents"] is None else f"{row['latents']}"


def _marked(value: float, most: float) -> str:
    return f"**{value:.3f}**" if value == most else f"{value:.3f}"


def run(out: Path, only: Sequence[str]) -> None:
    """Measure the behaviours that are asked for and not yet there, one after the other."""
    engine = load_engine(get_preset("demo"))
    document = _begun(out, engine)
    for name in only or free_text_behaviours():
        spec, material = prepared(name)
        key = sweep_key(engine, spec, material)
        if document["behaviours"].get(name, {}).get("key") == key:
            continue
        print(name, file=sys.stderr, flush=True)
        document["behaviours"][name] = {"key": key, "rows": measure(Bench(engine, spec, material))}
        write_file(out, json.dumps(document, indent=1) + "\n")
        write_file(out.with_suffix(".md"), page(document))


def _begun(path: Path, engine: Engine) -> dict[str, Any]:
    before = json.loads(path.read_text())["behaviours"] if path.is_file() else {}
    sae = engine.dictionary.identity
    return {
        "format": "steerscope-rules",
        "model": engine.name,
        "sae": {"hook_name": engine.hook_name, "d_sae": sae.d_sae, "sha256": sae.sha256},
        "environment": environment(engine.placement.device, engine.placement.dtype),
        "spec": SPEC.strip(),
        "behaviours": before,
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", action="extend", default=[], help="names of shipped behaviours")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSON file; the page goes beside it")
    asked = parser.parse_args()
    with quiet():
        run(asked.out, asked.only)


if __name__ == "__main__":
    main()
