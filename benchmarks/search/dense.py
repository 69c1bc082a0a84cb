"""How far each layer steers without an SAE: a dense mean difference at the same share of the layer's norm.

CAA (arXiv 2312.06681): the mean difference of the residual over the completion's tokens, from training pairs.
Its effect is the change of the completion margin on held-out pairs (nats per token), its price how much
less likely neutral answers become (nats per token), as in `sas_core.evaluation.margin`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.search.residuals import residuals
from sas_core.contrast.collect import Text, batches, tokenise
from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.shipped import Behaviour
from sas_core.evaluation.bootstrap import bootstrap
from sas_core.evaluation.completions import Completion, completion, sides
from sas_core.evaluation.margin import neutral_texts
from sas_core.model.chat import Turns
from sas_core.model.sinks import is_sink
from sas_core.steering.edit import DenseEdit
from sas_core.steering.score import completion_logprobs

# of the layer's typical norm, both ways
SHARES = (-0.25, -0.125, 0.125, 0.25)


def differences(
    model: Any, turns: Turns, pairs: PairSet, hooks: Sequence[str]
) -> dict[str, Float[Tensor, " d_model"]]:
    """Mean of the positive sides minus that of the negative ones at each hook, in one pass over the pairs."""
    texts = tokenise(turns, usable(pairs), "completion-mean", None)
    sums = {(name, side): [] for name in hooks for side in (True, False)}
    for batch in batches(sorted(texts, key=lambda text: len(text.ids))):
        longest = max(len(text.ids) for text in batch)
        # padding on the right cannot be attended to by what stands before it
        tokens = torch.tensor([[*text.ids, *[0] * (longest - len(text.ids))] for text in batch])
        for name, found in residuals(model, hooks, tokens.to(model.cfg.device)).items():
            for text, residual, sink in zip(batch, found.double(), is_sink(found), strict=True):
                places = _read(turns, text, sink)
                if places:
                    sums[name, text.positive].append(residual[places].mean(dim=0))
    return {
        name: (torch.stack(sums[name, True]).mean(dim=0) - torch.stack(sums[name, False]).mean(dim=0)).float()
        for name in hooks
    }


def effects(
    model: Any,
    turns: Turns,
    behaviour: Behaviour,
    norms: Mapping[str, float],
    pairs: int,
) -> dict[str, list[dict[str, float]]]:
    """For each hook of `norms` (its typical norm) a row per share of it: change, its interval, price."""
    found = differences(model, turns, behaviour.train, list(norms))
    held_out = [sides(turns, pair, "free-text") for pair in usable(behaviour.heldout).pairs[:pairs]]
    neutral = [completion(turns, prompt, text) for prompt, text in neutral_texts()]
    return {name: _at_hook(model, name, norm, found[name], held_out, neutral) for name, norm in norms.items()}


def _at_hook(
    model: Any, hook: str, norm: float, difference: Float[Tensor, " d_model"],
    held_out: Sequence[tuple[Completion, Completion]], neutral: Sequence[Completion],
) -> list[dict[str, float]]:  # fmt: skip
    unit = difference / difference.norm()
    edits = [None, *(DenseEdit(share * norm * unit) for share in SHARES)]

    def scored(asked: Completion) -> Float[np.ndarray, " row"]:
        logprobs = completion_logprobs(
            model, hook, asked.prompt, asked.ids, edits, tokens="generated", typical_norm=norm
        )
        return logprobs[:, list(asked.scored)].double().mean(dim=-1).cpu().numpy()

    margins = np.array([scored(positive) - scored(negative) for positive, negative in held_out])
    plain = np.array([scored(asked) for asked in neutral])
    changes, prices = margins[:, 1:] - margins[:, :1], plain[:, :1] - plain[:, 1:]
    return [_figures(share, changes[:, i], prices[:, i]) for i, share in enumerate(SHARES)]


def _figures(
    share: float, changes: Float[np.ndarray, " pair"], prices: Float[np.ndarray, " text"]
) -> dict[str, float]:
    interval = bootstrap(changes)
    found = {
        "share": share,
        "change": float(changes.mean()),
        "low": interval.low,
        "high": interval.high,
        "right_way": float((np.sign(share) * changes > 0).mean()),
        "price": float(prices.mean()),
    }
    return {name: round(value, 4) for name, value in found.items()}


def _read(turns: Turns, text: Text, sink: Tensor) -> list[int]:
    return [p for p in text.read if text.ids[p] not in turns.special_ids and not sink[p]]
