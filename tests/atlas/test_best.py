"""The running best of each latent, against sorting all candidates at the end."""

import random

import numpy as np
import pytest

from sas_core.atlas.best import Best, Entries


def candidates(seed: int, n: int, d_sae: int) -> Entries:
    """Few scores and few keys, so that nearly everything ties; each (latent, window) once."""
    rng = np.random.default_rng(seed)
    places = rng.choice(d_sae * 200, size=min(n, d_sae * 200), replace=False)
    n = len(places)
    score = rng.integers(1, 6, n).astype(np.float64)
    return Entries(
        (places % d_sae).astype(np.int32), (places // d_sae).astype(np.int64), score,
        rng.integers(0, 8, n).astype(np.uint64), score.astype(np.float32), np.zeros(n, np.int32),
        np.arange(n, dtype=np.int64),
    )  # fmt: skip


def slow(entries: Entries, k: int, distinct: bool) -> list[tuple[int, int, int]]:
    """(latent, window, trace) of the winners, by latent and from the best down."""
    won = []
    for latent in sorted(set(entries.latent.tolist())):
        mine = [i for i in range(len(entries)) if entries.latent[i] == latent]
        mine.sort(key=lambda i: (-entries.score[i], entries.window[i]))
        taken, kept = set(), []
        for i in mine:
            if len(kept) < k and not (distinct and entries.key[i] in taken):
                taken.add(entries.key[i])
                kept.append((latent, int(entries.window[i]), int(entries.trace[i])))
        won += kept
    return won


def winners(best: Best) -> list[tuple[int, int, int]]:
    found = best.ranked()
    return list(zip(found.latent.tolist(), found.window.tolist(), found.trace.tolist(), strict=True))


def offer_in_parts(best: Best, entries: Entries, order: list[int]) -> None:
    """Offer only what is wanted, as the recorder does, a random number at a time."""
    while order:
        part = np.array(order[: random.randint(1, 60)])
        del order[: len(part)]
        some = entries[part]
        best.offer(some[best.wanted(some.latent, some.score)])


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("seed", range(15))
def test_the_winners_are_those_of_a_sort_whatever_the_order_they_come_in(seed, distinct):
    random.seed(seed)
    d_sae, k = random.choice([1, 5, 23]), random.choice([1, 3, 7, 500])
    entries = candidates(seed, random.choice([0, 10, 400, 1500]), d_sae)
    expected = slow(entries, k, distinct)
    for _ in range(3):
        best = Best(d_sae, k, distinct=distinct)
        offer_in_parts(best, entries, random.sample(range(len(entries)), len(entries)))
        assert winners(best) == expected


@pytest.mark.parametrize("distinct", [True, False])
def test_one_that_is_made_from_the_entries_of_another_goes_on_like_it(distinct):
    random.seed(0)
    entries = candidates(0, 1200, 9)
    order = random.sample(range(len(entries)), len(entries))
    first = Best(9, 6, distinct=distinct)
    offer_in_parts(first, entries, order[:500])
    second = Best(9, 6, distinct=distinct, entries=first.entries)
    assert winners(second) == winners(first)
    offer_in_parts(second, entries, order[500:])
    assert winners(second) == slow(entries, 6, distinct)


def test_a_candidate_that_equals_the_last_winner_is_still_wanted():
    """An earlier window may come late, and it goes first."""
    best = Best(1, 2, distinct=False)
    late = candidates(1, 40, 1)
    late = late[np.argsort(-late.window)]
    best.offer(late[:10])
    least = best.ranked().score[-1]
    assert best.wanted(np.array([0]), np.array([least])).all()
    assert not best.wanted(np.array([0]), np.array([least - 1])).any()


def test_a_near_duplicate_never_pushes_out_a_different_context():
    same = Entries(
        np.zeros(5, np.int32), np.arange(5), np.array([9.0, 8.0, 7.0, 2.0, 1.0]),
        np.array([7, 7, 7, 1, 2], np.uint64), np.ones(5, np.float32), np.zeros(5, np.int32), np.arange(5),
    )  # fmt: skip
    best = Best(1, 3, distinct=True)
    best.offer(same)
    assert best.ranked().window.tolist() == [0, 3, 4]
