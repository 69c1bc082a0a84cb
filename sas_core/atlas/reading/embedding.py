"""The judge that reads: the model itself, at another place than its SAE. No network is asked.

A place is the mean residual over its excerpt and the residual at the place, in equal parts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sas_core.atlas.probe import holding
from sas_core.atlas.reading.places import Place, Task, Window
from sas_core.atlas.reading.report import Step
from sas_core.atlas.windows import Batch, batches
from sas_core.atlas.windows import Window as Read
from sas_core.errors import BadInput
from sas_core.model.hooked import activations_at, layer_of
from sas_core.steering.engine import Engine

TOKENS_AT_ONCE = 2_048
DEPTH = 2 / 3
"""Where the judge reads, as a share of the blocks: past the middle, before the last prepare the output."""


def judge_hook(engine: Engine) -> str:
    """The residual after the block next to two thirds of the depth that is not the SAE's own.

    Raises BadInput for a model of a single block.
    """
    blocks = [at for at in range(engine.model.cfg.n_layers) if at != layer_of(engine.hook_name)]
    if not blocks:
        raise BadInput(
            "This model has one block, which its SAE reads; there is no other place to judge from."
        )
    wanted = DEPTH * engine.model.cfg.n_layers
    return f"blocks.{min(blocks, key=lambda at: abs(at - wanted))}.hook_resid_post"


def read_places(
    engine: Engine, hook_name: str, windows: Mapping[int, Window], places: Iterable[Place]
) -> Iterator[Step | dict[Place, np.ndarray]]:
    """Steps, then what the model holds at `hook_name` at each place `[d_model]`.

    A window is read up to its last place: what follows cannot change what was before.
    """
    asked: dict[int, list[Place]] = {}
    for place in sorted(set(places), key=lambda place: (place.window, place.position)):
        asked.setdefault(place.window, []).append(place)
    parts = [_part(windows[window], found) for window, found in asked.items()]
    total, done = sum(len(part.ids) for part in parts), 0
    found: dict[Place, np.ndarray] = {}
    for batch in batches(parts, TOKENS_AT_ONCE):
        residual = _residual(engine, hook_name, batch)
        for row, part in zip(residual, batch.windows, strict=True):
            found |= {place: _held(row, place, windows[part.number]) for place in asked[part.number]}
        done += sum(len(part.ids) for part in batch.windows)
        yield Step("Reading what is to be judged", done, total)
    yield found


def own_directions(engine: Engine, latents: Sequence[int]) -> Float64[np.ndarray, "n 2 d_in"]:
    """What each latent reads and what it writes."""
    chosen = torch.tensor(list(latents))
    sae = engine.dictionary.sae
    both = torch.stack([sae.W_enc[:, chosen].T, engine.dictionary.W_dec_rows(chosen)], dim=1)
    return both.cpu().double().numpy()


class EmbeddingJudge:
    """Likeness of places by what the model holds there, each number in its own standard deviations."""

    def __init__(self, held: Mapping[Place, np.ndarray], usual: Iterable[Place]) -> None:
        """Mean and deviation are those of the `usual` places."""
        self._held = held
        plain = np.stack([held[place] for place in usual]).astype(np.float64)
        self._mean, self._deviation = plain.mean(axis=0), plain.std(axis=0) + 1e-9

    def likeness(
        self, task: Task, asked: Sequence[Place], own: Float64[np.ndarray, "k d_in"] | None = None
    ) -> Float64[np.ndarray, " n"]:
        """Cosine of each place with the mean of those to learn from.

        The directions `own` are taken out first, lest a latent is known again by its own trace.
        """
        model = self._seen(task.learn, own).mean(axis=0)
        return self._seen(asked, own) @ (model / np.linalg.norm(model))

    def _seen(
        self, places: Sequence[Place], own: Float64[np.ndarray, "k d_in"] | None
    ) -> Float64[np.ndarray, "n d_model"]:
        seen = np.stack([self._held[place] for place in places]) - self._mean
        if own is not None:
            basis = np.linalg.qr(own.T)[0]
            seen = seen - seen @ basis @ basis.T
        seen = seen / self._deviation
        return seen / np.linalg.norm(seen, axis=1, keepdims=True)


def _part(window: Window, places: Sequence[Place]) -> Read:
    end = max(place.excerpt(window).stop for place in places)
    ids = np.array(window.ids[:end], np.uint32)
    return Read(window.number, window.document, 0, ids, np.ones(len(ids), bool))


def _residual(engine: Engine, hook_name: str, batch: Batch) -> Float[np.ndarray, "row pos d_model"]:
    with holding(engine, ""):
        held: Float[Tensor, "row pos d_model"] = activations_at(
            engine.model, hook_name, batch.tokens.to(engine.model.cfg.device)
        )
    return held.float().cpu().numpy()


def _held(residual: Float[np.ndarray, "pos d_model"], place: Place, window: Window) -> np.ndarray:
    read = [at for at in place.excerpt(window) if at not in window.excluded]
    return (residual[read].mean(axis=0) + residual[place.position]) / 2
