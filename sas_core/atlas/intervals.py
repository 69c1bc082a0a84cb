"""95 % intervals of a share and of an AUROC that hold at their ends, where normal ones have no width.

Both ask which true values would make what was seen unsurprising (score intervals). Knows nothing of latents.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

_Z = 1.959964
_HALVINGS = 60


@dataclass(frozen=True)
class Within:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def share_within(hits: float, count: int) -> Within:
    """`hits / count` with Wilson's interval (JASA 22, 1927). `count` is 1 or more; `hits` may be a mean's."""
    value, square = hits / count, _Z**2 / count
    middle = (value + square / 2) / (1 + square)
    reach = math.sqrt(square * (value * (1 - value) + square / 4)) / (1 + square)
    return Within(value, max(0.0, middle - reach), min(1.0, middle + reach))


def area_within(area: float, positives: int, negatives: int) -> Within:
    """An AUROC with the interval of Hanley and McNeil's variance (Radiology 143, 1982), solved for the truth.

    The variance is taken at each value that might be true and not at the one that was seen (Newcombe, Stat.
    Med. 25, 2006), so that an area of 1 from 10 against 10 is no certainty.
    """

    def surprising(truth: float) -> bool:
        return abs(area - truth) > _Z * math.sqrt(area_variance(truth, positives, negatives))

    return Within(area, _edge(surprising, 0.0, area), _edge(surprising, 1.0, area))


def area_variance(area: float, positives: int, negatives: int) -> float:
    """Hanley and McNeil's variance of an AUROC of so many positives and negatives."""
    both_positive, both_negative = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (positives - 1) * (both_positive - area**2) + (negatives - 1) * (both_negative - area**2)
    return (area * (1 - area) + spread) / (positives * negatives)


def _edge(surprising: Callable[[float], bool], outside: float, inside: float) -> float:
    """The end of the unsurprising values between `outside` and `inside`."""
    if not surprising(outside):
        return outside
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if surprising(middle) else (outside, middle)
    return inside
