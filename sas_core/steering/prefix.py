"""KV caches: the prompt below the first steered position is run once and shared by all lanes."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor


def fresh_cache(model: Any) -> Any:
    """An empty cache with one row."""
    from transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache

    return TransformerLensKeyValueCache.init_cache(model.cfg, model.cfg.device, batch_size=1)


def repeat_rows(cache: Any, lanes: int) -> None:
    """Turn a one-row cache into `lanes` equal rows, in place. Appending later concatenates (copies)."""
    for entry in cache.entries:
        entry.past_keys = entry.past_keys.expand(lanes, -1, -1, -1)
        entry.past_values = entry.past_values.expand(lanes, -1, -1, -1)
    cache.previous_attention_mask = cache.previous_attention_mask.expand(lanes, -1)


def keep_rows(cache: Any, rows: Int[Tensor, " kept"]) -> None:
    """Drop the lanes that have ended."""
    for entry in cache.entries:
        entry.past_keys = entry.past_keys[rows]
        entry.past_values = entry.past_values[rows]
    cache.previous_attention_mask = cache.previous_attention_mask[rows]


def forward(model: Any, tokens: Int[Tensor, "row pos"], cache: Any) -> Tensor:
    """Logits `[row, pos, d_vocab]`.

    The mask is given, because transformer-lens would otherwise mask trailing pad tokens, and in chat
    models the pad token is the very token that ends a turn.
    """
    return model(tokens, return_type="logits", past_kv_cache=cache, attention_mask=torch.ones_like(tokens))
