"""Seeded random priorities: the same draw for a window or a (window, latent), in whatever order they come.

Hashes of numbers, not a generator's stream, so that a resumed build draws what an uninterrupted one draws.
"""

import numpy as np
from jaxtyping import UInt64
from numpy.typing import ArrayLike

_GOLDEN, _FIRST, _SECOND = (
    np.uint64(constant) for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_ROOM = 2**40
"""Windows a seed has to itself before its numbers meet those of the next seed."""


def splitmix64(x: UInt64[np.ndarray, "*n"]) -> UInt64[np.ndarray, "*n"]:
    """The output of Steele, Lea and Flood's SplitMix64 (OOPSLA 2014) for the state `x`: a bijection."""
    # arrays wrap silently where numpy warns for single numbers
    x = np.asarray(x, np.uint64)
    with np.errstate(over="ignore"):
        z = x + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


def window_priority(seed: int, window: ArrayLike) -> UInt64[np.ndarray, "*n"]:
    """Drawn for each window number; the windows with the smallest are the sample of co-firing."""
    with np.errstate(over="ignore"):
        return splitmix64(np.uint64(seed * _ROOM % 2**64) + np.asarray(window).astype(np.uint64))


def priority(seed: int, window: ArrayLike, latent: ArrayLike) -> UInt64[np.ndarray, "*n"]:
    """Drawn for each (window, latent), broadcast; a latent's sample are its windows with the smallest."""
    return splitmix64(window_priority(seed, window) ^ np.asarray(latent).astype(np.uint64))
