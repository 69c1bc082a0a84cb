"""The values a set of contrastive pairs is made of. Knows nothing of files, tokens or models."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["free-text", "multiple-choice"]


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a chat prompt; `role` is system, user or assistant."""

    role: str
    content: str


Prompt = str | tuple[ChatMessage, ...]


@dataclass(frozen=True)
class Pair:
    """A prompt and two completions of it: with the behaviour (positive) and without it (negative).

    `row` is the 1-based line or row it was read from, for reports; 0 when it came from no file.
    """

    prompt: Prompt
    positive: str
    negative: str
    row: int = 0

    def as_row(self) -> dict[str, Any]:
        """`{"prompt", "positive", "negative"}`, ready for JSON; a chat prompt becomes a list of objects."""
        prompt: Any = self.prompt
        if not isinstance(prompt, str):
            prompt = [{"role": message.role, "content": message.content} for message in prompt]
        return {"prompt": prompt, "positive": self.positive, "negative": self.negative}


@dataclass(frozen=True)
class PairSet:
    """Pairs in the order they were given; `multiple-choice` pairs have answer letters as completions."""

    name: str
    pairs: tuple[Pair, ...]
    form: Form = "free-text"

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def sha256(self) -> str:
        """Hex digest of the pairs alone: the same for another name, file format or row numbering."""
        canonical = json.dumps(self.to_rows(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def to_rows(self) -> list[dict[str, Any]]:
        """One `Pair.as_row` a pair: dumped line by line this is the JSONL that `parse_pairs` reads."""
        return [pair.as_row() for pair in self.pairs]


@dataclass(frozen=True)
class Problem:
    """One finding about one row (`row`, 1-based) or about the set (`row` None); an error drops its row."""

    row: int | None
    severity: Literal["error", "warning"]
    message: str
