"""The judge that knows words alone: tf-idf of the words in and around a place. Knows no model.

The word at the place counts `PEAKS_WEIGHT` times, as in the search for words.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from sas_core.atlas.reading.places import Place, Task, Window
from sas_core.atlas.search import PEAKS_WEIGHT

_WORD = re.compile(r"\w+|[^\w\s]|\n")
"""Signs and line breaks are words here: many latents fire at them."""


class WordJudge:
    """Likeness of places by the words around them."""

    def __init__(self, windows: Mapping[int, Window], places: Iterable[Place]) -> None:
        """`places` are all that will be asked about; how rare a word is, is counted in them."""
        counted = {place: _words(place, windows[place.window]) for place in places}
        holding = Counter(word for words in counted.values() for word in words)
        self._rarity = {word: math.log((len(counted) + 1) / (n + 1)) for word, n in holding.items()}
        self._vectors = {place: self._vector(words) for place, words in counted.items()}

    def likeness(self, task: Task, asked: Sequence[Place]) -> Float64[np.ndarray, " n"]:
        """Cosine of each place with the mean of those to learn from."""
        model: Counter[str] = Counter()
        for place in task.learn:
            model.update(self._vectors[place])
        return np.array(
            [sum(value * model[word] for word, value in self._vectors[place].items()) for place in asked]
        )

    def _vector(self, words: Mapping[str, float]) -> dict[str, float]:
        weighed = {word: count * self._rarity[word] for word, count in words.items()}
        length = math.sqrt(sum(value**2 for value in weighed.values())) or 1.0
        return {word: value / length for word, value in weighed.items()}


def _words(place: Place, window: Window) -> Counter[str]:
    """The words of the excerpt, case folded, with their weights."""
    span = place.excerpt(window)
    text = "".join(window.tokens[at] for at in span)
    first = sum(len(window.tokens[at]) for at in span if at < place.position)
    last = first + len(window.tokens[place.position])
    found: Counter[str] = Counter()
    for match in _WORD.finditer(text):
        at_peak = match.start() < last and match.end() > first
        found[match.group().casefold()] += PEAKS_WEIGHT if at_peak else 1.0
    return found
