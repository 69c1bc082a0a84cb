"""How good a dictionary is on held-out text: variance, sparsity, and what splicing it in costs the model.

Definitions: FVU = sum ||x - x_hat||^2 / sum ||x - mean||^2 over kept positions; cross-entropy and KL in nats
per token over all positions, with the SAE's reconstruction spliced in at kept positions (special tokens and
sinks pass through); recovered = (CE_zero - CE_spliced) / (CE_zero - CE_clean), with zero and with mean
ablation. The recovered share against zero ablation flatters, so the increase in nats is given beside it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sas_core.dictionary.corpus import Window, window_batches
from sas_core.dictionary.measures import Measures, density_counts
from sas_core.model.dictionary import Dictionary
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink

_Edit = Callable[[Tensor], Tensor]


@torch.inference_mode()
def measure(model: Any, dictionary: Dictionary, windows: Iterator[Window], *, rows: int = 8) -> Measures:
    """All measures over the given windows of token ids (see `corpus.windows`), in two passes.

    Besides the windows it holds the logits of two batches of `rows` of them, however many there are.
    """
    batches = [(ids.to(model.cfg.device), keep) for ids, keep in window_batches(windows, rows)]
    hook = dictionary.identity.hook_name
    mean, typical = mean_and_typical(model, hook, batches)
    total = _Totals(dictionary.identity.d_sae, mean)
    for ids, keep in batches:
        activations = activations_at(model, hook, ids)
        kept = keep.to(ids.device) & ~is_sink(activations, typical)
        total.add(dictionary, activations[kept], int((keep.to(ids.device) & ~kept).sum()))
        clean = _logits(model, hook, ids, None)
        total.ce["clean"] += _cross_entropy(clean, ids)
        for name, edit in _ablations(dictionary, kept, mean).items():
            edited = _logits(model, hook, ids, edit)
            total.ce[name] += _cross_entropy(edited, ids)
            if name == "spliced":
                total.kl += _kl(clean, edited)
        total.rows += len(ids)
    return total.measures()


class _Totals:
    def __init__(self, d_sae: int, mean: Tensor) -> None:
        self.mean, self.fired = mean, torch.zeros(d_sae, dtype=torch.int64, device=mean.device)
        self.positions = self.sinks = self.rows = 0
        self.residual = self.variance = self.kl = 0.0
        self.ce = dict.fromkeys(("clean", "spliced", "mean", "zero"), 0.0)

    def add(self, dictionary: Dictionary, x: Float[Tensor, "n d_in"], sinks: int) -> None:
        x = x.float()
        codes = dictionary.encode(x)
        self.residual += float((x - dictionary.sae.decode(codes)).square().sum())
        self.variance += float((x - self.mean).square().sum())
        self.fired += (codes > 0).sum(dim=0)
        self.positions += len(x)
        self.sinks += sinks

    def measures(self) -> Measures:
        fired = self.fired.tolist()
        dead = fired.count(0)
        ce = {name: value / self.rows for name, value in self.ce.items()}
        return Measures(
            self.positions, self.sinks, self.residual / self.variance, self.residual / self.positions,
            sum(fired) / self.positions, dead, dead / len(fired), ce["clean"], ce["spliced"], ce["mean"],
            ce["zero"], self.kl / self.rows, density_counts(fired, self.positions),
        )  # fmt: skip


def mean_and_typical(
    model: Any, hook: str, batches: list[tuple[Int[Tensor, "row pos"], Bool[Tensor, "row pos"]]]
) -> tuple[Float[Tensor, " d_in"], float]:
    """Mean activation at kept positions and the median of their norms, which tells what a sink is."""
    total, norms = 0.0, []
    for ids, keep in batches:
        activations = activations_at(model, hook, ids)
        kept = activations[keep.to(ids.device) & ~is_sink(activations)].float()
        total = total + kept.sum(dim=0)
        norms.append(kept.norm(dim=-1))
    together = torch.cat(norms)
    return total / len(together), float(together.median())


def _ablations(dictionary: Dictionary, kept: Bool[Tensor, "row pos"], mean: Tensor) -> dict[str, _Edit]:
    def at_kept(make: _Edit) -> _Edit:
        def edit(x: Tensor) -> Tensor:
            out = x.clone()
            out[kept] = make(x[kept].float()).to(x.dtype)
            return out

        return edit

    return {
        "spliced": at_kept(lambda x: dictionary.sae.decode(dictionary.encode(x))),
        "mean": at_kept(lambda x: mean.expand_as(x)),
        "zero": at_kept(torch.zeros_like),
    }


def _logits(
    model: Any, hook: str, ids: Int[Tensor, "row pos"], edit: _Edit | None
) -> Float[Tensor, "row pos d_vocab"]:
    hooks = [] if edit is None else [(hook, lambda value, hook: edit(value))]
    with model.hooks(fwd_hooks=hooks):
        return model(ids, return_type="logits", attention_mask=torch.ones_like(ids))


def _cross_entropy(logits: Float[Tensor, "row pos d_vocab"], ids: Int[Tensor, "row pos"]) -> float:
    """The sum over rows of their means. Row by row: the log-probabilities of a batch are as large as it."""
    means = (
        torch.nn.functional.cross_entropy(row[:-1].float(), then[1:])
        for row, then in zip(logits, ids, strict=True)
    )
    return float(sum(means))


def _kl(clean: Float[Tensor, "row pos d_vocab"], edited: Float[Tensor, "row pos d_vocab"]) -> float:
    """KL(clean || edited), the sum over rows of their means over positions."""
    total = 0.0
    for p, q in zip(clean, edited, strict=True):
        log_p, log_q = p.float().log_softmax(dim=-1), q.float().log_softmax(dim=-1)
        total += float(torch.nn.functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True))
    return total
