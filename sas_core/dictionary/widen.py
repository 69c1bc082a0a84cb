"""Begin a new dictionary from a finished one: its latents first, the further ones from what it misses.

Random further latents never come among the largest k of a batch beside trained ones and stay dead
(docs/log.md). So each further one begins as a direction of the old one's errors, and fires from the start.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from sae_lens import SAE, BatchTopKTrainingSAE
from torch import Tensor

from sas_core.errors import BadInput

# of the fair share k / d_sae; at the whole share they first write more than is missing (FVU 0.46 after
# widening the demo SAE, against 0.16 at a tenth)
_SHARE = 0.2
_ROUNDS = 4
_COUNTED = 8192
_PART = 512


@torch.no_grad()
def take_over(sae: BatchTopKTrainingSAE, folder: Path, examples: Float[Tensor, "n d_in"]) -> None:
    """Put a finished SAE's latents in the place of the first ones and begin the others as its errors.

    Raises BadInput when it does not fit.
    """
    old = _read(folder, sae)
    width, further = old.cfg.d_sae, sae.cfg.d_sae - old.cfg.d_sae
    sae.W_enc[:, :width] = old.W_enc.float()
    sae.W_dec[:width] = old.W_dec.float()
    sae.b_enc[:width] = old.b_enc.float()
    sae.b_dec.copy_(old.b_dec.float())
    sae.topk_threshold.fill_(_threshold(old))
    if further:
        directions = _missed(old, examples, further)
        sae.W_dec[width:] = directions
        sae.W_enc[:, width:] = directions.T
        sae.b_enc[width:] = _threshold(old) - _rare(sae, examples - sae.b_dec, directions)


def _read(folder: Path, sae: BatchTopKTrainingSAE) -> SAE:
    try:
        old = SAE.load_from_disk(str(folder), device=str(sae.W_dec.device))
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"No SAE can be read from {folder} ({error}). Name a finished SAE.") from error
    if old.cfg.d_in != sae.cfg.d_in or old.cfg.d_sae > sae.cfg.d_sae or not hasattr(old, "b_enc"):
        raise BadInput(
            f"The SAE in {folder} has {old.cfg.d_sae:,} latents over {old.cfg.d_in} numbers and cannot begin "
            f"one of {sae.cfg.d_sae:,} over {sae.cfg.d_in}; choose a larger width or another SAE."
        )
    return old.float()


def _missed(old: SAE, examples: Float[Tensor, "n d_in"], count: int) -> Float[Tensor, "count d_in"]:
    """Unit errors of the old SAE, drawn by their squared length, then moved to the mean of those near them.

    Some rounds of spherical k-means: one token's error alone is noisier than what several have in common.
    """
    errors = torch.cat([part - old(part) for part in examples.split(_PART)])
    drawn = torch.multinomial(errors.square().sum(dim=-1), count, replacement=count > len(errors))
    centres = _unit(errors[drawn])
    for _ in range(_ROUNDS):
        centres = _unit(_sums(errors, centres))
    return centres


def _sums(errors: Float[Tensor, "n d_in"], centres: Float[Tensor, "m d_in"]) -> Float[Tensor, "m d_in"]:
    """The sum of the errors nearest in direction to each centre; a centre without any stays."""
    nearest = torch.cat([(part @ centres.T).argmax(dim=-1) for part in errors.split(_PART)])
    alone = torch.bincount(nearest, minlength=len(centres)) == 0
    return (centres * alone[:, None]).index_add_(0, nearest, errors)


def _rare(
    sae: BatchTopKTrainingSAE, centred: Float[Tensor, "n d_in"], directions: Float[Tensor, "m d_in"]
) -> Float[Tensor, " m"]:
    """What only `_SHARE` of a latent's fair share of the examples exceeds along each direction."""
    few = centred[:_COUNTED]
    rank = max(int(len(few) * (1 - _SHARE * sae.cfg.k / sae.cfg.d_sae)), 1)
    return torch.cat([(few @ part.T).kthvalue(rank, dim=0).values for part in directions.split(_PART)])


def _threshold(old: SAE) -> float:
    """What a latent of the old SAE has to reach to be written, on average (0 where it has no threshold)."""
    return float(old.threshold.float().mean()) if hasattr(old, "threshold") else 0.0


def _unit(rows: Float[Tensor, "m d_in"]) -> Float[Tensor, "m d_in"]:
    return torch.nn.functional.normalize(rows, dim=-1)
