"""The smallest part of a vector that keeps its effect: latents pruned greedily on one half of the pairs.

effect(S) is the mean change of the completion margin with only the latents S of the vector steered. What is
chosen on the dev half is reported on the test half, beside random parts of equal size and what two latents
do together. Greedy pruning finds a set of which no single latent can go, not always the smallest there is.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.errors import BadInput
from sas_core.evaluation.bootstrap import Estimate, estimate
from sas_core.evaluation.completions import Completion, changes_under, sides, unit_of
from sas_core.evaluation.plan import MOST_SEEDS, plan
from sas_core.evaluation.subset.interference import Interference, interference, subsets_needed
from sas_core.evaluation.subset.prune import Pruned, Pruning, Subset, Trial, prune, without
from sas_core.evaluation.sweep.summary import dev_units
from sas_core.steering.engine import Engine
from sas_core.steering.spec import Steering
from sas_core.vectors.build import check_belongs, steering_of
from sas_core.vectors.fields import VectorFile

# so many latents make 780 twos
MOST_PAIRED = 40

Changes = Mapping[Subset, Float[np.ndarray, " pair"]]


@dataclass(frozen=True)
class Step:
    """`done` of `total` pairs of one pass; `left` latents so far, which keep the share `kept` of the effect.

    `waiting` other requests go first just now.
    """

    done: int
    total: int
    left: int
    kept: float
    waiting: int = 0


@dataclass(frozen=True)
class Needed:
    """A latent of the subset. `lost_dev`: what the dev half loses without it, by which latents are ordered.

    `lost`: the same on the test half; `alone`: the effect of this latent by itself, there too.
    """

    index: int
    value: float
    label: str | None
    lost_dev: float
    lost: Estimate
    alone: Estimate


@dataclass(frozen=True)
class SubsetReport:
    """The latents that are enough, the most needed first, and what they do on pairs that did not choose them.

    All effects are changes of the margin in `unit`; `full_dev` and `subset_dev` on the `dev` pairs that
    chose, the estimates on the `test` others. `random`: parts of equal size drawn from the whole vector's
    latents. `rounds`: latents left after each round of pruning, `size` before the first.
    """

    vector: str
    pairs: str
    unit: str
    scale: float
    keep: float
    size: int
    dev: int
    test: int
    latents: tuple[Needed, ...]
    rounds: tuple[int, ...]
    full_dev: float
    subset_dev: float
    full: Estimate
    subset: Estimate
    random: tuple[Estimate, ...]
    interference: Interference

    @property
    def kept(self) -> float | None:
        """Share of the whole vector's effect on the test half; None where that goes the wrong way."""
        return self.subset.value / self.full.value if self.full.value * self.scale > 0 else None

    def values(self) -> dict[int, float]:
        """Latent -> its value in the vector, the most needed first."""
        return {latent.index: latent.value for latent in self.latents}


def smallest_subset(
    engine: Engine,
    vector: VectorFile,
    heldout: PairSet,
    scale: float = 2.0,
    *,
    keep: float = 0.9,
    strongest: int = 12,
    seeds: int = 3,
    split_seed: int = 0,
    session: str = "",
) -> Iterator[Step | SubsetReport]:
    """Yield Step after each pair of each pass, and the SubsetReport last. Close the generator to stop.

    Of the `strongest` latents, the most needed, every two are tried together. `seeds`: random parts. The
    engine is held for one pair at a time. Raises BadInput (numbers out of range, too few pairs), Mismatch (a
    vector of another model), NoEffect (the whole vector moves the dev half not at all, or the wrong way),
    Cancelled.
    """
    check_asked(scale, keep, strongest, seeds)
    check_belongs(vector, engine)
    values = {f.index: f.value for f in vector.features if f.value}
    if not values:
        raise BadInput(f"Every value of {vector.name!r} is zero, so there is nothing to choose from.")
    used = usable(heldout)
    if len(used) < 2:
        raise BadInput(
            f"{len(used)} usable pairs are held out, and two at least are needed: one to choose by and one "
            "to report on."
        )
    run = _Run(engine, steering_of(vector, scale), used, dev_units(len(used), 0.5, split_seed), session)
    pruned = yield from run.search(prune(tuple(values), keep, 1 if scale > 0 else -1))
    asked = _Asked.of(pruned, tuple(values), strongest, seeds)
    changes = yield from run.report(asked.subsets(), len(pruned.latents), pruned.effect / pruned.full)
    yield SubsetReport(
        vector=vector.name, pairs=used.name, unit=unit_of(used.form), scale=scale, keep=keep,
        size=len(values), dev=len(run.dev), test=len(run.test),
        latents=_needed(vector, pruned, asked, changes), rounds=pruned.rounds,
        full_dev=pruned.full, subset_dev=pruned.effect,
        full=estimate(changes[asked.full]), subset=estimate(changes[asked.chosen]),
        random=tuple(estimate(changes[part]) for part in asked.random),
        interference=_together(asked, changes),
    )  # fmt: skip


