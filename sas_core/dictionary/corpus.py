"""Rows of text, mixed by weight -> token windows with a mask of the positions that may be learnt from.

Special tokens and a chat template's fixed preamble are kept as context and masked out.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from sas_core.dictionary.spec import Source
from sas_core.errors import BadInput
from sas_core.model.rows import encode_row, read_rows

Window = tuple[list[int], list[bool]]
"""Token ids and, for each, whether it may be learnt from."""


def windows(sources: Iterable[Source], tokenizer: Any, context_size: int, seed: int = 0) -> Iterator[Window]:
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


def window_batches(source: Iterator[Window], rows: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Stack windows: token ids `[rows, pos]` and the boolean mask of learnable positions."""
    while batch := list(itertools.islice(source, rows)):
        yield torch.tensor([w[0] for w in batch]), torch.tensor([w[1] for w in batch])


def read_held_out(
    kinds: Mapping[str, str], tokenizer: Any, count: int, context_size: int
) -> dict[str, list[Window]]:
    """The first `count` windows of each kind of text. Raises BadInput for one that does not fill any."""
    found = {}
    for kind, path in kinds.items():
        found[kind] = list(itertools.islice(windows([Source(path)], tokenizer, context_size), count))
        if not found[kind]:
            raise BadInput(f"{path} holds less than one window of {context_size} tokens; give more text.")
    return found
