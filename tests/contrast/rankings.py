"""Rankings made of plain numbers, for tests of what is drawn, listed and said. No model is involved."""

import numpy as np

from sas_core.contrast.collect import Collected
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.contrast.ranking import Ranking
from sas_core.contrast.statistics import Codes, SideCodes


def side(columns: dict[int, list[float]], n: int, d_sae: int) -> SideCodes:
    """Codes of one side from latent -> its value in each of the `n` texts."""
    entries = [(row, latent, v) for latent, values in columns.items() for row, v in enumerate(values) if v]
    rows, latents, values = zip(*entries, strict=True) if entries else ((), (), ())
    return SideCodes(
        np.array(rows, np.int32), np.array(latents, np.int32), np.array(values, np.float32), n, d_sae
    )


def ranking_of(
    positive: dict[int, list[float]], negative: dict[int, list[float]], n: int = 10, d_sae: int = 20
) -> Ranking:
    """A ranking whose latents take the given values; every latent peaks at the token of its own index."""
    codes = Codes(side(positive, n, d_sae), side(negative, n, d_sae))
    pairs = tuple(Pair(f"prompt {i}", f"plus {i}", f"minus {i}", i + 1) for i in range(n))
    collected = Collected(codes, codes.positive.latents, codes.negative.latents, 3, 1)
    return Ranking(PairSet("numbers", pairs), "completion-mean", collected)


def in_first(count: int, value: float = 1.0, n: int = 10) -> list[float]:
    """`value` in the first `count` texts, zero in the others."""
    return [value] * count + [0.0] * (n - count)


def example() -> Ranking:
    """At tau 0.7: latent 1 is +, 2 and 7 are on the negative side only, 3 is shared, 4 is below."""
    return ranking_of(
        {1: in_first(9, 2.0), 2: in_first(1), 3: in_first(8, 3.0), 4: in_first(3), 7: in_first(1)},
        {1: in_first(2), 2: in_first(7, 4.0), 3: in_first(7), 4: in_first(1), 7: in_first(7, 0.5)},
    )
