"""Which latents fire together, against sets."""

import numpy as np
import pytest

from sas_core.atlas.cofiring import CoFiring
from sas_core.atlas.priority import priority, splitmix64, window_priority
from sas_core.atlas.store import Atlas
from tests.atlas.tiny_atlas import DEAD, slow_priority, slow_splitmix64, tiny, tiny_atlas


def slow_jaccard(windows: list[set[int]], index: int, k: int) -> list[tuple[int, float]]:
    holds = {latent: {n for n, window in enumerate(windows) if latent in window} for latent in range(48)}
    found = [
        (other, len(holds[index] & holds[other]) / len(holds[index] | holds[other]))
        for other in range(48)
        if other != index and holds[index] & holds[other]
    ]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]


def test_the_latents_most_alike_are_those_of_the_sets(tmp_path):
    atlas = Atlas.open(tiny_atlas(tmp_path / "tiny.db"))
    windows = [set(latents) for latents in tiny().expected.cofiring.values()]
    for index in range(48):
        for k in (1, 10, 100):
            assert list(atlas.cofiring(index, k)) == slow_jaccard(windows, index, k)
    assert atlas.cofiring(DEAD) == ()
    atlas.close()


def test_random_windows_some_of_them_empty():
    random = np.random.default_rng(0)
    for count in (0, 1, 7, 30):
        windows = [
            set(np.flatnonzero(random.random(48) < random.choice([0, 0.1, 0.6]))) for _ in range(count)
        ]
        made = CoFiring([np.array(sorted(window), np.uint32) for window in windows], 48)
        for index in range(48):
            assert list(made.nearest(index, 5)) == slow_jaccard(windows, index, 5)


def test_the_hash_is_the_published_one():
    # the first outputs of the reference implementation for the seeds 0 and 1234567
    step = 0x9E3779B97F4A7C15
    states = np.array([0, step, 1234567, (1234567 + step) % 2**64], np.uint64)
    assert splitmix64(states).tolist() == [
        0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 6457827717110365317, 3203168211198807973
    ]  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1, 12_345, 2**24, 2**40 + 3])
def test_priorities_are_those_of_whole_numbers_without_a_limit(seed):
    windows, latents = np.array([0, 1, 2, 77, 2**31]), np.array([5, 0, 1_000_000, 3, 3], np.int32)
    expected = [
        slow_priority(seed % 2**24, w, i) for w, i in zip(windows.tolist(), latents.tolist(), strict=True)
    ]
    assert priority(seed, windows, latents).tolist() == expected
    assert window_priority(seed, 77) == slow_splitmix64((seed * 2**40 + 77) % 2**64)


def test_no_two_pairs_draw_the_same_and_the_draws_are_spread_evenly():
    drawn = priority(0, np.arange(300)[:, None], np.arange(200)).ravel()
    assert len(np.unique(drawn)) == 60_000
    counts, _ = np.histogram(drawn.astype(float), bins=10, range=(0.0, 2.0**64))
    assert abs(counts - 6_000).max() < 300
