"""One behaviour on one engine: what its cells change in prices, margins and texts, unit by unit.

All cells are columns of one batch, as in a sweep. Knows no prices to match, no files of results.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from sas_core.cli.files import read_vector
from sas_core.errors import BadInput
from sas_core.evaluation.margin import neutral_texts
from sas_core.evaluation.scorers.choose import scorers_of
from sas_core.evaluation.scorers.probe import Probe, train_probe
from sas_core.evaluation.sweep.cells import Cell, Setting, cells_of
from sas_core.evaluation.sweep.edits import columns_of
from sas_core.evaluation.sweep.material import Material, material_of
from sas_core.evaluation.sweep.scorer import Scorer
from sas_core.evaluation.sweep.sources import Sources, read_sources
from sas_core.evaluation.sweep.spec import SweepSpec, parse_spec
from sas_core.evaluation.sweep.tasks import Batch, Numbers, scored_by
from sas_core.steering.engine import Engine
from sas_core.steering.queue import Ticket
from sas_core.steering.spec import Prompt, Sampling
from sas_core.vectors.ship import SHIPPED

SPEC = """
name: behaviours
vector: NAME
measures: [margin, price]
axes:
  scale: [-16, -4, -1, 1, 4, 16]
controls: [dense, caa, random]
seeds: 2
text:
  max_new_tokens: 30
"""

Changes = dict[str, Float[np.ndarray, "unit cell"]]


def prepared(name: str, pairs: int, prompts: int) -> tuple[SweepSpec, Material]:
    """The spec of one behaviour, and its material: the prompts are those of its first held-out pairs."""
    spec = parse_spec(SPEC, changes=(f"vector={name}", f"limit={pairs}"))
    material = material_of(spec, lambda vector: read_vector(SHIPPED / f"{vector}.json"))
    asked = tuple(dict.fromkeys(pair.prompt for pair in material.heldout.pairs))
    return spec, replace(material, prompts=asked[:prompts])


class Bench:
    """One behaviour on one engine: its cells as columns of a batch, as a sweep runs them."""

    def __init__(self, engine: Engine, spec: SweepSpec, material: Material) -> None:
        self.engine, self.spec, self.material = engine, spec, material
        self._sources: Sources = _end(read_sources(engine, material, cells_of(spec)))

    def latents(self, setting: Setting) -> int:
        """How many the vector of a setting has; none where nothing passes its tau."""
        try:
            return len(self._sources.values(setting))
        except BadInput:
            return 0

    def prices(self, cells: Sequence[Cell]) -> Float[np.ndarray, "text cell"]:
        """Nats per token that neutral texts lose."""
        tasks = [_priced(question, answer) for question, answer in neutral_texts()]
        return self._changes(cells, tasks)["price"]

    def margins(self, cells: Sequence[Cell]) -> Float[np.ndarray, "pair cell"]:
        """Change of the completion margin of the held-out pairs, nats per token."""
        form = self.material.heldout.form
        tasks = [_margin(pair, form) for pair in self.material.heldout.pairs]
        return self._changes(cells, tasks)["margin"]

    def written(self, cells: Sequence[Cell]) -> Changes:
        """Changes of the scores of what is written to the prompts: `probe`, and `words` if listed."""
        if not self.material.prompts:
            return {}
        pairs = self.material.behind
        probe = next(step for step in train_probe(self.engine, pairs) if isinstance(step, Probe))
        scorers = scorers_of(self.spec.text, self.engine, pairs, probe=probe)
        return self._changes(cells, [self._written(prompt, scorers) for prompt in self.material.prompts])

    def _written(self, prompt: Prompt, scorers: Sequence[Scorer]) -> Callable[[Batch], Numbers]:
        def task(batch: Batch) -> Numbers:
            sampling = Sampling(self.spec.text.max_new_tokens, 0.0)
            with self.engine.turn() as ticket:
                ticket.wait_turn()
                _, texts = batch.write(prompt, sampling, ticket)
            # a scorer takes turns of its own
            found = [scored_by(scorer, prompt, texts) for scorer in scorers]
            return {name.partition(":")[0]: row for each in found for name, row in each.items()}

        return task

    def _changes(self, cells: Sequence[Cell], tasks: Sequence[Callable[[Batch], Numbers]]) -> Changes:
        columns = columns_of(self.engine, cells, self._sources, None, None)
        batch, at = Batch(self.engine, columns.columns), [placed.column for placed in columns.placed]
        base = [columns.base[column] for column in at]
        rows = [task(batch) for task in tasks]
        return {name: np.stack([row[name][at] - row[name][base] for row in rows]) for name in rows[0]}


def _priced(question: str, answer: str) -> Callable[[Batch], Numbers]:
    return lambda batch: _in_turn(batch, lambda ticket: batch.price(question, answer, ticket))


def _margin(pair: Any, form: str) -> Callable[[Batch], Numbers]:
    return lambda batch: _in_turn(batch, lambda ticket: batch.margin(pair, form, ticket))


def _in_turn(batch: Batch, read: Callable[[Ticket], Numbers]) -> Numbers:
    with batch.engine.turn() as ticket:
        ticket.wait_turn()
        return read(ticket)


def _end(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
