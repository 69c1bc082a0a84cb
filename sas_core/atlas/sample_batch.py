"""Many texts sampled at once by a transformers model: the fast way to let it write, without steering.

A token loop of its own instead of `generate`: rows that have ended leave the batch, and nucleus sampling
looks at the most likely tokens only, where `generate` would sort the vocabulary at every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_CANDIDATES = 256
"""Top-p is taken among this many tokens."""


@dataclass(frozen=True)
class Continuation:
    """New token ids without the one that ended the text, and whether there was one."""

    ids: tuple[int, ...]
    ended: bool


@dataclass(frozen=True)
class Draw:
    """How to sample: at most `max_new_tokens`, and the random state of the batch."""

    max_new_tokens: int
    temperature: float
    seed: int
    top_p: float = 0.95


@torch.inference_mode()
def continuations(
    model: Any, prompts: Sequence[Sequence[int]], draw: Draw, stop_ids: Sequence[int]
) -> list[Continuation]:
    """One sampled continuation for each prompt, ended by any of `stop_ids` or by the limit."""
    from transformers import DynamicCache

    generator = torch.Generator().manual_seed(draw.seed)
    ids, mask = _left_padded(prompts, pad=stop_ids[0])
    stops = torch.tensor(list(stop_ids))
    cache = DynamicCache(config=model.config)
    rows = torch.arange(len(prompts))  # which prompt each row of the batch belongs to
    written: list[list[int]] = [[] for _ in prompts]
    ended = set()
    for _ in range(draw.max_new_tokens):
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        logits = model(
            ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
        ).logits[:, -1]
        new = nucleus(logits / draw.temperature, draw.top_p, generator)
        alive = ~torch.isin(new, stops)
        ended |= set(rows[~alive].tolist())
        for row, token in zip(rows[alive].tolist(), new[alive].tolist(), strict=True):
            written[row].append(token)
        if not alive.any():
            break
        if not alive.all():
            rows, new, mask = rows[alive], new[alive], mask[alive]
            cache.batch_select_indices(alive.nonzero()[:, 0])
        ids, mask = new[:, None], torch.cat([mask, torch.ones_like(new)[:, None]], dim=1)
    return [Continuation(tuple(w), row in ended) for row, w in enumerate(written)]


def nucleus(
    logits: Float[Tensor, "row d_vocab"], top_p: float, generator: torch.Generator
) -> Int[Tensor, "row"]:
    """One token per row out of the smallest set that holds `top_p` of the probability (arXiv 1904.09751)."""
    likely = logits.topk(min(_CANDIDATES, logits.shape[-1]), dim=-1)
    chances = (likely.values - logits.logsumexp(-1, keepdim=True)).exp()
    before: Float[Tensor, "row candidate"] = chances.cumsum(-1) - chances
    outside: Bool[Tensor, "row candidate"] = before >= top_p
    choice = torch.multinomial(chances.masked_fill(outside, 0.0), 1, generator=generator)
    return likely.indices.gather(-1, choice)[:, 0]


def _left_padded(
    prompts: Sequence[Sequence[int]], pad: int
) -> tuple[Int[Tensor, "row pos"], Int[Tensor, "row pos"]]:
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    return ids, mask
