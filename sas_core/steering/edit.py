"""The SAS edit on a residual: `a + (sigma(f(a) + lambda v) - f(a)) @ W_dec`, on the vector's support only.

Source: arXiv 2503.00177, Algorithm 2, in the form where decoder bias and reconstruction error cancel: at
`lambda = 0` nothing is computed and `a` comes back bit for bit. Knows nothing about models or tokens.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.errors import BadInput
from sas_core.model.dictionary import Dictionary
from sas_core.steering.spec import Nonlinearity, Steering


@dataclass(frozen=True)
class Edited:
    """One application: the new residual and what the receipt needs of it."""

    residual: Float[Tensor, "n d_in"]
    added: Float[Tensor, "n d_in"]
    before: Float[Tensor, "n k"]
    requested: Float[Tensor, "n k"]


class Edit(Protocol):
    """Anything that turns residuals of one lane into steered ones."""

    latents: tuple[int, ...]

    def apply(self, residual: Float[Tensor, "n d_in"]) -> Edited: ...

    def read(self, residual: Float[Tensor, "n d_in"]) -> Float[Tensor, "n k"]: ...


class SparseEdit:
    """The edit of one lane. For elementwise SAEs it costs O(d_in * k), independent of d_sae."""

    def __init__(self, dictionary: Dictionary, steering: Steering) -> None:
        added = steering.added()
        out_of_range = [i for i in added if not 0 <= i < dictionary.identity.d_sae]
        if out_of_range:
            raise BadInput(
                f"Latent {out_of_range[0]} does not exist: "
                f"this SAE has {dictionary.identity.d_sae:,} latents, counted from 0."
            )
        check_nonlinearity(dictionary, steering.nonlinearity)
        self.latents = tuple(added)
        device = dictionary.sae.W_dec.device
        self._support = dictionary.support(torch.tensor(self.latents, dtype=torch.long))
        self._shift = torch.tensor(list(added.values()), dtype=torch.float32, device=device)
        self._nonlinearity = steering.nonlinearity

    def apply(self, residual: Float[Tensor, "n d_in"]) -> Edited:
        """Edit every given position. The sum is taken in float32 and rounded once to the model's dtype."""
        x = residual.float()
        before = self._support.encode(x)
        requested = _sigma(before + self._shift, self._nonlinearity, self._support.thresholds)
        added = self._support.write(requested - before)
        return Edited((x + added).to(residual.dtype), added, before, requested)

    def read(self, residual: Float[Tensor, "n d_in"]) -> Float[Tensor, "n k"]:
        """The support's latents in an already edited residual: what was realised of what was asked."""
        return self._support.encode(residual)


class DenseEdit:
    """Adds one fixed vector at every position: a control (random direction, CAA, dense equivalent)."""

    latents: tuple[int, ...] = ()

    def __init__(self, vector: Float[Tensor, " d_in"]) -> None:
        self._vector = vector.float()

    def apply(self, residual: Float[Tensor, "n d_in"]) -> Edited:
        added = self._vector.expand(len(residual), -1)
        none = added.new_zeros(len(residual), 0)
        return Edited((residual.float() + added).to(residual.dtype), added, none, none)

    def read(self, residual: Float[Tensor, "n d_in"]) -> Float[Tensor, "n k"]:
        return residual.new_zeros(len(residual), 0)


def check_nonlinearity(dictionary: Dictionary, nonlinearity: Nonlinearity) -> None:
    """Raise BadInput when the SAE has no thresholds for `jumprelu`."""
    if nonlinearity == "jumprelu" and dictionary.thresholds is None:
        raise BadInput(
            f"This SAE ({dictionary.identity.architecture}) has no thresholds, so jumprelu is not "
            "defined for it; choose relu."
        )


def _sigma(z: Tensor, nonlinearity: Nonlinearity, thresholds: Tensor | None) -> Tensor:
    if nonlinearity == "none":
        return z
    if nonlinearity == "relu" or thresholds is None:
        return z.relu()
    return z.relu() * (z > thresholds).to(z.dtype)
