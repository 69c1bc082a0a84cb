"""What follows from the weights alone: the tokens a latent writes and the latents that point its way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.atlas.lens import direction_logits
from sas_core.model.dictionary import Dictionary
from sas_core.steering.engine import Engine

WRITTEN, NEAR = 20, 10
_AT_ONCE = 256
_AFFORDABLE = {"cpu": 2e12, "cuda": 1e15}
"""Multiplications that a build may spend on deriving every latent: about 20 s."""


@dataclass(frozen=True)
class Derived:
    """Token ids with logits (up: strongest first; down: lowest first) and neighbours with cosines."""

    up: tuple[tuple[int, float], ...]
    down: tuple[tuple[int, float], ...]
    near: tuple[tuple[int, float], ...]


def affordable(engine: Engine) -> bool:
    """Whether deriving all latents at once is a matter of seconds; else it is done for the ones looked at."""
    width, out = engine.dictionary.identity.d_sae, engine.model.cfg.d_vocab
    cost = width * engine.dictionary.identity.d_in * (width + out)
    return cost <= _AFFORDABLE.get(torch.device(engine.model.cfg.device).type, 2e12)


@torch.inference_mode()
def derive(engine: Engine, latents: Sequence[int]) -> Iterator[Derived]:
    """Logit lens and decoder-cosine neighbours of each latent.

    Logits are those of the decoder row through the final norm's gain, up to the norm's positive scale
    (`lens.direction_logits`); the cosine is between decoder rows in the SAE's input space.
    """
    for start in range(0, len(latents), _AT_ONCE):
        chosen = torch.tensor(list(latents[start : start + _AT_ONCE]))
        rows = engine.dictionary.W_dec_rows(chosen)
        logits = direction_logits(engine, rows)
        up, down = _top(logits, WRITTEN), _top(-logits, WRITTEN)
        others = engine.dictionary.identity.d_sae - 1
        near = _top(_cosines(engine.dictionary, rows, chosen), min(NEAR, others))
        for u, d, n in zip(up, down, near, strict=True):
            yield Derived(u, tuple((token, -value) for token, value in d), n)


def _top(scores: Float[Tensor, "n m"], k: int) -> list[tuple[tuple[int, float], ...]]:
    """The `k` largest of each row; equal ones by index, so that a file is the same every time."""
    values, indices = scores.topk(min(k, scores.shape[-1]))
    return [
        tuple(sorted(zip(i, v, strict=True), key=lambda pair: (-pair[1], pair[0])))
        for i, v in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def _cosines(dictionary: Dictionary, rows: Float[Tensor, "n d_in"], chosen: Tensor) -> Float[Tensor, "n d"]:
    W_dec = dictionary.sae.W_dec
    lengths = W_dec.norm(dim=-1).clamp_min(1e-12)
    cosines = (rows @ W_dec.T) / lengths / rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    cosines[torch.arange(len(chosen)), chosen.to(cosines.device)] = -torch.inf
    return cosines
