"""The straightforward way to a feature dashboard: block after block of latents, each over all tokens.

As SAEDashboard and sae_vis do it: the residuals are computed once and kept, then for every 128 latents one
pass over all of them encodes those latents, and a loop over the latents takes each one's contexts and
histogram from its dense activations. Knows no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sas_core.atlas.made_of import EDGES
from sas_core.atlas.windows import Batch
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink
from sas_core.steering.engine import Engine

BLOCK = 128
_TOKENS_AT_ONCE = 4_096
_QUARTERS = 4


@dataclass(frozen=True, eq=False)
class Kept:
    """Residuals of all windows, padded to one length, and which positions count."""

    residuals: Float[Tensor, "window pos d_in"]
    counted: Bool[Tensor, "window pos"]


@torch.inference_mode()
def keep_residuals(engine: Engine, batches: Sequence[Batch], window: int) -> Kept:
    """One pass of the model over everything."""
    rows, counted = [], []
    for batch in batches:
        held = activations_at(engine.model, engine.hook_name, batch.tokens.to(engine.model.cfg.device))
        room = window - held.shape[1]
        kept = batch.keep.to(held.device) & ~is_sink(held, engine.typical_norm)
        rows.append(torch.nn.functional.pad(held.float(), (0, 0, 0, room)))
        counted.append(torch.nn.functional.pad(kept, (0, room)))
    return Kept(torch.cat(rows), torch.cat(counted))


@torch.inference_mode()
def read_block(engine: Engine, kept: Kept, first: int, k: int) -> list[tuple[Tensor, ...]]:
    """Latents `first` to `first + BLOCK`: their codes at all tokens, then one latent after the other."""
    support = engine.dictionary.support(torch.arange(first, first + BLOCK))
    tokens = kept.residuals.flatten(0, 1)
    codes = torch.cat([support.encode(part) for part in tokens.split(_TOKENS_AT_ONCE)])
    codes = codes.view(*kept.counted.shape, BLOCK) * kept.counted[..., None]
    return [_one(codes[..., latent], k) for latent in range(BLOCK)]


def _one(codes: Float[Tensor, "window pos"], k: int) -> tuple[Tensor, ...]:
    """Counts, histogram, the k strongest windows and k drawn ones in quarters, with their activations."""
    fires = codes[codes > 0]
    histogram = torch.histc(fires.log2(), len(EDGES) - 1, min=-10.0, max=13.0)
    maxima, peaks = codes.max(dim=-1)
    firing = maxima.nonzero()[:, 0]
    top = maxima.topk(min(k, len(firing))).indices
    drawn = firing[torch.randperm(len(firing), device=firing.device)[:k]]
    drawn = drawn[maxima[drawn].argsort(descending=True)]
    quarters = [codes[part] for part in drawn.tensor_split(_QUARTERS)]
    return (fires.sum(), fires.square().sum(), histogram, codes[top], peaks[top], *quarters)
