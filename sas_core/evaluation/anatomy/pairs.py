"""The pairs behind a vector read by the model: their codes for every tau, and the dense direction (CAA).

The same texts at the same positions both times, so that the two differ by the dictionary alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sas_core.contrast.choice import Choice
from sas_core.contrast.collect import Progress
from sas_core.contrast.dense import mean_difference
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.positions import Position
from sas_core.contrast.ranking import Ranking, rank
from sas_core.evaluation.anatomy.measures import AtTau, Explained, Sparsity, explained, over_taus, sparsity_of
from sas_core.steering.engine import Engine
from sas_core.vectors.build import check_belongs
from sas_core.vectors.fields import VectorFile


@dataclass(frozen=True, eq=False)
class PairsRead:
    """`dense`: mean(positive) - mean(negative) of the residuals, `[d_in]` floats (CAA, arXiv 2312.06681)."""

    ranking: Ranking
    dense: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One vector. `read` is None where its pairs are not known, and then `by_tau` is empty, `dense` None.

    `by_tau`: what the rule makes of those pairs with the vector's own sides and shared-latent switch.
    """

    vector: VectorFile
    sparsity: Sparsity
    read: PairsRead | None = None
    by_tau: tuple[AtTau, ...] = ()
    dense: Explained | None = None


def read_both_ways(
    engine: Engine, pairs: PairSet, position: Position, *, session: str = ""
) -> Iterator[Progress | PairsRead]:
    """Yield Progress (each text counts twice), and the PairsRead last. Close the generator to stop.

    Raises BadInput when no pair is usable or one does not fit, Cancelled, QueueFull.
    """
    found: list[Ranking | tuple[float, ...]] = []
    for half, events in enumerate(
        (
            rank(engine, pairs, position, session=session),
            mean_difference(engine, pairs, position, session=session),
        )
    ):
        for event in events:
            if isinstance(event, Progress):
                yield Progress(half * event.total + event.done, 2 * event.total)
            else:
                found.append(event)
    ranking, dense = found
    yield PairsRead(ranking, dense)


def anatomy_of(engine: Engine, vector: VectorFile, read: PairsRead, taus: Sequence[float]) -> Anatomy:
    """The vector beside its pairs. Nothing is run: `read` holds what the model found.

    Raises Mismatch for a vector of another model or SAE, BadInput for a tau outside 0..1.
    """
    check_belongs(vector, engine)
    choice = Choice(sides=vector.sides, drop_shared=vector.drop_shared)
    by_tau = over_taus(read.ranking, taus, choice)
    return Anatomy(vector, sparsity_of(vector), read, by_tau, _against_dense(engine, vector, read))


def _against_dense(engine: Engine, vector: VectorFile, read: PairsRead) -> Explained:
    """The vector's decoded sum, and the decoder rows of its latents, against the dense direction."""
    kept = torch.tensor([feature.index for feature in vector.features if feature.value], dtype=torch.long)
    rows = engine.dictionary.W_dec_rows(kept).double().cpu().numpy()
    return explained(np.array(read.dense), np.array(vector.dense), rows)
