"""Text files or a hub data set -> token windows with a mask of the positions that may be learnt from.

Rows are `{"t": text}` / `{"text": text}`, or chats `{"m": [...]}` / `{"messages": [...]}`, which get the
model's chat template. Special tokens and the template's fixed preamble are kept as context and masked out.
"""

import gzip
import io
import itertools
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sas_core.errors import BadInput, Unavailable


@dataclass(frozen=True)
class Source:
    """One file or hub data set and its share of the mix (any positive weight)."""

    name: str
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Source":
        """`path` or `path=weight`."""
        name, _, weight = text.partition("=")
        try:
            return cls(name, float(weight or 1.0))
        except ValueError:
            raise BadInput(f"The weight in {text!r} is not a number; write PATH=WEIGHT.") from None


def read_rows(name: str) -> Iterator[dict[str, Any]]:
    """Rows of .jsonl / .txt (plain, .gz or .zst), or of a hub data set's train split, streamed."""
    path = Path(name)
    if not path.exists():
        yield from _hub_rows(name)
        return
    with _open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if ".json" not in path.name:
                yield {"text": line}
                continue
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise BadInput(f"{path.name}, line {number} is not JSON: {error.msg}.") from error


def _open_text(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    if path.suffix == ".zst":
        import zstandard

        return io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(path.open("rb")), "utf-8")
    return path.open(encoding="utf-8")


def _hub_rows(name: str) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

    try:
        yield from load_dataset(name, split="train", streaming=True)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"{name} is neither a file here nor a data set the hub would give "
            f"({type(error).__name__}). Check the path, or connect and try again."
        ) from error


def encode_row(row: dict[str, Any], tokenizer: Any) -> tuple[list[int], list[bool]]:
    """Token ids of one row and, for each, whether it may be learnt from."""
    messages = row.get("m") or row.get("messages")
    if not messages:
        ids = tokenizer.encode(row.get("t") or row.get("text") or "", add_special_tokens=False)
        preamble = 0
    else:
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        ids = tokenizer.encode(text, add_special_tokens=False)
        preamble = _preamble_tokens(text, messages, tokenizer)
    special = set(tokenizer.all_special_ids)
    return ids, [i >= preamble and token not in special for i, token in enumerate(ids)]


def _preamble_tokens(text: str, messages: list[dict[str, str]], tokenizer: Any) -> int:
    """Tokens before the first message's own text: the template's default system turn."""
    start = max(text.find(messages[0]["content"]), 0)
    return len(tokenizer.encode(text[:start], add_special_tokens=False))


def windows(
    sources: Iterable[Source], tokenizer: Any, context_size: int, seed: int = 0
) -> Iterator[tuple[list[int], list[bool]]]:
    """Endless-until-exhausted windows of `context_size` tokens, documents drawn by weight and packed."""
    sources = list(sources)
    draw = random.Random(seed)
    rows = [read_rows(s.name) for s in sources]
    weights = [s.weight for s in sources]
    end = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.eos_token_id
    ids: list[int] = []
    keep: list[bool] = []
    while any(weights):
        which = draw.choices(range(len(rows)), weights)[0]
        row = next(rows[which], None)
        if row is None:
            weights[which] = 0
            continue
        more, mask = encode_row(row, tokenizer)
        ids += [*more, end]
        keep += [*mask, False]
        while len(ids) >= context_size:
            yield ids[:context_size], [False, *keep[1:context_size]]
            ids, keep = ids[context_size:], keep[context_size:]


def window_batches(
    source: Iterator[tuple[list[int], list[bool]]], rows: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Stack windows: token ids `[rows, pos]` and the boolean mask of learnable positions."""
    while batch := list(itertools.islice(source, rows)):
        yield torch.tensor([w[0] for w in batch]), torch.tensor([w[1] for w in batch])
