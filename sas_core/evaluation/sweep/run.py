"""Run a sweep: task after task, every column of a task in as few batches as memory allows.

Each finished task is in the book before the next begins, so a sweep that is stopped or killed goes on where
it was and ends with the same numbers. The engine is held for one task at a time.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from sas_core.contrast.collect import Progress
from sas_core.contrast.pairs import PairSet
from sas_core.errors import BadInput
from sas_core.evaluation.completions import sides
from sas_core.evaluation.judge.endpoint import endpoint_from_settings
from sas_core.evaluation.judge.judge import judge_from_settings
from sas_core.evaluation.judge.rubric import BehaviourSides
from sas_core.evaluation.scorers.choose import scorer_count, scorers_of
from sas_core.evaluation.scorers.probe import Probe, train_probe
from sas_core.evaluation.sweep.book import SweepBook, Task
from sas_core.evaluation.sweep.cells import Cell, cells_of
from sas_core.evaluation.sweep.edits import columns_of
from sas_core.evaluation.sweep.material import Material
from sas_core.evaluation.sweep.planned import Measure, doing, planned
from sas_core.evaluation.sweep.scorer import Scorer
from sas_core.evaluation.sweep.sources import read_sources
from sas_core.evaluation.sweep.spec import SweepSpec
from sas_core.evaluation.sweep.summary import Placing
from sas_core.evaluation.sweep.tasks import Batch, scored_by
from sas_core.model.versions import library_versions
from sas_core.steering.engine import Engine
from sas_core.steering.spec import canonical_key

# raise it when the same spec would give other numbers, so that an older sweep is not gone on with
_FORMAT = 1


@dataclass(frozen=True)
class SweepProgress:
    """`done` of `total` tasks of the sweep `key`; `doing` in words; `waiting` other requests go first."""

    key: str
    done: int
    total: int
    doing: str
    waiting: int = 0


def sweep_key(engine: Engine, spec: SweepSpec, material: Material) -> str:
    """Equal for sweeps that must give the same numbers: spec, pairs, model, dictionary, judge."""
    spec = material.settle(spec)
    sae, asked = engine.dictionary.identity, endpoint_from_settings() if spec.text.judge else None
    return canonical_key(
        [_FORMAT, spec.model_copy(update={"name": ""}).dump(), material.identity, engine.name,
         engine.placement.dtype, sae.sha256, engine.hook_name, [asked.url, asked.model] if asked else None]
    )  # fmt: skip


def run_sweep(
    engine: Engine,
    spec: SweepSpec,
    material: Material,
    book: SweepBook,
    *,
    densities: Sequence[float] | None = None,
    judge: Scorer | None = None,
    load: Callable[[str], Engine] | None = None,
    session: str = "",
) -> Generator[SweepProgress, None, None]:
    """Yield SweepProgress after each task; `book.result(progress.key)` is what there is so far.

    `densities`: how often each latent fires, for the control random-latents. `load` gives the engine of a
    name on the axis `sae`. Without a `judge` the one of the settings is asked, where the spec wants one.
    Close the generator to stop; the same call goes on.

    Raises BadInput (a spec, pairs or prompts that cannot be used), Mismatch, Unavailable (a judge that does
    not answer), QueueFull, Cancelled.
    """
    spec = material.settle(spec)
    cells, key = cells_of(spec), sweep_key(engine, spec, material)
    if spec.text.judge and judge is None:
        judge = _judge(spec, material)
    run = _Run(engine, spec, material, book, key, judge, session or f"sweep.{key[:8]}")
    _check(engine, material)
    book.begin(key, spec, run.provenance(), run.total)
    yield run.told("Reading the pairs")
    for name in spec.axes.sae:
        here = engine if name is None else _loaded(load, name)
        mine = [cell for cell in cells if cell.setting.sae == name]
        yield from run.dictionary(name, here, mine, densities if name is None else None)


class _Run:
    """One sweep on its way through its dictionaries and tasks."""

    def __init__(
        self, engine: Engine, spec: SweepSpec, material: Material, book: SweepBook, key: str,
        judge: Scorer | None, session: str,
    ) -> None:  # fmt: skip
        self._engine, self._spec, self._material, self._book, self._key = engine, spec, material, book, key
        self._prompts, self._judge, self._session = material.prompts, judge, session
        self._tasks = dict(planned(spec, material))
        scorers = scorer_count(material.text, material.behind) if material.prompts else 0
        self._each = len(self._tasks) + scorers * len(material.prompts)
        self.total = self._each * len(spec.axes.sae)

    def provenance(self) -> dict[str, Any]:
        """What made the numbers, for the record."""
        engine, material = self._engine, self._material
        sae = engine.dictionary.identity
        return {
            "model": engine.name,
            "sae": {"release": sae.release, "sae_id": sae.sae_id, "hook_name": engine.hook_name,
                    "d_sae": sae.d_sae, "sha256": sae.sha256},
            "device": engine.placement.device,
            "dtype": engine.placement.dtype,
            "versions": library_versions(),
            "training": _about(material.training),
            "heldout": _about(material.heldout),
            "vector": None if material.vector is None else material.vector.name,
            "units": {"pairs": len(material.heldout), "prompts": len(self._prompts)},
        }  # fmt: skip

    def told(self, doing: str, waiting: int = 0) -> SweepProgress:
        done = sum(len(self._book.done(self._key, name)) for name in self._spec.axes.sae)
        return SweepProgress(self._key, done, self.total, doing, waiting)

    def dictionary(
        self, name: str | None, engine: Engine, cells: Sequence[Cell], densities: Sequence[float] | None
    ) -> Generator[SweepProgress, None, None]:
        """Every task of one dictionary that is not done yet."""
        done = self._book.done(self._key, name)
        if len(done) == self._each:
            return
        sources = yield from self._sources(engine, cells)
        system = self._spec.system
        asked = None if system is None else (system.negative, system.positive)
        columns = columns_of(engine, cells, sources, densities, asked)
        rows = tuple((p.cell, p.column, p.latents, p.problem) for p in columns.placed)
        self._book.place(self._key, name, Placing(rows, columns.base))
        batch = Batch(engine, columns.columns)
        for task, measure in self._tasks.items():
            if task not in done:
                yield from self._measured(name, engine, task, measure, batch)
        yield from self._scored(name, engine, done)

    def _sources(
        self, engine: Engine, cells: Sequence[Cell]
    ) -> Generator[SweepProgress, None, Any]:  # fmt: skip
        reading = read_sources(engine, self._material, cells, self._session)
        while True:
            try:
                at: Progress = next(reading)
            except StopIteration as end:
                return end.value
            yield self.told(f"Reading the pairs: {at.done} of {at.total} texts")

    def _measured(
        self, name: str | None, engine: Engine, task: str, measure: Measure, batch: Batch
    ) -> Generator[SweepProgress, None, None]:
        with engine.turn(self._session) as ticket:
            while not ticket.wait(0.1):
                yield self.told(doing(task), ticket.position)
            found = measure(batch, ticket)
        self._book.keep(self._key, name, found)
        yield self.told(doing(task))

    def _scored(
        self, name: str | None, engine: Engine, done: frozenset[str]
    ) -> Generator[SweepProgress, None, None]:
        if self._each == len(self._tasks):
            return
        pairs = self._material.behind
        probe = (yield from self._probe(engine, pairs)) if self._spec.text.probe else None
        for scorer in scorers_of(self._material.text, engine, pairs, self._judge, probe=probe):
            for unit, prompt in enumerate(self._prompts):
                task = f"score:{scorer.figures[0]}:{unit}"
                if task in done:
                    continue
                texts = self._book.written(self._key, name, unit)
                numbers = scored_by(scorer, prompt, texts)
                self._book.keep(self._key, name, Task(task, unit, numbers))
                yield self.told(f"Scoring the texts: {scorer.figures[0]}")

    def _probe(self, engine: Engine, pairs: PairSet | None) -> Generator[SweepProgress, None, Probe | None]:
        """A probe for the written texts, and how good it is on the held-out pairs, for the record."""
        if pairs is None:
            return None
        for step in train_probe(engine, pairs, session=self._session):
            if isinstance(step, Probe):
                said = step.accuracy(engine, self._material.heldout, self._session).sentence()
                self._book.remark(self._key, "probe", said)
                return step
            yield self.told("Training the probe")
        return None


def _check(engine: Engine, material: Material) -> None:
    """Raise BadInput for a pair that is too long before minutes are spent on the others."""
    for pair in material.heldout.pairs:
        sides(engine.turns, pair, material.heldout.form)


def _loaded(load: Callable[[str], Engine] | None, name: str) -> Engine:
    if load is None:
        raise BadInput(f"axes.sae: {name!r} cannot be loaded here; run the sweep from the command line.")
    return load(name)


def _judge(spec: SweepSpec, material: Material) -> Scorer | None:
    about = material.behaviour
    sides_of = BehaviourSides(about.positive, about.negative) if about else None
    return judge_from_settings(behaviour=sides_of, concept=spec.text.concept)


def _about(pairs: PairSet | None) -> dict[str, Any] | None:
    return None if pairs is None else {"name": pairs.name, "count": len(pairs), "sha256": pairs.sha256}
