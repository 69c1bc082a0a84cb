"""A finished contrast: codes, counts, evidence for every active latent, and the vector at any choice.

This is what the Contrast page shows and what a vector is built from. Changing tau, sides or top-k touches
counts and sums only, never the model.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sas_core.contrast.choice import Choice
from sas_core.contrast.codestore import CodeStore
from sas_core.contrast.collect import Collected, Progress, collect
from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.positions import Position
from sas_core.contrast.select import Funnel, SasVector, build_vector
from sas_core.contrast.statistics import Evidence, Tally, evidence, tally
from sas_core.paths import cache_dir
from sas_core.steering.engine import Engine


@dataclass(frozen=True, eq=False)
class Ranking:
    """`pairs` are those used (rows with identical sides are gone)."""

    pairs: PairSet
    position: Position
    collected: Collected
    heldout: Collected | None = None

    @cached_property
    def tally(self) -> Tally:
        return tally(self.collected.codes)

    @cached_property
    def evidence(self) -> Evidence:
        """Evidence of every latent that fires in any pair."""
        codes = self.collected.codes
        return evidence(codes, self.heldout.codes if self.heldout else None, codes.active())

    def vector(self, choice: Choice) -> tuple[SasVector, Funnel]:
        """The SAS vector and what each step left. Raises BadInput for a tau outside 0..1."""
        return build_vector(
            self.tally, choice.tau, sides=choice.sides, top_k=choice.top_k, drop_shared=choice.drop_shared
        )

    def reads(self, latent: int, k: int = 4) -> tuple[int, ...]:
        """Token ids at which the latent was strongest in these pairs, heaviest first."""
        weight: dict[int, float] = {}
        codes = self.collected.codes
        for side, peaks in ((codes.positive, self.collected.peaks_positive),
                            (codes.negative, self.collected.peaks_negative)):  # fmt: skip
            at = np.flatnonzero(side.latents == latent)
            for token, value in zip(peaks[at].tolist(), side.values[at].tolist(), strict=True):
                weight[token] = weight.get(token, 0.0) + value
        return tuple(sorted(weight, key=weight.__getitem__, reverse=True)[:k])

    def strongest_rows(self, latent: int, k: int = 3) -> tuple[tuple[int, bool, float], ...]:
        """(pair index, whether it is the positive side, value) where the latent fires most."""
        found: list[tuple[int, bool, float]] = []
        codes = self.collected.codes
        for side, positive in ((codes.positive, True), (codes.negative, False)):
            at = np.flatnonzero(side.latents == latent)
            found += [(int(side.rows[i]), positive, float(side.values[i])) for i in at]
        return tuple(sorted(found, key=lambda row: -row[2])[:k])


def rank(
    engine: Engine,
    pairs: PairSet,
    position: Position,
    *,
    heldout: PairSet | None = None,
    chat: bool | None = None,
    session: str = "",
) -> Iterator[Progress | Ranking]:
    """Yield Progress while the model reads the pairs, and the Ranking last; close to stop, call to resume.

    Raises BadInput when no pair is usable.
    """
    pairs = usable(pairs)
    store = CodeStore(cache_dir() / "codes.db")
    sets = [pairs] if heldout is None else [pairs, heldout]
    total = 2 * sum(len(one) for one in sets)
    results: list[Collected] = []
    before = 0
    for one in sets:
        for event in collect(engine, one, position, chat=chat, store=store, session=session):
            if isinstance(event, Collected):
                results.append(event)
            else:
                yield Progress(before + event.done, total)
        before += 2 * len(one)
    yield Ranking(pairs, position, *results)
