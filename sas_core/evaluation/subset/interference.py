"""Do latents help or hinder each other: the effect of two at once, less that of each alone.

`I_ij = e({i, j}) - e({i}) - e({j})`, e being the mean change of the margin over pairs. 0 where effects add;
the sign is that of the change, so at a negative strength a negative I_ij means that both help each other.
Numbers only: knows nothing about models, edits or texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from sas_core.evaluation.bootstrap import Estimate, estimate
from sas_core.evaluation.subset.prune import Subset


@dataclass(frozen=True)
class Meeting:
    """Two latents: the effect of `both` at once, and `extra`, what is not the sum of their own effects."""

    one: int
    other: int
    both: Estimate
    extra: Estimate


@dataclass(frozen=True)
class Interference:
    """`alone[n]`: the effect of `latents[n]` by itself; `meetings`: every two of them once."""

    latents: tuple[int, ...]
    alone: tuple[Estimate, ...]
    meetings: tuple[Meeting, ...]

    def matrix(self) -> tuple[tuple[float | None, ...], ...]:
        """`extra` of every two, symmetric, in the order of `latents`; None on the diagonal."""
        found = {frozenset((m.one, m.other)): m.extra.value for m in self.meetings}
        return tuple(tuple(found.get(frozenset((i, j))) for j in self.latents) for i in self.latents)


def subsets_needed(latents: Sequence[int]) -> tuple[Subset, ...]:
    """Each latent alone, then every two of them: what has to be measured."""
    return (*((i,) for i in latents), *combinations(latents, 2))


def interference(latents: Sequence[int], changes: Float[np.ndarray, "pair subset"]) -> Interference:
    """From the change of each pair's margin under each of `subsets_needed(latents)`, with 95 % intervals."""
    column = {subset: changes[:, n] for n, subset in enumerate(subsets_needed(latents))}
    return Interference(
        tuple(latents),
        tuple(estimate(column[i,]) for i in latents),
        tuple(
            Meeting(i, j, estimate(column[i, j]), estimate(column[i, j] - column[i,] - column[j,]))
            for i, j in combinations(latents, 2)
        ),
    )
