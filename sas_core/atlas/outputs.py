"""Does a latent act on what the model says, or on what it reads? The two scores of arXiv 2505.20063.

Output score: the latent is amplified at the last token of a neutral prompt, and the tokens its decoder row
raises are looked up in the answer. Input score: how often these tokens are the ones that make it fire.
Knows nothing about atlas files; the input score reads what one says of a latent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.atlas.derive import WRITTEN
from sas_core.atlas.lens import direction_logits
from sas_core.atlas.probe import holding, require_latents
from sas_core.errors import NoEffect
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink
from sas_core.steering.edit import DenseEdit
from sas_core.steering.engine import Engine
from sas_core.steering.hook import SteeredRows, require_fired, steering_hook
from sas_core.steering.prefix import forward, fresh_cache, repeat_rows

if TYPE_CHECKING:
    from sas_core.atlas.types import Context, Latent

NEUTRAL = "From my experience,"
FACTOR = 10.0
LEAST_CONTEXTS = 10
_ROWS = 64


@dataclass(frozen=True)
class OutputScore:
    """`score` is 0 to 1. Of the tokens the latent raises, `best_token` came out likeliest: `rank` tokens
    were likelier (0: none), and it had `probability`."""

    latent: int
    score: float
    best_token: str
    rank: int
    probability: float


def output_score(engine: Engine, indices: Sequence[int], session: str = "") -> tuple[OutputScore, ...]:
    """`(1 - rank / d_vocab) * probability` of the likeliest of the 20 tokens each latent raises most.

    As in arXiv 2505.20063: after "From my experience,", with `10 x the strongest activation there` added to
    the latent at the last token. Differences: the change is added to the residual in the model's dtype
    instead of decoding all latents and adding the error back in float64 (the same but for rounding, since
    decoders are affine); the 20 tokens are those of our logit lens, which leaves out the final norm's bias
    and the unembedding's; the prompt begins as the SAE expects its texts to begin, with BOS or without.

    Raises BadInput for a latent that does not exist, NoEffect where nothing can be amplified at that token
    (no latent fires, or it is an attention sink), QueueFull, Cancelled. Others get their turn in between.
    """
    require_latents(engine, list(indices))
    found: list[OutputScore] = []
    for start in range(0, len(indices), _ROWS):
        with holding(engine, session):
            found += _scores(engine, indices[start : start + _ROWS])
    return tuple(found)


def input_score(latent: "Latent", contexts: Sequence["Context"]) -> float | None:
    """Share (0 to 1) of a latent's strongest contexts whose peak is one of the 20 tokens it raises most.

    As in arXiv 2505.20063, None below 10 contexts. Differences: an atlas keeps its `top_k` strongest
    contexts, near duplicates left out, where the paper takes up to 100; tokens are compared as text.
    None also where the atlas does not hold what the latent writes.
    """
    top = [context for context in contexts if context.band == "top"]
    raised = {token for token, _ in latent.positive[:WRITTEN]}
    if len(top) < LEAST_CONTEXTS or not raised:
        return None
    return sum(context.tokens[context.peak] in raised for context in top) / len(top)


@torch.inference_mode()
def _scores(engine: Engine, latents: Sequence[int]) -> list[OutputScore]:
    chosen = torch.tensor(list(latents))
    logits = direction_logits(engine, engine.dictionary.W_dec_rows(chosen))
    raised = logits.topk(min(WRITTEN, logits.shape[-1])).indices
    answer = _amplified(engine, chosen).float().softmax(dim=-1)
    probability, which = answer.gather(-1, raised).max(dim=-1)
    rank = (answer > probability[:, None]).sum(dim=-1)
    best = engine.turns.pieces(raised.gather(-1, which[:, None])[:, 0].tolist())
    score = (1 - rank / answer.shape[-1]) * probability
    return [
        OutputScore(*values)
        for values in zip(
            latents, score.tolist(), best, rank.tolist(), probability.tolist(), strict=True
        )
    ]  # fmt: skip


def _amplified(engine: Engine, latents: Tensor) -> Float[Tensor, "n d_vocab"]:
    """Logits after the neutral prompt, in row `i` with latent `i` amplified at its last token."""
    model, ids = engine.model, engine.turns.encode(NEUTRAL, chat=False).ids
    tokens = torch.tensor([ids], device=model.cfg.device)
    rows = SteeredRows([DenseEdit(added) for added in _added(engine, tokens, latents)], engine.typical_norm)
    cache = fresh_cache(model)
    forward(model, tokens[:, :-1], cache)
    repeat_rows(cache, len(latents))
    with steering_hook(model, engine.hook_name, rows):
        logits = forward(model, tokens[:, -1:].expand(len(latents), 1), cache)[:, -1]
    require_fired(rows, 1)
    return logits


def _added(engine: Engine, tokens: Tensor, latents: Tensor) -> Float[Tensor, "n d_in"]:
    """What amplifying each latent adds to the residual of the last token."""
    last = activations_at(engine.model, engine.hook_name, tokens)[:, -1:]
    strongest = float(engine.dictionary.encode(last).max())
    if strongest <= 0 or bool(is_sink(last, engine.typical_norm)):
        raise NoEffect(
            f"At the last token of {NEUTRAL!r} this SAE says nothing (no latent fires, or it is an attention "
            "sink), so no latent can be amplified there and there is no output score."
        )
    support = engine.dictionary.support(latents)
    support.encode(last[0])
    return support.write(FACTOR * strongest * torch.eye(len(latents), device=last.device))
