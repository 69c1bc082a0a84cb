"""The edit on a residual: `a + (sigma(z) - f(a)) @ W_dec`, on the steered latents only.

`z` is `f(a) + lambda v` in SAS (arXiv 2503.00177, Algorithm 2) and what `operations.py` says in the other
modes. In this form the decoder's bias and the reconstruction error cancel: where nothing is asked nothing is
computed, and `a` comes back bit for bit. Knows nothing about models or tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sas_core.errors import BadInput
from sas_core.model.dictionary import Dictionary
from sas_core.steering.gates import FirstTokens, Gate, WhileAbove
from sas_core.steering.operations import Operations, gate_latents, operations_of, written_latents
from sas_core.steering.spec import Nonlinearity, Steering


@dataclass(frozen=True)
class Edited:
    """One application: the new residual and what the receipt needs of it.

    `opened` says which of the edit's gates were open at each token, None where the edit has no gates;
    `gate_readings` is the activation of each gate's latent there, NaN for gates that read none.
    """

    residual: Float[Tensor, "n d_in"]
    added: Float[Tensor, "n d_in"]
    before: Float[Tensor, "n k"]
    requested: Float[Tensor, "n k"]
    opened: Bool[Tensor, "n gates"] | None = None
    gate_readings: Float[Tensor, "n gates"] | None = None


class Edit(Protocol):
    """Anything that turns residuals of one lane into steered ones.

    `places`: which generated token each position chooses, counted from 0 and negative inside the prompt;
    only edits with gates need it.
    """

    latents: tuple[int, ...]
    gates: tuple[Gate | None, ...]

    def apply(self, residual: Float[Tensor, "n d_in"], places: Int[Tensor, " n"] | None = None) -> Edited: ...

    def read(self, residual: Float[Tensor, "n d_in"]) -> Float[Tensor, "n k"]: ...


class SparseEdit:
    """The edit of one lane. For elementwise SAEs it costs O(d_in * k), independent of d_sae.

    `gates` is empty for a lane without gates, else one entry per group of terms that share one (None: the
    ungated). `plain`: there are ungated additions only, so `shift`, `support` and `nonlinearity` say it all.
    """

    def __init__(self, dictionary: Dictionary, steering: Steering) -> None:
        operations = operations_of(steering)
        self.latents = written_latents(operations)
        # gates may read latents that are not written: they come last, and no operation touches them
        read_only = [j for j in gate_latents(operations) if j not in self.latents]
        columns = (*self.latents, *read_only)
        check_range(dictionary, columns)
        check_nonlinearity(dictionary, steering.nonlinearity)
        device = dictionary.sae.W_dec.device
        self.dictionary, self.nonlinearity = dictionary, steering.nonlinearity
        self.support = dictionary.support(torch.tensor(columns, dtype=torch.long))
        self._groups = [_Group(group, columns, device) for group in operations]
        gated = any(group.gate is not None for group in operations)
        self.gates = tuple(group.gate for group in operations) if gated else ()
        self.plain = not gated and not any(group.targets or group.factors for group in operations)
        self.shift = self._groups[0].shift if self._groups else torch.zeros(0, device=device)

    def apply(self, residual: Float[Tensor, "n d_in"], places: Int[Tensor, " n"] | None = None) -> Edited:
        """Edit every given position. The sum is taken in float32 and rounded once to the model's dtype.

        A token at which no gate is open comes back bit for bit.
        """
        x = residual.float()
        before = self.support.encode(x)
        if self.plain:
            requested = sigma(before + self.shift, self.nonlinearity, self.support.thresholds)
            added = self.support.write(requested - before)
            return Edited((x + added).to(residual.dtype), added, before, requested)
        opened = torch.stack([group.is_open(before, places) for group in self._groups], dim=-1)
        requested = self._requested(before, opened)
        added = self.support.write(requested - before)
        moved = torch.where(opened.any(dim=-1, keepdim=True), (x + added).to(residual.dtype), residual)
        k = len(self.latents)
        if not self.gates:
            return Edited(moved, added, before[:, :k], requested[:, :k])
        readings = torch.stack([group.reading(before) for group in self._groups], dim=-1)
        return Edited(moved, added, before[:, :k], requested[:, :k], opened, readings)

    def read(self, residual: Float[Tensor, "n d_in"]) -> Float[Tensor, "n k"]:
        """The steered latents in an already edited residual: what was realised of what was asked."""
        return self.support.encode(residual)[:, : len(self.latents)]

    def _requested(
        self, before: Float[Tensor, "n columns"], opened: Bool[Tensor, "n gates"]
    ) -> Float[Tensor, "n columns"]:
        base, factor, shift = before, torch.ones_like(before), torch.zeros_like(before)
        set_to, is_set = torch.zeros_like(before), torch.zeros_like(before, dtype=torch.bool)
        touched = torch.zeros_like(is_set)
        for group, is_open in zip(self._groups, opened.unbind(dim=-1), strict=True):
            here = is_open[:, None]
            set_to = set_to + torch.where(here, group.target, 0.0)
            is_set = is_set | (here & group.clamps)
            factor = factor * torch.where(here, group.factor, 1.0)
            shift = shift + torch.where(here, group.shift, 0.0)
            touched = touched | (here & group.touches)
        z = torch.where(is_set, set_to, base) * factor + shift
        return torch.where(touched, sigma(z, self.nonlinearity, self.support.thresholds), before)


class _Group:
    """The operations of one gate as rows over the support's columns; what is not named is left as it is."""

    def __init__(self, operations: Operations, columns: Sequence[int], device: torch.device) -> None:
        self._gate = operations.gate
        self._column = None
        if isinstance(operations.gate, WhileAbove):
            self._column = list(columns).index(operations.gate.latent)

        def row(amounts: dict[int, float], neutral: float) -> Float[Tensor, " columns"]:
            return torch.tensor([amounts.get(i, neutral) for i in columns], device=device)

        self.shift, self.target = row(operations.shifts, 0.0), row(operations.targets, 0.0)
        self.factor = row(operations.factors, 1.0)
        self.clamps = torch.tensor([i in operations.targets for i in columns], device=device)
        self.touches = torch.tensor([i in operations.latents for i in columns], device=device)

    def is_open(self, before: Float[Tensor, "n columns"], places: Tensor | None) -> Bool[Tensor, " n"]:
        if self._gate is None:
            return torch.ones(len(before), dtype=torch.bool, device=before.device)
        if isinstance(self._gate, WhileAbove):
            return before[:, self._column] > self._gate.threshold
        if places is None:
            raise ValueError("a gate on generated tokens needs the places of the positions")
        in_answer = places >= 0
        return in_answer & (places < self._gate.count) if isinstance(self._gate, FirstTokens) else in_answer

    def reading(self, before: Float[Tensor, "n columns"]) -> Float[Tensor, " n"]:
        if self._column is None:
            return before.new_full((len(before),), float("nan"))
        return before[:, self._column]


class DenseEdit:
    """Adds one fixed vector at every position: a control (random direction, CAA, dense equivalent)."""

    latents: tuple[int, ...] = ()
    gates: tuple[Gate | None, ...] = ()

    def __init__(self, vector: Float[Tensor, " d_in"]) -> None:
        self._vector = vector.float()

    def apply(self, residual: Float[Tensor, "n d_in"], places: Int[Tensor, " n"] | None = None) -> Edited:
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


def sigma(z: Tensor, nonlinearity: Nonlinearity, thresholds: Tensor | None) -> Tensor:
    """What asked-for latents pass through before they are decoded."""
    if nonlinearity == "none":
        return z
    if nonlinearity == "relu" or thresholds is None:
        return z.relu()
    return z.relu() * (z > thresholds).to(z.dtype)


def check_range(dictionary: Dictionary, latents: Sequence[int]) -> None:
    """Raise BadInput for the first latent that the SAE does not have."""
    for index in latents:
        if not 0 <= index < dictionary.identity.d_sae:
            raise BadInput(
                f"Latent {index} does not exist: "
                f"this SAE has {dictionary.identity.d_sae:,} latents, counted from 0."
            )
