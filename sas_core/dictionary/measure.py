"""How good a dictionary is on held-out text: variance, sparsity, and what splicing it in costs the model.

Definitions: FVU = sum ||x - x_hat||^2 / sum ||x - mean||^2 over kept positions; cross-entropy in nats per
token over all positions, with the SAE's reconstruction spliced in at kept positions (special tokens and
sinks pass through); recovered = (CE_zero - CE_spliced) / (CE_zero - CE_clean), with zero and with mean
ablation. The recovered share against zero ablation flatters, so the increase in nats is given beside it.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sas_core.dictionary.corpus import window_batches
from sas_core.model.dictionary import Dictionary
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink


@dataclass(frozen=True)
class Measures:
    """`l0` is the mean number of active latents; `dead` never fired in these `positions`."""

    positions: int
    sinks: int
    fvu: float
    l0: float
    dead: int
    dead_share: float
    ce_clean: float
    ce_spliced: float
    ce_mean_ablated: float
    ce_zero_ablated: float

    @property
    def ce_increase(self) -> float:
        """Nats per token that splicing the reconstruction in costs."""
        return self.ce_spliced - self.ce_clean

    @property
    def recovered_zero(self) -> float:
        return (self.ce_zero_ablated - self.ce_spliced) / (self.ce_zero_ablated - self.ce_clean)

    @property
    def recovered_mean(self) -> float:
        return (self.ce_mean_ablated - self.ce_spliced) / (self.ce_mean_ablated - self.ce_clean)

    def as_dict(self) -> dict[str, float]:
        """Fields and derived figures, rounded for a card."""
        derived = {"ce_increase": self.ce_increase, "recovered_zero": self.recovered_zero,
                   "recovered_mean": self.recovered_mean}  # fmt: skip
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in {**asdict(self), **derived}.items()}


@torch.inference_mode()
def measure(model: Any, dictionary: Dictionary, windows: Iterator, *, rows: int = 8) -> Measures:
    """All measures over the given windows of token ids (see `corpus.windows`), in two passes."""
    batches = [(ids.to(model.cfg.device), keep) for ids, keep in window_batches(windows, rows)]
    hook = dictionary.identity.hook_name
    mean, typical = _mean_and_typical(model, hook, batches)
    total = _Totals(dictionary.identity.d_sae, mean)
    for ids, keep in batches:
        activations = activations_at(model, hook, ids)
        kept = keep.to(ids.device) & ~is_sink(activations, typical)
        total.add(dictionary, activations[kept], int((keep.to(ids.device) & ~kept).sum()))
        for name, edit in _ablations(dictionary, kept, mean).items():
            total.ce[name] += float(_cross_entropy(model, hook, ids, edit)) * len(ids)
        total.rows += len(ids)
    return total.measures()


class _Totals:
    def __init__(self, d_sae: int, mean: Tensor) -> None:
        self.mean, self.fired = mean, torch.zeros(d_sae, dtype=torch.bool, device=mean.device)
        self.positions = self.sinks = self.rows = 0
        self.residual = self.variance = self.active = 0.0
        self.ce = dict.fromkeys(("clean", "spliced", "mean", "zero"), 0.0)

    def add(self, dictionary: Dictionary, x: Float[Tensor, "n d_in"], sinks: int) -> None:
        x = x.float()
        codes = dictionary.encode(x)
        self.residual += float((x - dictionary.sae.decode(codes)).square().sum())
        self.variance += float((x - self.mean).square().sum())
        self.active += float((codes > 0).sum())
        self.fired |= (codes > 0).any(dim=0)
        self.positions += len(x)
        self.sinks += sinks

    def measures(self) -> Measures:
        dead = int((~self.fired).sum())
        ce = {name: value / self.rows for name, value in self.ce.items()}
        return Measures(
            self.positions, self.sinks, self.residual / self.variance, self.active / self.positions, dead,
            dead / len(self.fired), ce["clean"], ce["spliced"], ce["mean"], ce["zero"],
        )  # fmt: skip


def _mean_and_typical(
    model: Any, hook: str, batches: list[tuple[Int[Tensor, "row pos"], Bool[Tensor, "row pos"]]]
) -> tuple[Float[Tensor, " d_in"], float]:
    kept = []
    for ids, keep in batches:
        activations = activations_at(model, hook, ids)
        kept.append(activations[keep.to(ids.device) & ~is_sink(activations)].float())
    together = torch.cat(kept)
    return together.mean(dim=0), float(together.norm(dim=-1).median())


def _ablations(
    dictionary: Dictionary, kept: Bool[Tensor, "row pos"], mean: Tensor
) -> dict[str, Callable[[Tensor], Tensor] | None]:
    def at_kept(make: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def edit(x: Tensor) -> Tensor:
            out = x.clone()
            out[kept] = make(x[kept].float()).to(x.dtype)
            return out

        return edit

    return {
        "clean": None,
        "spliced": at_kept(lambda x: dictionary.sae.decode(dictionary.encode(x))),
        "mean": at_kept(lambda x: mean.expand_as(x)),
        "zero": at_kept(torch.zeros_like),
    }


def _cross_entropy(
    model: Any, hook: str, ids: Int[Tensor, "row pos"], edit: Callable[[Tensor], Tensor] | None
) -> Tensor:
    hooks = [] if edit is None else [(hook, lambda value, hook: edit(value))]
    with model.hooks(fwd_hooks=hooks):
        return model(ids, return_type="loss", attention_mask=torch.ones_like(ids))
