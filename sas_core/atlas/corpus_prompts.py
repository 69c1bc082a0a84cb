"""What the demo model is asked to write for its own corpus: topics, questions and openings, drawn by seed.

Every line of `seeds/` was written for this project; a blank in braces (`{topic}`, `{name}`, `{n}`) is filled
at random. Knows nothing about models, tokens or files of rows.
"""

import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sas_core.paths import PACKAGE

Kind = Literal["chat", "talk", "text"]

SEEDS = PACKAGE / "atlas" / "seeds"
_MONTHS = ("January", "March", "April", "May", "July", "August", "October", "December")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CYCLE: tuple[Kind, ...] = ("chat", "text", "chat", "text", "chat", "talk", "chat", "text")


@dataclass(frozen=True)
class Request:
    """One row to be written: a user's question, or the opening of a text. A talk has a second question."""

    text: str
    follow_up: str | None = None


@dataclass(frozen=True)
class Batch:
    """Requests of one kind that are sampled together, and how: length in tokens, temperature."""

    number: int
    kind: Kind
    requests: tuple[Request, ...]
    max_new_tokens: int
    temperature: float


def batch(seed: int, number: int, size: int) -> Batch:
    """Batch `number` (from 0) of `size` requests; the same for the same three numbers, in any process."""
    kind = _CYCLE[number % len(_CYCLE)]
    draw = random.Random(f"{seed} {number}")
    position = number // len(_CYCLE) * _CYCLE.count(kind) + _CYCLE[: number % len(_CYCLE)].count(kind)
    texts = _first(seed, kind, (position + 1) * size)[position * size :]
    requests = tuple(Request(text, _follow_up(draw) if kind == "talk" else None) for text in texts)
    return Batch(number, kind, requests, draw.randint(60, 200), round(draw.uniform(0.7, 1.0), 2))


def requests(seed: int, kind: Kind) -> Iterator[str]:
    """Distinct questions ("chat", "talk") or openings ("text"), each pattern equally often, without end."""
    draw = random.Random(f"{seed} {kind}")
    patterns = list(_lines("openings" if kind == "text" else "instructions"))
    seen: set[str] = set()
    while True:
        draw.shuffle(patterns)
        for pattern in patterns:
            text = _filled(pattern, draw)
            if text not in seen:
                seen.add(text)
                yield text


def _first(seed: int, kind: Kind, count: int) -> list[str]:
    source = requests(seed, kind)
    return [next(source) for _ in range(count)]


def _follow_up(draw: random.Random) -> str:
    return _filled(draw.choice(_lines("follow_ups")), draw)


def _filled(pattern: str, draw: random.Random) -> str:
    """The pattern with its blanks filled; `{Topic}` begins with a capital, `{WORD}` is one."""
    topic, topic2 = draw.sample(_lines("topics"), 2)
    name, name2 = draw.sample(_lines("names"), 2)
    place, place2 = draw.sample(_lines("places"), 2)
    word, word2 = draw.sample(_lines("words"), 2)
    blanks: dict[str, Any] = {
        "topic": topic, "topic2": topic2, "Topic": topic[0].upper() + topic[1:],
        "name": name, "name2": name2, "place": place, "place2": place2,
        "word": word, "word2": word2, "Word": word.capitalize(), "WORD": word.upper(),
        "sentence": draw.choice(_lines("sentences")), "task": draw.choice(_lines("tasks")),
        "day": draw.choice(_DAYS), "month": draw.choice(_MONTHS), "year": draw.randint(1500, 2025),
        "n": draw.randint(2, 12), "n2": draw.randint(13, 90),
    }  # fmt: skip
    return pattern.format_map(blanks)


@functools.cache
def _lines(name: str) -> tuple[str, ...]:
    """One seed per line; openings are longer and stand between lines of `%%`."""
    text = (SEEDS / f"{name}.txt").read_text("utf-8").removesuffix("\n")
    return tuple(text.split("\n%%\n") if name == "openings" else text.split("\n"))
