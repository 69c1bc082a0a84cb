"""Log-probabilities of a given completion, steered or not: one forward pass, no sampling."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.model.chat import PromptTokens
from sas_core.steering.edit import Edit
from sas_core.steering.generate import first_steered
from sas_core.steering.hook import SteeredRows, require_fired, steering_hook
from sas_core.steering.prefix import forward, fresh_cache, repeat_rows
from sas_core.steering.spec import SteeredTokens


@torch.inference_mode()
def completion_logprobs(
    model: Any,
    hook_name: str,
    prompt: PromptTokens,
    completion: Sequence[int],
    edits: Sequence[Edit | None],
    *,
    tokens: SteeredTokens,
    typical_norm: float,
) -> Float[Tensor, "lane pos"]:
    """`log p(completion[t] | prompt, completion[:t])` in nats, for each edit as a row of one batch.

    The same positions are steered as when the model writes the completion itself.
    """
    start = first_steered(prompt, tokens)
    rows = SteeredRows(list(edits), typical_norm)
    cache = fresh_cache(model)
    ids = torch.tensor([*prompt.ids, *completion[:-1]], device=model.cfg.device)[None]
    with steering_hook(model, hook_name, rows):
        if start:
            rows.active = False
            forward(model, ids[:, :start], cache)
        rows.active = True
        repeat_rows(cache, len(edits))
        logits = forward(model, ids[:, start:].expand(len(edits), -1), cache)
    require_fired(rows, 2 if start else 1)
    own = logits[:, len(prompt) - 1 - start :].float().log_softmax(dim=-1)
    wanted = torch.tensor(list(completion), device=own.device).expand(len(edits), -1)
    return own.gather(-1, wanted.unsqueeze(-1)).squeeze(-1)
