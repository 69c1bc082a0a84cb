"""Rules about what a latent fires at, and how one is made from passages: greedily, the simplest that serves.

A rule names positions by what stands there. Knows no file.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from sas_core.atlas.autolabel.features import BEFORE, BEGINNING, ENDING, PAIR, PIECE, WORD, Features
from sas_core.atlas.autolabel.passages import Passages
from sas_core.atlas.autolabel.spelling import CLASSES

ROWS = {
    "words": (WORD, PAIR),
    "pieces": (PIECE, ENDING, BEGINNING),
    "after": (BEFORE,),
    "topic": (WORD,),
}
"""The rows of `Features.ids` that each kind of rule looks at."""

MOST_ITEMS = 6
LEAST_SUPPORT = {"class": 2, "words": 2, "pieces": 2, "after": 2, "topic": 3}
"""Passages that an item of a rule must be found in: what was seen once is no pattern."""

PRICE = {"class": 0.0, "words": 0.03, "pieces": 0.04, "after": 0.06, "topic": 0.15}
ITEM_PRICE = 0.01
"""What a kind of rule, and each of its items, must be better by: about what such rules lose when tested."""

Right = tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " m"]]
"""Of the passages in which a latent fires, and of the others: where a rule is right."""


@dataclass(frozen=True)
class Rule:
    """`items` are numbers of `Features.ids`, or of a class the bit; the most useful one comes first."""

    kind: str
    items: tuple[int, ...]

    def names(self, features: Features, positions: Int64[np.ndarray, "*at"]) -> Bool[np.ndarray, "*at"]:
        """Which of these positions the rule names."""
        if self.kind == "class":
            return (features.classes[positions] >> np.uint32(self.items[0])) & np.uint32(1) > 0
        found = np.zeros(positions.shape, bool)
        for row in ROWS[self.kind]:
            found |= np.isin(features.ids[row][positions], self.items)
        return found

    def right(self, features: Features, passages: Passages) -> Right:
        """Where the latent fires it is right to name the peak (for a topic: anything in the passage), where
        it does not fire to name nothing."""
        told = self.names(features, _told(self.kind, passages)).any(axis=1)
        return told, ~self.names(features, passages.silent).any(axis=1)


def balanced(right: Right) -> float:
    """The mean of the two shares that are right."""
    return float((right[0].mean() + right[1].mean()) / 2)


def _told(kind: str, passages: Passages) -> Int64[np.ndarray, "n _"]:
    return passages.firing if kind == "topic" else passages.peaks[:, None]


class RuleMaker:
    """Makes rules over the same features, for one latent after the other."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._slot = np.zeros(int(features.ids.max(initial=0)) + 1, np.int64)

    def best(self, passages: Passages) -> Rule | None:
        """The rule with the best balanced accuracy on `passages` less its price.

        None where no two of them have anything in common.
        """
        found = [(accuracy - _price(rule), rule) for accuracy, rule in self.candidates(passages)]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def candidates(self, passages: Passages) -> Iterator[tuple[float, Rule]]:
        """Classes that several peaks share, and the best rule of each other kind, with their accuracy."""
        yield from self._classes(passages)
        for kind in ROWS:
            items, firing, silent = self._table(passages, kind)
            chosen = _greedy(firing, silent)
            if chosen:
                right = firing[chosen].any(axis=0), ~silent[chosen].any(axis=0)
                yield balanced(right), Rule(kind, tuple(items[chosen].tolist()))

    def _classes(self, passages: Passages) -> Iterator[tuple[float, Rule]]:
        bits = np.uint32(1) << np.arange(len(CLASSES), dtype=np.uint32)
        peaks = (self._features.classes[passages.peaks] & bits[:, None]) > 0
        anywhere = np.bitwise_or.reduce(self._features.classes[passages.silent], axis=1)
        silent = (anywhere & bits[:, None]) == 0
        for bit in (peaks.sum(axis=1) >= LEAST_SUPPORT["class"]).nonzero()[0].tolist():
            yield balanced((peaks[bit], silent[bit])), Rule("class", (bit,))

    def _table(
        self, passages: Passages, kind: str
    ) -> tuple[Int64[np.ndarray, " c"], Bool[np.ndarray, "c n"], Bool[np.ndarray, "c m"]]:
        """What could be an item of a rule, and for each the passages, firing and silent, that hold it."""
        at = self._at(_told(kind, passages), kind)
        pairs = np.unique(np.stack([np.repeat(np.arange(len(at)), at.shape[1]), at.ravel()]), axis=1)
        items, support = np.unique(pairs[1], return_counts=True)
        items = items[(support >= LEAST_SUPPORT[kind]) & (items > 0)]
        if kind == "topic":
            items = items[self._features.topical[items]]
        return items, self._holding(at, items), self._holding(self._at(passages.silent, kind), items)

    def _at(self, positions: Int64[np.ndarray, "n length"], kind: str) -> Int64[np.ndarray, "n _"]:
        return np.concatenate([self._features.ids[row][positions] for row in ROWS[kind]], axis=1)

    def _holding(
        self, at: Int64[np.ndarray, "n _"], items: Int64[np.ndarray, " c"]
    ) -> Bool[np.ndarray, "c n"]:
        held = np.zeros((len(items) + 1, len(at)), bool)
        self._slot[items] = np.arange(1, len(items) + 1)
        held[self._slot[at], np.arange(len(at))[:, None]] = True
        self._slot[items] = 0
        return held[1:]


def _price(rule: Rule) -> float:
    return PRICE[rule.kind] + ITEM_PRICE * len(rule.items)


def _greedy(firing: Bool[np.ndarray, "c n"], silent: Bool[np.ndarray, "c m"]) -> list[int]:
    """Rows of the items: always the one that gains most, while one gains more than it costs."""
    chosen: list[int] = []
    told, wrong = np.zeros(firing.shape[1], bool), np.zeros(silent.shape[1], bool)
    while len(chosen) < min(MOST_ITEMS, len(firing)):
        gains = _gains(firing & ~told, silent & ~wrong)
        best = int(gains.argmax())
        if gains[best] <= ITEM_PRICE:
            break
        chosen.append(best)
        told, wrong = told | firing[best], wrong | silent[best]
    return chosen


def _gains(firing: Bool[np.ndarray, "c n"], silent: Bool[np.ndarray, "c m"]) -> Float64[np.ndarray, " c"]:
    return (firing.mean(axis=1) - silent.mean(axis=1)) / 2
