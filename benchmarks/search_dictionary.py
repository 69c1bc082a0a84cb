"""Which layer, how wide, how sparse: small SAEs of one recipe compared, and how far each layer steers.

    python -m benchmarks.search_dictionary --work DIR --text chat.jsonl.zst=22 \\
        --text wikipedia.jsonl.zst=24 --held-out prose=test.txt --held-out chat=chat.jsonl

One pass of the model keeps the residuals of all layers in DIR; small SAEs are trained on them, and dense mean
differences of shipped behaviours are added at each layer. Each row is written to docs/measured as soon as it
is measured, and the same command goes on where it was stopped. About half an hour of one core.
"""

import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.record import ROOT
from benchmarks.search.dense import effects
from benchmarks.search.page import page
from benchmarks.search.residuals import collect, kept, typical_norm
from benchmarks.search.small_sae import Recipe, Windows, row_of
from sas_core.cli.common import prepare_demo
from sas_core.cli.output import note, quiet
from sas_core.contrast.shipped import load_behaviour
from sas_core.dictionary.corpus import Source, windows
from sas_core.errors import BadInput
from sas_core.model.chat import Turns
from sas_core.model.device import choose_placement
from sas_core.model.hooked import load_hooked, require_hook
from sas_core.model.presets import DEMO_MODEL, get_preset, model_source
from sas_core.text_file import write_file

OUT = ROOT / "docs" / "measured" / "dictionary-search.json"
_NORM_OF = 20_000


@dataclass(frozen=True)
class Search:
    """What is tried: the layer `at` gets every table, each of `layers` one row."""

    layers: tuple[int, ...] = (6, 9, 12, 15, 18, 21)
    at: int = 12
    width: int = 2048
    k: int = 32
    positions: int = 40_000
    epochs: int = 3
    batch_size: int = 256
    lr: float = 6e-4
    windows: int = 4
    context_size: int = 256
    behaviours: tuple[str, ...] = ("sea", "formality", "ai-identity")
    pairs: int = 8

    @property
    def hooks(self) -> tuple[str, ...]:
        return tuple(hook(layer) for layer in sorted({*self.layers, self.at}))

    def tables(self) -> dict[str, list[Recipe]]:
        """What is varied -> its recipes; those of width, k and positions share a row."""
        small = Recipe(
            hook(self.at), self.width, self.k, self.positions, self.epochs,
            batch_size=self.batch_size, lr=self.lr,
        )  # fmt: skip
        wide = replace(small, d_sae=2 * self.width)
        powers = (0.5, 1, 2, 4)
        return {
            "layer": [replace(small, hook_name=name) for name in self.hooks],
            "k": [replace(wide, k=int(p * self.k)) for p in powers],
            "width": [replace(small, d_sae=int(p * self.width)) for p in powers],
            "positions": [replace(wide, positions=int(p * self.positions)) for p in (0.125, 0.25, 0.5, 1)],
            "selection": [replace(small, per="token"), small],
        }


def hook(layer: int) -> str:
    return f"blocks.{layer}.hook_resid_post"


class Measured:
    """The document on disk: rows are added, and both files written after each."""

    def __init__(self, place: Path, settings: dict[str, Any], tables: dict[str, list[Recipe]]) -> None:
        """Raises BadInput when the file holds rows that were measured otherwise."""
        self._place = place
        fresh = {"format": "steerscope-dictionary-search", "settings": settings, "norms": {},
                 "rows": {}, "dense": {}}  # fmt: skip
        # as JSON has it, so that tuples equal lists
        self.document = json.loads(json.dumps(fresh))
        if place.exists():
            before = json.loads(place.read_text(encoding="utf-8"))
            if before["settings"] != self.document["settings"]:
                raise BadInput(f"{place} was measured with other settings; move it away or repeat them.")
            self.document = before
        self.document["tables"] = {name: [r.key for r in recipes] for name, recipes in tables.items()}

    def add(self, part: str, key: str, value: Any) -> None:
        """One row of a part, kept at once."""
        self.document[part][key] = value
        text = json.dumps(self.document, indent=1)
        write_file(self._place, text + "\n")
        write_file(self._place.with_suffix(".md"), page(self.document))

    def lacks(self, part: str, key: str) -> bool:
        return key not in self.document[part]


