"""Documents of a corpus -> token windows, and blocks of windows -> batches of similar length.

A window never holds two documents, so that no activation depends on a neighbour in the file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sas_core.model.rows import encode_row

BLOCK = 32
"""Windows that are sorted by length together, and the step in which a build can be stopped and resumed."""


@dataclass(frozen=True, eq=False)
class Window:
    """`ids` with `keep` False where a position is never counted; the numbers say where it was read."""

    number: int
    document: int
    offset: int
    ids: np.ndarray
    keep: np.ndarray


class WindowReader:
    """Iterate for windows of at most `size` tokens, BOS included; counts documents as it goes."""

    def __init__(
        self,
        rows: Iterable[dict[str, Any]],
        tokenizer: Any,
        size: int,
        *,
        field: str | None = None,
        bos: int | None = None,
        limit_tokens: int | None = None,
    ) -> None:
        self._rows, self._tokenizer, self._field, self._bos = rows, tokenizer, field, bos
        self._size = size
        self._left = limit_tokens
        self.documents = self.empty = self.tokens = 0
        self._number = 0

    def __iter__(self) -> Iterator[Window]:
        for document, row in enumerate(self._rows):
            if self._left is not None and self.tokens >= self._left:
                return
            ids, keep = encode_row(row, self._tokenizer, self._field)
            self.documents += 1
            self.empty += not ids
            yield from self._windows_of(document, ids, keep)

    def _windows_of(self, document: int, ids: list[int], keep: list[bool]) -> Iterator[Window]:
        room = self._size - (self._bos is not None)
        for offset in range(0, len(ids), room):
            if self._left is not None:
                room_left = min(room, self._left - self.tokens)
                if room_left <= 0:
                    return
            else:
                room_left = room
            part, mask = ids[offset : offset + room_left], keep[offset : offset + room_left]
            self.tokens += len(part)
            if self._bos is not None:
                part, mask = [self._bos, *part], [False, *mask]
            yield Window(self._number, document, offset, np.array(part, np.uint32), np.array(mask, bool))
            self._number += 1


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows of similar length as one padded tensor; rows are in the order of `windows`."""

    windows: tuple[Window, ...]
    tokens: Int[Tensor, "row pos"]
    keep: Bool[Tensor, "row pos"]


def batches(block: list[Window], most_tokens: int) -> Iterator[Batch]:
    """Shortest first, at most `most_tokens` padded tokens each (one window at least)."""
    rest = sorted(block, key=lambda w: (len(w.ids), w.number))
    while rest:
        rows = 1
        while rows < len(rest) and (rows + 1) * len(rest[rows].ids) <= most_tokens:
            rows += 1
        yield _stack(rest[:rows])
        rest = rest[rows:]


def _stack(windows: list[Window]) -> Batch:
    longest = len(windows[-1].ids)
    tokens = np.zeros((len(windows), longest), np.int64)
    keep = np.zeros((len(windows), longest), bool)
    for row, window in enumerate(windows):
        tokens[row, : len(window.ids)] = window.ids
        keep[row, : len(window.ids)] = window.keep
    return Batch(tuple(windows), torch.from_numpy(tokens), torch.from_numpy(keep))
