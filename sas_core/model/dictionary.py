"""The loaded SAE: identity, encode, and for a chosen support only the columns and rows that are needed.

Knows nothing about the transformer. Latents are computed in float32 whatever the model's dtype, because
JumpReLU thresholds are touchy.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sas_core.errors import BadInput, Unavailable

_ELEMENTWISE = ("standard", "jumprelu", "gated")


@dataclass(frozen=True)
class SaeIdentity:
    """What distinguishes this dictionary from any other."""

    release: str | None
    sae_id: str | None
    path: str | None
    hook_name: str
    d_in: int
    d_sae: int
    architecture: str
    normalize_activations: str
    sha256: str
    neuronpedia_id: str | None = None


class Dictionary:
    """A sae-lens SAE in inference mode. Raises BadInput for one that cannot steer where it reads."""

    def __init__(self, sae: Any, *, release: str | None = None, sae_id: str | None = None,
                 path: str | None = None, device: str = "cpu") -> None:  # fmt: skip
        _require_steerable(sae)
        self.sae = sae.to(device=device, dtype=torch.float32).eval().requires_grad_(False)
        # heads come here flattened already (`activations_at`, the steering hook)
        self.sae.turn_off_forward_pass_hook_z_reshaping()
        cfg, meta = sae.cfg, sae.cfg.metadata
        self.model_kwargs: dict[str, Any] = dict(meta.model_from_pretrained_kwargs or {})
        self.prepend_bos = bool(meta.prepend_bos)
        self.model_name: str | None = meta.model_name
        self.identity = SaeIdentity(
            release, sae_id, path, str(meta.hook_name), cfg.d_in, cfg.d_sae, cfg.architecture(),
            cfg.normalize_activations, weights_sha256(sae), meta.neuronpedia_id,
        )  # fmt: skip

    @property
    def elementwise(self) -> bool:
        """Whether a latent depends on its own pre-activation alone, so that a support suffices."""
        return self.identity.architecture in _ELEMENTWISE

    @property
    def thresholds(self) -> Float[Tensor, " d_sae"] | None:
        return self.sae.threshold if self.identity.architecture == "jumprelu" else None

    @torch.inference_mode()
    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_sae"]:
        """Latents after the SAE's non-linearity."""
        return self.sae.encode(x.float())

    def support(self, indices: Int[Tensor, " k"]) -> "Support":
        """Copies of the `k` encoder columns and decoder rows that a vector with this support needs."""
        return Support(self, indices)

    def W_dec_rows(self, indices: Int[Tensor, " k"]) -> Float[Tensor, "k d_in"]:
        """What one unit of each latent adds, in the SAE's own (perhaps normalised) input space."""
        rows = self.sae.W_dec[indices]
        # TopK SAEs may count latents in units of the row's norm; their decoder then divides by it
        if getattr(self.sae.cfg, "rescale_acts_by_decoder_norm", False):
            rows = rows / rows.norm(dim=-1, keepdim=True)
        return rows


