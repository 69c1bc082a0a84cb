"""Pruning of sets whose effect is a known function, against looking at every subset."""

import itertools
import random
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pytest

from sas_core.errors import NoEffect
from sas_core.evaluation.subset.prune import Pruned, Trial, prune

Effect = Callable[[tuple[int, ...]], float]


def pruned(effect: Effect, latents: Iterable[int], keep: float = 0.9, sign: int = 1) -> Pruned:
    return run(effect, latents, keep, sign)[0]


def run(
    effect: Effect, latents: Iterable[int], keep: float = 0.9, sign: int = 1
) -> tuple[Pruned, list[Trial]]:
    search, trials = prune(tuple(latents), keep, sign), []
    trials.append(next(search))
    while True:
        try:
            trials.append(search.send(np.array([effect(subset) for subset in trials[-1].subsets])))
        except StopIteration as ended:
            return ended.value, trials


def sums(values: Mapping[int, float]) -> Effect:
    return lambda subset: sum(values[i] for i in subset)


def every_subset(latents: Iterable[int]) -> list[tuple[int, ...]]:
    latents = tuple(latents)
    return [s for size in range(len(latents) + 1) for s in itertools.combinations(latents, size)]


def smallest_size(effect: Effect, latents: Iterable[int], keep: float) -> int:
    full = effect(tuple(latents))
    return min(len(s) for s in every_subset(latents) if effect(s) / full >= keep)


@pytest.mark.parametrize("case", range(30))
def test_where_effects_add_no_smaller_subset_keeps_the_share(case: int) -> None:
    draw = random.Random(case)
    values = {i: draw.uniform(-0.3, 1.0) for i in draw.sample(range(100), 6)}
    if sum(values.values()) <= 0:
        values[min(values)] += 3.0
    keep = draw.choice([0.5, 0.8, 0.9, 1.0])
    found = pruned(sums(values), values, keep)
    assert len(found.latents) == smallest_size(sums(values), values, keep)
    assert found.effect / found.full >= keep
    assert found.full == pytest.approx(sum(values.values()))


@pytest.mark.parametrize("case", range(30))
def test_of_any_effect_the_share_stays_and_no_single_latent_of_the_result_can_go(case: int) -> None:
    draw = random.Random(case)
    table = {subset: draw.uniform(-1, 1) for subset in every_subset(range(6))}
    table[tuple(range(6))], table[()] = 0.6, 0.0
    found = pruned(table.__getitem__, range(6), 0.8)
    left = tuple(sorted(found.latents))
    assert table[left] / 0.6 >= 0.8
    assert found.effect == table[left]
    for latent, lost in zip(found.latents, found.lost, strict=True):
        rest = table[tuple(i for i in left if i != latent)]
        assert rest / 0.6 < 0.8
        assert lost == pytest.approx(table[left] - rest)


def test_two_latents_that_are_only_useful_together_both_stay() -> None:
    def effect(subset: tuple[int, ...]) -> float:
        return 5.0 * ({3, 8} <= set(subset)) + sum(0.01 for i in subset if i not in (3, 8))

    found = pruned(effect, range(12))
    assert set(found.latents) == {3, 8}
    assert found.lost == pytest.approx((5.0, 5.0))
    assert effect((3,)) == effect((8,)) == 0.0


def test_of_two_latents_that_do_the_same_one_stays() -> None:
    """Either can go and both cannot: what is cut at once has to be tried at once."""

    def effect(subset: tuple[int, ...]) -> float:
        return 1.0 if {2, 5} & set(subset) else 0.0

    assert pruned(effect, range(9)).latents == (5,)


def test_a_latent_that_works_against_the_others_goes_even_when_all_is_to_be_kept() -> None:
    values = {1: 1.0, 2: -0.5, 3: 0.7}
    assert pruned(sums(values), values, keep=1.0).latents == (1, 3)


def test_an_effect_below_zero_is_kept_where_that_is_wanted() -> None:
    values = {1: -1.0, 2: -0.01, 3: -2.0, 4: 0.01}
    found = pruned(sums(values), values, sign=-1)
    assert found.latents == (3, 1)
    assert found.lost == pytest.approx((-2.0, -1.0))


@pytest.mark.parametrize(("full", "sign"), [(0.0, 1), (-0.2, 1), (0.2, -1), (float("nan"), 1)])
def test_without_an_effect_that_way_there_is_nothing_to_keep(full: float, sign: int) -> None:
    with pytest.raises(NoEffect, match="no effect to keep"):
        pruned(lambda subset: full, range(3), sign=sign)


def test_the_last_latent_is_never_cut() -> None:
    found = pruned(sums({4: 1.0}), [4])
    assert (found.latents, found.lost, found.rounds) == ((4,), (1.0,), (1,))


def test_a_subset_that_could_not_be_measured_is_no_reason_to_cut() -> None:
    def effect(subset: tuple[int, ...]) -> float:
        return float("nan") if 1 not in subset else 1.0

    assert pruned(effect, range(4)).latents == (1,)


def test_many_needless_latents_go_in_few_batches() -> None:
    values = {i: 10.0 if i < 3 else 0.001 for i in range(100)}
    found, trials = run(sums(values), values)
    assert set(found.latents) == {0, 1, 2}
    assert len(trials) <= 8
    assert [(t.left, round(t.kept, 3)) for t in (trials[0], trials[-1])] == [(100, 1.0), (3, 0.997)]
    assert found.rounds[0] == 100 and found.rounds[-1] == 3


def test_equal_latents_are_cut_in_their_order_each_time() -> None:
    values = dict.fromkeys(range(10), 1.0)
    found = pruned(sums(values), values, keep=0.5)
    assert found.latents == (5, 6, 7, 8, 9)
    assert found == pruned(sums(values), values, keep=0.5)
