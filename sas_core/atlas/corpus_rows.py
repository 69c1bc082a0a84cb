"""One batch of requests -> rows of the corpus, written by a transformers model and tidied.

Knows nothing about files or about which batch comes next.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sas_core.atlas.corpus_prompts import Batch
from sas_core.atlas.sample_batch import Draw, continuations

Row = dict[str, Any]

SHORTEST = 16
"""Tokens; a shorter row is left out."""
_NGRAM, _MOST_REPEATS, _KEPT_REPEATS = 4, 6, 2
_SENTENCE_ENDS = '.!?\n`"'


@dataclass(frozen=True)
class Sampled:
    """The rows of one batch and their lengths in tokens; how many were cut or left out, and why."""

    number: int
    rows: tuple[Row, ...]
    tokens: tuple[int, ...]
    counts: Counter[str]


@dataclass(frozen=True)
class Writer:
    """A transformers model with its tokenizer, and the run's seed."""

    model: Any
    tokenizer: Any
    seed: int

    def sample(self, batch: Batch) -> Sampled:
        """Let the model write one batch; the same rows for the same seed, batch and number of threads."""
        counts: Counter[str] = Counter()
        rows = self._texts(batch, counts) if batch.kind == "text" else self._talks(batch, counts)
        lengths = [self._length(row) for row in rows]
        long = [i for i, length in enumerate(lengths) if length >= SHORTEST]
        counts["short"] = len(rows) - len(long)
        return Sampled(batch.number, tuple(rows[i] for i in long), tuple(lengths[i] for i in long), counts)

    def _texts(self, batch: Batch, counts: Counter[str]) -> list[Row]:
        openings = [request.text for request in batch.requests]
        more = self._write(batch, "opening", [self._ids(text) for text in openings], counts)
        return [{"text": (a + b).strip()} for a, b in zip(openings, more, strict=True)]

    def _talks(self, batch: Batch, counts: Counter[str]) -> list[Row]:
        talks = [[_turn("user", request.text)] for request in batch.requests]
        self._answer(batch, "answer", talks, counts)
        if batch.kind == "talk":
            for talk, request in zip(talks, batch.requests, strict=True):
                # nobody asks on in the middle of a sentence that the limit has cut
                talk[-1]["content"] = whole_sentences(talk[-1]["content"])
                talk.append(_turn("user", request.follow_up or ""))
            self._answer(batch, "second answer", talks, counts)
        return [{"messages": talk} for talk in talks]

    def _answer(self, batch: Batch, part: str, talks: list[list[Row]], counts: Counter[str]) -> None:
        rendered = [
            self.tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
            for talk in talks
        ]
        answers = self._write(batch, part, [self._ids(text) for text in rendered], counts)
        for talk, answer in zip(talks, answers, strict=True):
            talk.append(_turn("assistant", answer.strip()))

    def _write(
        self, batch: Batch, part: str, prompts: Sequence[Sequence[int]], counts: Counter[str]
    ) -> list[str]:
        state = random.Random(f"{self.seed} {batch.number} {part}").getrandbits(62)
        draw = Draw(batch.max_new_tokens, batch.temperature, state)
        stops = self.tokenizer.all_special_ids
        found = continuations(self.model, prompts, draw, stops)
        texts = []
        for continuation in found:
            ids = without_loop(continuation.ids)
            counts["cut"] += len(ids) < len(continuation.ids)
            # the limit may fall inside a character of several tokens
            texts.append(self.tokenizer.decode(ids).rstrip("\ufffd"))
        return texts

    def _length(self, row: Row) -> int:
        """Tokens of what the row says; 0 when a turn of it is empty."""
        texts = [row["text"]] if "text" in row else [turn["content"] for turn in row["messages"]]
        return sum(len(self._ids(text)) for text in texts) if all(texts) else 0

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)


def without_loop(ids: Sequence[int]) -> tuple[int, ...]:
    """Cut where four tokens in a row that come more than six times are written for the third time."""
    places: dict[tuple[int, ...], list[int]] = {}
    for start in range(len(ids) - _NGRAM + 1):
        places.setdefault(tuple(ids[start : start + _NGRAM]), []).append(start)
    loops = [found[_KEPT_REPEATS] for found in places.values() if len(found) > _MOST_REPEATS]
    return tuple(ids[: min(loops, default=len(ids))])


def whole_sentences(text: str) -> str:
    """The text up to its last sentence end, or all of it when there is none."""
    end = max(text.rfind(mark) for mark in _SENTENCE_ENDS)
    return text[: end + 1].rstrip() or text


def _turn(role: str, content: str) -> Row:
    return {"role": role, "content": content}