class Support:
    """The part of an SAE that a sparse vector touches. O(d_in * k), whatever d_sae is."""

    def __init__(self, dictionary: Dictionary, indices: Int[Tensor, " k"]) -> None:
        sae = dictionary.sae
        self._sae = sae
        self.indices = indices.to(sae.W_dec.device)
        self.rows: Float[Tensor, "k d_in"] = dictionary.W_dec_rows(self.indices).contiguous()
        self.thresholds = None
        if dictionary.thresholds is not None:
            self.thresholds = dictionary.thresholds[self.indices]
        self._encode = self._build_encoder(dictionary.identity.architecture)

    def encode(self, x: Float[Tensor, "n d_in"]) -> Float[Tensor, "n k"]:
        """`f(x)` restricted to the support; remembers x's normalisation for `write`."""
        return self._encode(x.float())

    def write(self, delta: Float[Tensor, "n k"]) -> Float[Tensor, "n d_in"]:
        """`delta @ W_dec` brought from the SAE's normalised space into the hook's.

        Must follow `encode` of the same x. The output map is affine, so the change it makes to a
        difference is its linear part: `out(y) - out(0)`.
        """
        change = delta @ self.rows
        if self._sae.cfg.normalize_activations not in ("layer_norm", "constant_norm_rescale"):
            return change
        state = {k: v for k, v in vars(self._sae).items() if k in ("ln_mu", "ln_std", "x_norm_coeff")}
        moved = self._sae.run_time_activation_norm_fn_out(change)
        vars(self._sae).update(state)
        return moved - self._sae.run_time_activation_norm_fn_out(torch.zeros_like(change))

    def _build_encoder(self, architecture: str) -> Callable[[Tensor], Tensor]:
        sae, chosen = self._sae, self.indices
        if architecture not in _ELEMENTWISE:
            return lambda x: sae.encode(x)[..., chosen]
        W_enc = sae.W_enc[:, chosen].contiguous()
        if architecture == "gated":
            gain, b_gate, b_mag = sae.r_mag[chosen].exp(), sae.b_gate[chosen], sae.b_mag[chosen]
            W_mag = W_enc * gain

            def gated(x: Tensor) -> Tensor:
                x = sae.process_sae_in(x)
                return (x @ W_enc + b_gate > 0).to(x.dtype) * sae.activation_fn(x @ W_mag + b_mag)

            return gated
        b_enc, thresholds = sae.b_enc[chosen], self.thresholds

        def elementwise(x: Tensor) -> Tensor:
            pre = sae.process_sae_in(x) @ W_enc + b_enc
            active = sae.activation_fn(pre)
            return active if thresholds is None else active * (pre > thresholds).to(active.dtype)

        return elementwise


def _require_steerable(sae: Any) -> None:
    architecture, hook_name = sae.cfg.architecture(), sae.cfg.metadata.hook_name
    if "transcoder" in architecture or architecture == "temporal":
        raise BadInput(
            f"This dictionary is a {architecture}: it does not rebuild, token by token, the activation "
            "it reads, so the edit is not defined for it. Choose an SAE."
        )
    if sae.cfg.normalize_activations in ("expected_average_only_in", "covariance_whitening"):
        raise BadInput(
            f"This SAE reads normalised activations ({sae.cfg.normalize_activations}) and its files do not "
            "carry the statistics, so its latents would be wrong. Save it with the normalisation folded in."
        )
    if not hook_name:
        raise BadInput("This SAE does not say which hook point it reads: its metadata has no hook_name.")


def weights_sha256(sae: Any) -> str:
    """Hash over names, shapes and float32 bytes, so that it is the same however the file was stored."""
    digest = hashlib.sha256()
    for name, tensor in sorted(sae.state_dict().items()):
        value = tensor.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def load_local(path: str | Path, device: str) -> Dictionary:
    """A folder in sae-lens's format. Raises BadInput when it is not one."""
    from sae_lens import SAE
    from safetensors import SafetensorError

    folder = Path(path)
    if not (folder / "cfg.json").exists():
        raise BadInput(f"{folder} is not an SAE folder: it has no cfg.json. Give the folder sae-lens saved.")
    try:
        sae = SAE.load_from_disk(str(folder), device=device, dtype="float32")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadInput(f"The SAE in {folder} cannot be read: {reason}") from error
    return Dictionary(sae, path=str(folder), device=device)


def load_release(release: str, sae_id: str, device: str) -> Dictionary:
    """Any SAE of sae-lens's registry; normalisation is folded by sae-lens where the factor is known.

    Raises BadInput for an unknown release or id, Unavailable when the hub does not answer.
    """
    from sae_lens import SAE

    try:
        sae = SAE.from_pretrained(release, sae_id, device=device)
    except ValueError as error:
        raise BadInput(f"{str(error).splitlines()[0][:400]}") from error
    except OSError as error:
        raise Unavailable(
            f"The SAE {release} / {sae_id} is not on this machine and the model hub did not answer "
            f"({type(error).__name__}). Connect once, or use the demo preset, which needs no hub."
        ) from error
    return Dictionary(sae, release=release, sae_id=sae_id, device=device)
