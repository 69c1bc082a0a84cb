"""What steering really did in one lane: counted and measured at the hook, never assumed."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.errors import NoEffect
from sas_core.steering.edit import Edited
from sas_core.steering.spec import Lane


@dataclass(frozen=True)
class LatentReceipt:
    """Means over the steered tokens: the latent before, as requested, and re-encoded afterwards."""

    index: int
    before: float
    requested: float
    realised: float


@dataclass(frozen=True)
class Receipt:
    """`share` is the norm of what was really added / residual norm, per token."""

    steered_in_prefill: int
    steered_in_decode: int
    sinks_left_alone: int
    mean_share: float
    max_share: float
    shares: tuple[float, ...]
    latents: tuple[LatentReceipt, ...]

    def sentence(self) -> str:
        """The receipt in words."""
        total = self.steered_in_prefill + self.steered_in_decode
        if not total:
            return "No token was steered."
        sinks = f"; {self.sinks_left_alone} attention sinks left alone" if self.sinks_left_alone else ""
        return (
            f"{total} tokens steered ({self.steered_in_prefill} of the prompt, {self.steered_in_decode} "
            f"generated); added norm {self.mean_share:.2f} of the residual on average, "
            f"{self.max_share:.2f} at most{sinks}."
        )


@dataclass
class Meter:
    """Collects one lane's receipt while it runs. Tensors stay on the device until `receipt`."""

    latents: tuple[int, ...]
    prefill: int = 0
    decode: int = 0
    sinks: int = 0
    _shares: list[Tensor] = field(default_factory=list)
    _sums: list[Float[Tensor, "3 k"]] = field(default_factory=list)

    def record(
        self,
        original: Float[Tensor, "n d_in"],
        edited: Edited,
        realised: Float[Tensor, "n k"],
        *,
        decoding: bool,
    ) -> None:
        """Note one application; `decoding` tells generated tokens from the prompt's."""
        if decoding:
            self.decode += len(original)
        else:
            self.prefill += len(original)
        norm = original.float().norm(dim=-1).clamp_min(1e-12)
        # not `edited.added`: in bfloat16 a small addition is rounded away
        change = edited.residual.float() - original.float()
        self._shares.append(change.norm(dim=-1) / norm)
        self._sums.append(torch.stack([edited.before, edited.requested, realised]).sum(dim=1))

    def receipt(self) -> Receipt:
        count = self.prefill + self.decode
        if not count:
            return Receipt(0, 0, self.sinks, 0.0, 0.0, (), ())
        shares = torch.cat(self._shares).tolist()
        before, requested, realised = (torch.stack(self._sums).sum(dim=0) / count).tolist()
        latents = tuple(
            LatentReceipt(*row) for row in zip(self.latents, before, requested, realised, strict=True)
        )
        mean = sum(shares) / count
        return Receipt(self.prefill, self.decode, self.sinks, mean, max(shares), tuple(shares), latents)


def require_effect(receipt: Receipt, lane: Lane) -> None:
    """Raise NoEffect when a lane with non-zero strengths changed no residual at any token."""
    if receipt.max_share > 0.0:
        return
    raise NoEffect(
        f"Lane {lane.name!r} has a non-zero strength but changed nothing: {_why(receipt, lane)}. "
        "Raise the strength, turn its sign, or choose other latents."
    )


def _why(receipt: Receipt, lane: Lane) -> str:
    if not receipt.steered_in_prefill + receipt.steered_in_decode:
        return "no token was in the steered region"
    if any(latent.before or latent.requested for latent in receipt.latents):
        return "the change is smaller than the model's number format can hold"
    steering = lane.steering
    if steering and steering.nonlinearity == "jumprelu" and max(steering.added().values()) > 0.0:
        return "its latents are silent here, and the thresholds erased what was added to them"
    return "its latents are silent here, and suppression can only switch off what is on"
