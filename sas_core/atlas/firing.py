"""One batch through the model to the hook and the SAE, as the sparse list of what fires where.

All that follows works on this list (about L0 numbers a token): nothing costs tokens x d_sae twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64
from torch import Tensor

from sas_core.atlas.windows import Batch
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink
from sas_core.steering.engine import Engine

_CODES_AT_ONCE = {"cpu": 2**24, "cuda": 2**29}
"""Entries of the dense code matrix that may exist at one time: 64 MB, and 2 GB on a GPU."""


@dataclass(frozen=True, eq=False)
class Fired:
    """Non-zero activations of a batch, by latent, then row, then position."""

    latents: Int32[np.ndarray, " n"]
    rows: Int32[np.ndarray, " n"]
    positions: Int32[np.ndarray, " n"]
    values: Float32[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Segments:
    """One entry for each (latent, row) that fires; `start` and `count` point into `Fired`."""

    latents: Int32[np.ndarray, " s"]
    rows: Int32[np.ndarray, " s"]
    start: Int64[np.ndarray, " s"]
    count: Int64[np.ndarray, " s"]
    maximum: Float32[np.ndarray, " s"]
    peak: Int32[np.ndarray, " s"]


@torch.inference_mode()
def read_batch(engine: Engine, batch: Batch) -> tuple[Fired, Bool[np.ndarray, "row pos"]]:
    """What fires at the counted positions, and which kept positions turned out to be attention sinks.

    The caller holds the engine's turn.
    """
    activations = activations_at(engine.model, engine.hook_name, batch.tokens.to(engine.model.cfg.device))
    sinks = is_sink(activations, engine.typical_norm).cpu() & batch.keep
    counted = (batch.keep & ~sinks).to(activations.device)
    at = counted.nonzero()
    parts = list(_codes(engine, activations[counted], at))
    latents, rows, positions, values = (np.concatenate([part[i] for part in parts]) for i in range(4))
    order = np.lexsort((positions, rows, latents))
    return Fired(latents[order], rows[order], positions[order], values[order]), sinks.numpy()


def _codes(engine: Engine, x: Float[Tensor, "n d_in"], at: Tensor) -> Iterator[tuple[np.ndarray, ...]]:
    d_sae = engine.dictionary.identity.d_sae
    step = max(1, _CODES_AT_ONCE.get(x.device.type, 2**24) // d_sae)
    none = np.zeros(0, np.int32)
    yield none, none, none, np.zeros(0, np.float32)
    for start in range(0, len(x), step):
        codes = engine.dictionary.encode(x[start : start + step])
        tokens, latents = (codes > 0).nonzero(as_tuple=True)
        place = at[start : start + step][tokens]
        yield (
            latents.to(torch.int32).cpu().numpy(), place[:, 0].to(torch.int32).cpu().numpy(),
            place[:, 1].to(torch.int32).cpu().numpy(), codes[tokens, latents].cpu().numpy(),
        )  # fmt: skip


def segments(fired: Fired) -> Segments:
    """Maximum and first position of the maximum, for every latent in every row where it fires."""
    n = len(fired.latents)
    if not n:
        empty, wide = np.zeros(0, np.int32), np.zeros(0, np.int64)
        return Segments(empty, empty, wide, wide, np.zeros(0, np.float32), empty)
    changes = (np.diff(fired.latents) != 0) | (np.diff(fired.rows) != 0)
    start = np.concatenate([[0], changes.nonzero()[0] + 1])
    count = np.diff(np.concatenate([start, [n]]))
    maximum = np.maximum.reduceat(fired.values, start)
    at_peak = fired.values == np.repeat(maximum, count)
    far = np.iinfo(np.int32).max
    peak = np.minimum.reduceat(np.where(at_peak, fired.positions, far).astype(np.int32), start)
    return Segments(fired.latents[start], fired.rows[start], start, count, maximum, peak)