def check_asked(scale: float, keep: float, strongest: int, seeds: int) -> None:
    """Raise BadInput for what `smallest_subset` cannot use, before anything is loaded."""
    plan((scale,), (), 1)
    # written so that NaN is refused too
    if not 0 < keep <= 1:
        raise BadInput(f"The share to keep is {keep:g}; choose one above 0, up to 1, such as 0.9.")
    if not 1 <= seeds <= MOST_SEEDS:
        raise BadInput(f"{seeds} random parts are asked for; choose 1 to {MOST_SEEDS}.")
    if not 1 <= strongest <= MOST_PAIRED:
        raise BadInput(f"{strongest} latents are to be tried two at a time; choose 1 to {MOST_PAIRED}.")


@dataclass(frozen=True)
class _Asked:
    """What the test half is asked for: the whole vector, the chosen set, random ones, and its latents.

    `rest[n]`: the chosen set without its latent n. `strongest` are tried two at a time.
    """

    full: Subset
    chosen: Subset
    random: tuple[Subset, ...]
    rest: tuple[Subset, ...]
    strongest: Subset

    @classmethod
    def of(cls, pruned: Pruned, full: Subset, strongest: int, seeds: int) -> "_Asked":
        chosen = pruned.latents
        random = tuple(_random_part(full, len(chosen), seed) for seed in range(seeds))
        return cls(full, chosen, random, tuple(without(chosen, (i,)) for i in chosen), chosen[:strongest])

    def subsets(self) -> tuple[Subset, ...]:
        alone = tuple((i,) for i in self.chosen)
        return (self.full, self.chosen, *self.random, *self.rest, *alone, *subsets_needed(self.strongest))


class _Run:
    """Measures subsets of one vector on either half of the pairs."""

    def __init__(
        self, engine: Engine, steering: Steering, pairs: PairSet, is_dev: Bool[np.ndarray, " pair"],
        session: str,
    ) -> None:  # fmt: skip
        self._engine, self._steering, self._session = engine, steering, session
        scored = [sides(engine.turns, pair, pairs.form) for pair in pairs.pairs]
        self.dev = [each for each, dev in zip(scored, is_dev, strict=True) if dev]
        self.test = [each for each, dev in zip(scored, is_dev, strict=True) if not dev]

    def search(self, pruning: Pruning) -> Generator[Step, None, Pruned]:
        """Answer what the search asks, from the dev half, until it is done."""
        trial = next(pruning)
        while True:
            changes = yield from self._measure(trial, self.dev)
            try:
                trial = pruning.send(changes.mean(axis=0))
            except StopIteration as ended:
                return ended.value

    def report(self, subsets: Sequence[Subset], left: int, kept: float) -> Generator[Step, None, Changes]:
        """The change of each test pair, by subset."""
        trial = Trial(tuple(dict.fromkeys(subsets)), left, kept)
        changes = yield from self._measure(trial, self.test)
        return dict(zip(trial.subsets, changes.T, strict=True))

    def _measure(
        self, trial: Trial, pairs: Sequence[tuple[Completion, Completion]]
    ) -> Generator[Step, None, Float[np.ndarray, "pair subset"]]:
        steerings = [self._only(subset) for subset in trial.subsets]
        events = changes_under(self._engine, pairs, steerings, self._steering.tokens, self._session)
        while True:
            try:
                event = next(events)
            except StopIteration as ended:
                return ended.value
            yield Step(event.done, event.total, trial.left, trial.kept, event.waiting)

    def _only(self, subset: Subset) -> Steering | None:
        """The vector's own steering, with these latents alone; None without any."""
        (term,) = self._steering.terms
        kept = [(i, v) for i, v in zip(term.indices, term.values, strict=True) if i in set(subset)]
        if not kept:
            return None
        indices, values = zip(*kept, strict=True)
        return replace(self._steering, terms=(replace(term, indices=indices, values=values),))


def _needed(vector: VectorFile, pruned: Pruned, asked: _Asked, changes: Changes) -> tuple[Needed, ...]:
    features, own = {f.index: f for f in vector.features}, changes[asked.chosen]
    return tuple(
        Needed(i, features[i].value, features[i].label, lost, estimate(own - changes[rest]),
               estimate(changes[i,]))
        for i, lost, rest in zip(pruned.latents, pruned.lost, asked.rest, strict=True)
    )  # fmt: skip


def _together(asked: _Asked, changes: Changes) -> Interference:
    columns = [changes[each] for each in subsets_needed(asked.strongest)]
    return interference(asked.strongest, np.stack(columns, axis=1))


def _random_part(latents: Subset, size: int, seed: int) -> Subset:
    drawn = set(np.random.default_rng(seed).choice(len(latents), size, replace=False).tolist())
    return tuple(latent for n, latent in enumerate(latents) if n in drawn)
