"""Choosing the next token for several lanes with the same luck.

Gumbel-max: `argmax(logits / T + g)` is a draw from softmax(logits / T). One `g` per step is shared by all
lanes (common random numbers), so where lanes differ, steering made them differ.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sas_core.steering.spec import Sampling


def choose(logits: Float[Tensor, "lane d_vocab"], sampling: Sampling, step: int) -> Int[Tensor, " lane"]:
    """Next token of each lane. Depends on seed and step alone, not on how many lanes there are."""
    if sampling.temperature == 0.0:
        return logits.argmax(dim=-1)
    scores = _keep_top_p(logits.float() / sampling.temperature, sampling.top_p)
    return (scores + gumbel_noise(logits.shape[-1], sampling.seed, step).to(logits.device)).argmax(dim=-1)


def gumbel_noise(d_vocab: int, seed: int, step: int) -> Float[Tensor, " d_vocab"]:
    """Standard Gumbel noise, drawn on the CPU so that every device gets the same."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    uniform = torch.rand(d_vocab, generator=generator, dtype=torch.float64).clamp_(1e-12, 1 - 1e-12)
    return -torch.log(-torch.log(uniform)).float()


def _keep_top_p(scores: Float[Tensor, "lane d_vocab"], top_p: float) -> Float[Tensor, "lane d_vocab"]:
    """Nucleus: the smallest set of likeliest tokens whose probability reaches top_p."""
    if top_p >= 1.0:
        return scores
    ordered, order = scores.sort(dim=-1, descending=True)
    before = ordered.softmax(dim=-1).cumsum(dim=-1) - ordered.softmax(dim=-1)
    dropped = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, order, before >= top_p)
    return scores.masked_fill(dropped, float("-inf"))
