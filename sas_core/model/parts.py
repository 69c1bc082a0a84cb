"""The pieces of `fast.py` that are only arithmetic: linear maps, normalisations, soft caps."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sas_core.model.layout import joined

# up to so many rows the float32 kernel for `weight @ rows` beats the one for `rows @ weight` on a CPU
_FEW_ROWS = 8


class Linear:
    """`x W^T + b` for weights `[out, in]` that read the same input, in one product where memory allows."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> None:
        whole = joined(weights)
        biases = [None if b is None else unless_zero(b) for b in biases]
        if whole is not None and len(weights) > 1:
            weights, biases = [whole], [_end_to_end(weights, biases)]
        self._parts = list(zip(weights, biases, strict=True))

    def __call__(self, x: Float[Tensor, "row pos d"]) -> Float[Tensor, "row pos out"]:
        flat = x.flatten(0, -2)
        found = [_product(flat, weight, bias) for weight, bias in self._parts]
        whole = found[0] if len(found) == 1 else torch.cat(found, dim=-1)
        return whole.view(*x.shape[:-1], -1)


def _product(x: Float[Tensor, "n d"], weight: Float[Tensor, "out d"], bias: Tensor | None) -> Tensor:
    if 1 < len(x) <= _FEW_ROWS and x.dtype == torch.float32 and x.device.type == "cpu":
        out = (weight @ x.T).T.contiguous()
        return out if bias is None else out + bias
    return F.linear(x, weight, bias)


class Norm:
    """Any of transformer-lens's four: in float32, rounded to the model's dtype, then scaled."""

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        self._centred, self._dtype, self._eps = type(module).__name__.startswith("Layer"), dtype, module.eps
        self._w, self._b = module._parameters.get("w"), module._parameters.get("b")

    def __call__(self, x: Tensor) -> Tensor:
        normalise = F.layer_norm if self._centred else F.rms_norm
        x = normalise(x.float(), x.shape[-1:], eps=self._eps).to(self._dtype)
        if self._w is None:
            return x
        return x * self._w if self._b is None else torch.addcmul(self._b, x, self._w)


def softcapped(x: Tensor, cap: float) -> Tensor:
    return cap * torch.tanh(x / cap) if cap > 0 else x


def unless_zero(bias: Tensor) -> Tensor | None:
    """Many models have no biases; transformer-lens then holds zeros."""
    return bias if bool(bias.any()) else None


def _end_to_end(weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> Tensor | None:
    if all(bias is None for bias in biases):
        return None
    return torch.cat([
        weight.new_zeros(len(weight)) if bias is None else bias
        for weight, bias in zip(weights, biases, strict=True)
    ])  # fmt: skip
