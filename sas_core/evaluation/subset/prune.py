"""Greedy pruning of a set to one that keeps a share of its effect, whatever the effect is.

A coroutine: it yields the subsets whose effects it wants to know, all of one batch, and is sent them.
Knows no model, no vector and no pairs.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sas_core.errors import NoEffect

Subset = tuple[int, ...]

# cuts tried in one batch: eight parts instead of a bisection's two, since a batch costs more than its rows
_CUTS = 7


@dataclass(frozen=True)
class Trial:
    """What is to be measured next. So far `left` latents keep the share `kept` of the whole effect."""

    subsets: tuple[Subset, ...]
    left: int
    kept: float


@dataclass(frozen=True)
class Pruned:
    """The set that is left, the most needed latent first; `lost[n]`: the effect it loses without that one.

    `full`, `effect`: of the whole set and of this one. `rounds`: latents left before
    the first round and after each.
    """

    latents: Subset
    lost: tuple[float, ...]
    full: float
    effect: float
    rounds: tuple[int, ...]


Pruning = Generator[Trial, Float[np.ndarray, " subset"], Pruned]


def prune(latents: Sequence[int], keep: float, sign: int = 1) -> Pruning:
    """Ask for effects until no single latent can go without the kept share falling below `keep` (0 to 1).

    Each round tries to leave out every latent that is left, orders them by what stays, and cuts off as many
    of the least needed as keep the share; equal ones in the order of `latents`. `sign`: of the effect that
    is wanted. Raises NoEffect where the whole set has none that way.
    """
    left, rounds, kept, full = tuple(latents), [len(latents)], 1.0, None
    while True:
        effects = yield Trial((left, *(without(left, (i,)) for i in left)), len(left), kept)
        full = _required(float(effects[0]), sign) if full is None else full
        # where activations were no finite numbers nothing is known to be needless
        stays = np.nan_to_num(effects[1:] / full, nan=-np.inf)
        # the least needed first
        order = [left[n] for n in np.argsort(-stays, kind="stable")]
        if stays.max() < keep:
            return _pruned(left, effects, full, rounds)
        count, kept = yield from _cut(left, order, keep, full, float(stays.max()))
        left = without(left, order[:count])
        rounds.append(len(left))


def _cut(
    left: Subset, order: Sequence[int], keep: float, full: float, share: float
) -> Generator[Trial, Float[np.ndarray, " subset"], tuple[int, float]]:
    """How many of the first in `order` can go at once, and the share that stays; one is known to."""
    good, bad = 1, len(order)
    while bad - good > 1:
        cuts = sorted(
            {good + round((bad - good) * n / (_CUTS + 1)) for n in range(1, _CUTS + 1)} - {good, bad}
        )
        effects = yield Trial(tuple(without(left, order[:cut]) for cut in cuts), len(left) - good, share)
        shares = dict(zip(cuts, (effects / full).tolist(), strict=True))
        good = max((cut for cut in cuts if shares[cut] >= keep), default=good)
        share = shares.get(good, share)
        bad = min((cut for cut in cuts if cut > good), default=bad)
    return good, share


def without(left: Subset, gone: Sequence[int]) -> Subset:
    """The others, in their order."""
    return tuple(i for i in left if i not in set(gone))


def _required(full: float, sign: int) -> float:
    # written so that NaN is refused too
    if not full * sign > 0:
        raise NoEffect(
            f"The whole vector changes the margin by {full:+.3g} on the pairs that choose, which is not the "
            "way its strength points, so there is no effect to keep. Try another strength."
        )
    return full


def _pruned(
    left: Subset, effects: Float[np.ndarray, " subset"], full: float, rounds: Sequence[int]
) -> Pruned:
    own = float(effects[0])
    lost = dict(zip(left, (own - effects[1:]).tolist(), strict=True))
    ordered = tuple(sorted(left, key=lambda i: -lost[i] / full))
    return Pruned(ordered, tuple(lost[i] for i in ordered), full, own, tuple(rounds))
