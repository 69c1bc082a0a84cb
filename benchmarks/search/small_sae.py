"""Small SAEs of one recipe, trained on kept residuals by sae-lens's trainer, and what each is worth.

The recipe is `train-sae`'s (BatchTopK, its learning rate, warm-up and decay), from a fresh start.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from sae_lens import BatchTopKTrainingSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from benchmarks.search.residuals import kept
from sas_core.dictionary.measure import measure
from sas_core.dictionary.sparse_step import SparseStepSAE
from sas_core.model.dictionary import Dictionary, load_local

_LOOKED_AT = 20_000

Windows = Sequence[tuple[list[int], list[bool]]]


@dataclass(frozen=True)
class Recipe:
    """What one SAE is made of. `per`: k latents of each token (TopK) or on average (BatchTopK)."""

    hook_name: str
    d_sae: int
    k: int
    positions: int
    epochs: int = 3
    per: Literal["batch", "token"] = "batch"
    batch_size: int = 256
    lr: float = 6e-4

    @property
    def key(self) -> str:
        """The same for equal recipes; fit for a file's name."""
        return "-".join(str(part) for part in asdict(self).values())


def row_of(
    model: Any, recipe: Recipe, acts: Path, folder: Path, held_out: Mapping[str, Windows]
) -> dict[str, Any]:
    """Train, save in `folder`, load as anyone would, measure: ready for JSON."""
    rows = kept(acts, recipe.hook_name, model.cfg.d_model, recipe.positions)
    began = time.process_time()
    trained(recipe, rows).save_inference_model(folder)
    seconds = time.process_time() - began
    dictionary = load_local(folder, model.cfg.device)
    looked_at = kept(acts, recipe.hook_name, model.cfg.d_model, _LOOKED_AT)
    wanted = ("positions", "fvu", "l0", "ce_clean", "ce_increase", "recovered_zero", "recovered_mean")
    found = {kind: measure(model, dictionary, iter(each)).as_dict() for kind, each in held_out.items()}
    return {
        "recipe": asdict(recipe),
        "seconds": round(seconds, 1),
        "dead_share": round(dead_share(dictionary, looked_at), 4),
        "held_out": {kind: {name: each[name] for name in wanted} for kind, each in found.items()},
    }


def trained(recipe: Recipe, rows: Float[np.ndarray, "n d_model"]) -> Any:
    """The trained SAE, on the CPU."""
    torch.manual_seed(0)
    sae = _fresh(recipe, rows.shape[1])
    sae.b_dec.data = _tensor(rows[: 16 * recipe.batch_size]).mean(dim=0)
    sae.cfg.metadata.hook_name, sae.cfg.metadata.prepend_bos = recipe.hook_name, False
    steps = recipe.epochs * (len(rows) // recipe.batch_size)
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=steps * recipe.batch_size,
            train_batch_size_samples=recipe.batch_size,
            lr=recipe.lr,
            lr_end=recipe.lr / 10,
            lr_warm_up_steps=steps // 10,
            lr_decay_steps=steps // 4,
            # short runs: a latent silent for an eighth of one is helped
            dead_feature_window=max(steps // 8, 1),
        ),
        sae,
        batches(rows, recipe),
    )
    for group in trainer.optimizer.param_groups:
        group.update(fused=True, foreach=False)
    return trainer.fit()


def batches(rows: Float[np.ndarray, "n d_model"], recipe: Recipe) -> Iterator[Float[Tensor, "batch d_model"]]:
    """Every epoch all rows in another order; what is left over of an epoch is dropped."""
    draw = np.random.default_rng(0)
    for _ in range(recipe.epochs):
        order = draw.permutation(len(rows))
        for start in range(0, len(rows) - recipe.batch_size + 1, recipe.batch_size):
            # in the file's order, which reads it forwards
            yield _tensor(rows[np.sort(order[start : start + recipe.batch_size])])


@torch.inference_mode()
def dead_share(dictionary: Dictionary, rows: Float[np.ndarray, "n d_model"]) -> float:
    """Share of latents that no row turns on."""
    fired = torch.zeros(dictionary.identity.d_sae, dtype=torch.bool)
    for start in range(0, len(rows), 2048):
        fired |= (dictionary.encode(_tensor(rows[start : start + 2048])) > 0).any(dim=0)
    return 1.0 - float(fired.float().mean())


def _fresh(recipe: Recipe, d_in: int) -> Any:
    sizes = {"d_in": d_in, "d_sae": recipe.d_sae, "device": "cpu", "apply_b_dec_to_input": True}
    if recipe.per == "token":
        return TopKTrainingSAE(TopKTrainingSAEConfig(k=recipe.k, **sizes))
    return SparseStepSAE(BatchTopKTrainingSAEConfig(k=recipe.k, **sizes))


def _tensor(rows: Float[np.ndarray, "n d_model"]) -> Float[Tensor, "n d_model"]:
    return torch.from_numpy(np.asarray(rows, np.float32))