def search(
    model: Any, asked: Search, sources: list[Source], held_out: dict[str, str], work: Path, measured: Measured
) -> None:
    """Everything that the document lacks: norms, dense steering, then the rows of every table."""
    for name in asked.hooks:
        require_hook(model, name)
    text = windows(sources, model.tokenizer, asked.context_size)
    collect(model, text, asked.hooks, asked.positions, work / "acts")
    for name in asked.hooks:
        norm = typical_norm(kept(work / "acts", name, model.cfg.d_model, _NORM_OF))
        measured.add("norms", name, round(norm, 2))
    tables, kinds = asked.tables(), _held_out(model, asked, held_out)
    _steer(model, asked, measured)
    for recipes in tables.values():
        _rows(model, recipes, work, kinds, measured)


def _rows(
    model: Any, recipes: list[Recipe], work: Path, held_out: dict[str, Windows], measured: Measured
) -> None:
    for recipe in recipes:
        if measured.lacks("rows", recipe.key):
            note(recipe.key)
            row = row_of(model, recipe, work / "acts", work / "sae" / recipe.key, held_out)
            measured.add("rows", recipe.key, row)


def _steer(model: Any, asked: Search, measured: Measured) -> None:
    turns = Turns(model.tokenizer, prepend_bos=False, n_ctx=model.cfg.n_ctx)
    for name in asked.behaviours:
        if measured.lacks("dense", name):
            note(f"dense: {name}")
            norms = measured.document["norms"]
            measured.add("dense", name, effects(model, turns, load_behaviour(name), norms, asked.pairs))


def _held_out(model: Any, asked: Search, held_out: dict[str, str]) -> dict[str, Windows]:
    return {
        kind: list(
            itertools.islice(windows([Source(path)], model.tokenizer, asked.context_size), asked.windows)
        )
        for kind, path in held_out.items()
    }


def settings(
    asked: Search, sources: list[Source], held_out: dict[str, str], model: str, dtype: str
) -> dict[str, Any]:
    """What rows must have in common to stand in one table. Files by their names alone."""
    return {
        "model": model,
        "dtype": dtype,
        "text": [[Path(source.name).name, source.weight] for source in sources],
        "held_out": {kind: Path(path).name for kind, path in held_out.items()},
        "windows": asked.windows,
        "context_size": asked.context_size,
        "pairs": asked.pairs,
    }


def main(
    work: Annotated[Path, typer.Option(metavar="DIR", help="Residuals and SAEs; about a gigabyte.")],
    text: Annotated[list[str], typer.Option(metavar="PATH[=WEIGHT]", help="May be repeated.")],
    held_out: Annotated[list[str], typer.Option(metavar="KIND=PATH", help="May be repeated.")],
    positions: Annotated[int, typer.Option(min=1024, help="Of each SAE, met --epochs times.")] = 40_000,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    out: Annotated[Path, typer.Option(help="The JSON; the page is written beside it.")] = OUT,
) -> None:
    """Measure on the demo model what is not measured yet."""
    with quiet():
        prepare_demo()
        place = choose_placement("cpu")
        model = load_hooked(model_source(get_preset("demo")), device=place.device, dtype=place.torch_dtype)
        asked = Search(positions=positions, epochs=epochs)
        sources = [Source.parse(each) for each in text]
        kinds = dict(each.split("=", 1) for each in held_out)
        common = settings(asked, sources, kinds, DEMO_MODEL, place.dtype)
        search(model, asked, sources, kinds, work, Measured(out, common, asked.tables()))


if __name__ == "__main__":
    typer.run(main)
