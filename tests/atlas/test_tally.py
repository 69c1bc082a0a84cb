"""Counts, sums and histograms, against adding one number after the other."""

import math

import numpy as np
import pytest

from sas_core.atlas.firing import Fired
from sas_core.atlas.made_of import EDGES
from sas_core.atlas.tally import Tally


def fired_of(dense: np.ndarray) -> Fired:
    """Of dense activations `[row, pos, d_sae]`."""
    latents, rows, positions = (np.moveaxis(dense, -1, 0) > 0).nonzero()
    parts = (part.astype(np.int32) for part in (latents, rows, positions))
    return Fired(*parts, dense[rows, positions, latents])


def slow_bin(value: float) -> int:
    below = sum(1 for edge in EDGES if edge <= value)
    return min(max(below - 1, 0), len(EDGES) - 2)


@pytest.mark.parametrize("seed", range(5))
def test_all_figures_of_several_batches_are_those_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    d_sae = int(rng.integers(1, 20))
    tally = Tally.empty(d_sae)
    values: list[list[float]] = [[] for _ in range(d_sae)]
    for _ in range(4):
        shape = (int(rng.integers(1, 4)), int(rng.integers(1, 9)), d_sae)
        dense = np.where(rng.random(shape) < 0.3, rng.lognormal(0, 4, shape), 0.0).astype(np.float32)
        dense[..., 0] = 0.0
        tally.add(fired_of(dense))
        for latent in range(d_sae):
            values[latent] += [float(v) for v in dense[..., latent].ravel() if v > 0]
    assert sum(map(len, values)) > 0 or d_sae == 1
    for latent, mine in enumerate(values):
        assert tally.fired[latent] == len(mine)
        assert tally.total[latent] == pytest.approx(math.fsum(mine), rel=1e-13)
        assert tally.squares[latent] == pytest.approx(math.fsum(v * v for v in mine), rel=1e-13)
        assert tally.maximum[latent] == max(mine, default=0.0)
        counts = [0] * (len(EDGES) - 1)
        for value in mine:
            counts[slow_bin(value)] += 1
        assert tally.histogram[latent].tolist() == counts


def test_an_edge_belongs_to_the_bin_it_opens_and_the_outer_bins_are_open():
    edges = np.array(EDGES, np.float32)
    exact = [i for i, edge in enumerate(EDGES) if float(edges[i]) == edge and i < len(EDGES) - 1]
    assert len(exact) > 20
    for number in exact:
        tally = Tally.empty(1)
        tally.add(fired_of(edges[number].reshape(1, 1, 1)))
        assert tally.histogram[0].nonzero()[0].tolist() == [number]
    for value, number in ((1e-30, 0), (1e30, len(EDGES) - 2), (EDGES[-1], len(EDGES) - 2)):
        tally = Tally.empty(1)
        tally.add(fired_of(np.full((1, 1, 1), value, np.float32)))
        assert tally.histogram[0].nonzero()[0].tolist() == [number]


def test_a_batch_in_which_nothing_fires_changes_nothing():
    tally = Tally.empty(3)
    tally.add(fired_of(np.zeros((2, 4, 3), np.float32)))
    assert not any(part.any() for part in (tally.fired, tally.total, tally.maximum, tally.histogram))
