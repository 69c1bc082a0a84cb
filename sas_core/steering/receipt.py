"""What steering really did in one lane: counted and measured at the hook, never assumed."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.errors import NoEffect
from sas_core.steering.edit import Edited


@dataclass(frozen=True)
class LatentReceipt:
    """Means over the steered tokens: the latent before, as requested, and re-encoded afterwards."""

    index: int
    before: float
    requested: float
    realised: float


@dataclass(frozen=True)
class Receipt:
    """`share` is added norm / residual norm, per token."""

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
        self._shares.append(edited.added.norm(dim=-1) / norm)
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
        return Receipt(
            self.prefill, self.decode, self.sinks, mean, max(shares), tuple(shares), latents
        )


def require_effect(receipt: Receipt, lane: str) -> None:
    """Raise NoEffect when a lane with non-zero strengths added nothing at any token."""
    if receipt.max_share > 0.0:
        return
    if not receipt.steered_in_prefill + receipt.steered_in_decode:
        why = "no token was in the steered region"
    elif not any(latent.before for latent in receipt.latents):
        why = (
            "none of its latents was active here, and suppression can only switch off what is on "
            "(with jumprelu a small strength is erased by the thresholds as well)"
        )
    else:
        why = "the thresholds erased the whole change"
    raise NoEffect(
        f"Lane {lane!r} has a non-zero strength but changed nothing: {why}. "
        "Raise the strength, turn its sign, or choose other latents."
    )
