"""Logit lens: the tokens a latent's decoder row pushes up and down, through the model's own final norm."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.steering.engine import Engine

_CHUNK = 128


@dataclass(frozen=True)
class Writes:
    """Tokens most raised and most lowered by one latent, strongest first."""

    up: tuple[str, ...]
    down: tuple[str, ...]


@torch.inference_mode()
def writes(engine: Engine, latents: Sequence[int], k: int = 6) -> list[Writes]:
    """Top and bottom `k` tokens of `norm(W_dec[i]) @ W_U` for each latent.

    The final norm's gain is applied (and for LayerNorm its centring); its scale does not change the order.
    """
    found: list[Writes] = []
    for start in range(0, len(latents), _CHUNK):
        rows = engine.dictionary.W_dec_rows(torch.tensor(list(latents[start : start + _CHUNK])))
        logits = direction_logits(engine, rows)
        up, down = logits.topk(k).indices.tolist(), (-logits).topk(k).indices.tolist()
        found += [
            Writes(tuple(engine.turns.pieces(u)), tuple(engine.turns.pieces(d)))
            for u, d in zip(up, down, strict=True)
        ]
    return found


def direction_logits(engine: Engine, rows: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_vocab"]:
    """What directions of the residual stream do to the logits, up to a positive scale per direction."""
    model = engine.model
    if model.cfg.normalization_type in ("LN", "LNPre"):
        rows = rows - rows.mean(dim=-1, keepdim=True)
    gain = getattr(model.ln_final, "w", None)
    if gain is not None:
        rows = rows * gain.float()
    return rows @ model.W_U.float()
