"""What a judge is given: places in windows, and tasks made of them. Knows no file and no model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

LEAST = 5
"""Places to learn from, and to be tested on, without which a latent is not scored."""

SAMPLED = 10
"""Most places of the sampled quarters in a test."""

BEFORE, AFTER = 10, 5
"""What a judge reads around a place, in tokens: as much as the search for words looks at."""


@dataclass(frozen=True)
class Window:
    """A window of the corpus as the atlas keeps it; positions in `excluded` mean nothing."""

    number: int
    document: int
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    excluded: frozenset[int]


@dataclass(frozen=True)
class Place:
    """A position of a window, where something peaks."""

    window: int
    document: int
    position: int
    ending: tuple[int, ...] = ()
    """The tokens before it and its own, by which near duplicates are known; empty where nobody asks."""

    def excerpt(self, window: Window) -> range:
        """The positions a judge reads."""
        return range(max(0, self.position - BEFORE), min(len(window.ids), self.position + AFTER + 1))


@dataclass(frozen=True)
class Task:
    """Learn from `learn`; then tell `top` from `top_against`, and `sampled` from `sampled_against`.

    Those against are as many places where the `latent` (None: nobody) is silent in the whole window and
    another peaks, strongly for `top` and anyhow for `sampled`.
    """

    latent: int | None
    learn: tuple[Place, ...]
    top: tuple[Place, ...]
    sampled: tuple[Place, ...]
    top_against: tuple[Place, ...]
    sampled_against: tuple[Place, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        """All of them."""
        return self.learn + self.top + self.sampled + self.top_against + self.sampled_against


@dataclass(frozen=True, eq=False)
class Pool:
    """Places where some latent peaks: one of its strongest, or one of its sampled; in a seeded order."""

    top: tuple[Place, ...]
    sampled: tuple[Place, ...]


@dataclass(frozen=True)
class Halves:
    """The places of one latent: what is learnt from, and what of its strongest and its sampled is asked."""

    learn: tuple[Place, ...]
    top: tuple[Place, ...]
    sampled: tuple[Place, ...]


def halves(top: Sequence[Place], sampled: Sequence[Place]) -> Halves | None:
    """Of a latent's places, strongest first; None where `LEAST` cannot be had of each half of the top.

    Documents take turns, so that none is on both sides; what ends like a place that is learnt from, or stands
    in the test already, is left out.
    """
    documents = list(dict.fromkeys(place.document for place in top))
    taught = set(documents[::2])
    learn = tuple(place for place in top if place.document in taught)
    test = tuple(place for place in top if place.document not in taught)
    if min(len(learn), len(test)) < LEAST:
        return None
    known, windows = {place.ending for place in learn} - {()}, {place.window for place in test}
    rest = [
        place
        for place in sampled
        if place.document not in taught and place.ending not in known and place.window not in windows
    ]
    step = -(-len(rest) // SAMPLED) or 1
    return Halves(learn, test, tuple(rest[::step]))


def task_of(
    latent: int | None, own: Halves, pool: Pool, silent: Callable[[int], bool], draw: np.random.Generator
) -> Task | None:
    """The task of these places; None where the pool has too few against them.

    `silent` says of a window whether nothing fires in it.
    """
    taken = {place.window for place in own.learn + own.top + own.sampled}
    taught = {place.document for place in own.learn}

    def fit(place: Place) -> bool:
        return place.window not in taken and place.document not in taught and silent(place.window)

    top_against = _drawn(pool.top, len(own.top), fit, taken, draw)
    sampled_against = _drawn(pool.sampled, len(own.sampled), fit, taken, draw)
    if len(top_against) < len(own.top) or len(sampled_against) < len(own.sampled):
        return None
    return Task(latent, own.learn, own.top, own.sampled, top_against, sampled_against)


def shuffled(task: Task, pool: Pool, draw: np.random.Generator) -> Task | None:
    """A task about as large from places of as many random others: there is nothing to be learnt."""
    taken: set[int] = set()

    def new(place: Place) -> bool:
        return place.window not in taken

    top = _drawn(pool.top, len(task.learn) + len(task.top), new, taken, draw)
    sampled = _drawn(pool.sampled, len(task.sampled), new, taken, draw)
    own = halves(top, sampled)
    return own and task_of(None, own, pool, lambda _: True, draw)


def _drawn(
    pool: Sequence[Place], count: int, fit: Callable[[Place], bool], taken: set[int],
    draw: np.random.Generator,
) -> tuple[Place, ...]:  # fmt: skip
    """Up to `count` places that fit, each in a window of its own, which are then `taken`."""
    found: list[Place] = []
    for place in _from(pool, int(draw.integers(max(1, len(pool))))):
        if len(found) == count:
            break
        if fit(place):
            found.append(place)
            taken.add(place.window)
    return tuple(found)


def _from(pool: Sequence[Place], start: int) -> Iterator[Place]:
    yield from pool[start:]
    yield from pool[:start]
