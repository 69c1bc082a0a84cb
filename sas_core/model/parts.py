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
        if len(self._parts) == 1:
            return _product(x, *self._parts[0])
        return torch.cat([_product(x, weight, bias) for weight, bias in self._parts], dim=-1)


def _product(
    x: Float[Tensor, "row pos d"], weight: Float[Tensor, "out d"], bias: Tensor | None
) -> Float[Tensor, "row pos out"]:
    rows = x.shape[0] * x.shape[1]
    if not (1 < rows <= _FEW_ROWS and x.dtype == torch.float32 and x.device.type == "cpu"):
        return F.linear(x, weight, bias)
    out = (weight @ x.flatten(0, 1).T).T.reshape(*x.shape[:2], -1).contiguous()
    return out if bias is None else out + bias


class Norm:
    """Any of transformer-lens's four: in float32, rounded to the model's dtype, then scaled."""

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        self._centred, self._dtype, self._eps = type(module).__name__.startswith("Layer"), dtype, module.eps
        self._w, self._b = module._parameters.get("w"), module._parameters.get("b")

    def __call__(self, x: Tensor) -> Tensor:
        if self._dtype == torch.float32:
            return self._normalised(x, self._w, self._b)
        # transformer-lens rounds to the narrow format before it scales
        x = self._normalised(x.float(), None, None).to(self._dtype)
        if self._w is None:
            return x
        return x * self._w if self._b is None else x * self._w + self._b

    def _normalised(self, x: Tensor, w: Tensor | None, b: Tensor | None) -> Tensor:
        if self._centred:
            return F.layer_norm(x, x.shape[-1:], w, b, self._eps)
        return F.rms_norm(x, x.shape[-1:], w, self._eps)


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
