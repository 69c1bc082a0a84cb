"""One pass of the model over text -> residuals of several layers, in float16 files to train small SAEs on.

Knows no SAE.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sas_core.dictionary.corpus import window_batches
from sas_core.errors import BadInput
from sas_core.model.hooked import layer_of
from sas_core.model.sinks import is_sink

_ROWS = 8


@torch.inference_mode()
def residuals(
    model: Any, hooks: Sequence[str], tokens: Int[Tensor, "row pos"]
) -> dict[str, Float[Tensor, "row pos d_model"]]:
    """What the model holds at each hook, from one pass that ends after the last of them."""
    seen: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: Any) -> None:
        seen[hook.name] = value

    last = max(layer_of(name) or 0 for name in hooks)
    with model.hooks(fwd_hooks=[(name, keep) for name in hooks]):
        model(tokens, return_type=None, attention_mask=torch.ones_like(tokens), stop_at_layer=last + 1)
    return seen


def collect(model: Any, windows: Iterator, hooks: Sequence[str], positions: int, folder: Path) -> None:
    """Write `folder/<hook>.f16`, unless an earlier call finished the same.

    Special tokens and positions that are an attention sink at any of the hooks are left out, so that all
    files hold the same tokens. Raises BadInput when the text ends before the positions do.
    """
    mark, asked = folder / "kept.json", {"hooks": list(hooks), "positions": positions}
    if mark.exists() and json.loads(mark.read_text()) == asked:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        files = {name: opened.enter_context(_place(folder, name).open("wb")) for name in hooks}
        _write(model, windows, files, positions)
    mark.write_text(json.dumps(asked))


def kept(folder: Path, hook: str, d_model: int, positions: int) -> Float[np.ndarray, "positions d_model"]:
    """The first `positions` residuals of a hook."""
    return np.memmap(_place(folder, hook), np.float16, "r").reshape(-1, d_model)[:positions]


def typical_norm(rows: Float[np.ndarray, "n d_model"]) -> float:
    """The median norm of residuals."""
    return float(np.median(np.linalg.norm(rows.astype(np.float32), axis=1)))


def _write(model: Any, windows: Iterator, files: Mapping[str, BinaryIO], positions: int) -> None:
    room = positions
    for ids, keep in window_batches(windows, _ROWS):
        found = residuals(model, list(files), ids.to(model.cfg.device))
        sink = torch.stack([is_sink(each) for each in found.values()]).any(dim=0)
        chosen = keep.to(sink.device) & ~sink
        for name, each in found.items():
            each[chosen][:room].to("cpu", torch.float16).numpy().tofile(files[name])
        room -= int(chosen.sum())
        if room <= 0:
            return
    raise BadInput(f"The text ended {room:,} positions too early; give more text or ask for fewer positions.")


def _place(folder: Path, hook: str) -> Path:
    return folder / f"{hook}.f16"
