"""What the judges say of directions that nobody trained: random ones, which fire as rarely as the latents do.

Whatever is learnt from the strongest places of any direction is partly learnt of the judge and the text; a
latent is worth something where it does better.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from sas_core.atlas.made_of import DEDUPE_TOKENS
from sas_core.atlas.probe import holding
from sas_core.atlas.reading.draw import Drawn
from sas_core.atlas.reading.embedding import TOKENS_AT_ONCE
from sas_core.atlas.reading.places import Place, Pool, Task, Window, halves, task_of
from sas_core.atlas.reading.report import Step
from sas_core.atlas.windows import Batch, batches
from sas_core.atlas.windows import Window as Read
from sas_core.model.hooked import activations_at
from sas_core.steering.engine import Engine


@dataclass(frozen=True, eq=False)
class Followed:
    """The task of a random direction, which is `own` at the SAE's hook."""

    task: Task
    own: Float64[np.ndarray, "1 d_in"]


def direction_tasks(
    engine: Engine, drawn: Drawn, densities: Sequence[float], top_k: int, seed: int
) -> Iterator[Step | tuple[Followed, ...]]:
    """Steps, then the tasks of one random direction for each density (share of tokens at which it fires).

    They are followed in the windows of the pool. A direction is Gaussian where every number has the same
    spread, and fires above the quantile that gives its density. Those that fire in too few windows to be
    scored are left out.
    """
    draw = np.random.default_rng([seed, 1])
    chosen = dict.fromkeys(place.window for place in drawn.pool.top + drawn.pool.sampled)
    windows = [drawn.windows[number] for number in chosen]
    values: dict[int, Float32[np.ndarray, "pos n"]] = {}
    directions = draw.normal(size=(len(densities), engine.dictionary.identity.d_in))
    total, done, scaled = sum(len(window.ids) for window in windows), 0, False
    for batch in batches([_whole(window) for window in windows], TOKENS_AT_ONCE):
        held = _held(engine, batch)
        if not scaled:
            directions, scaled = directions / (_spread(held, batch) + 1e-9), True
        values |= _along(held, batch, directions, drawn.windows)
        done += sum(len(window.ids) for window in batch.windows)
        yield Step("Following random directions", done, total)
    tasks = (
        _task(windows, [values[number][:, at] for number in chosen], density, top_k, drawn.pool, draw)
        for at, density in enumerate(densities)
    )
    yield tuple(Followed(task, directions[at : at + 1]) for at, task in enumerate(tasks) if task)


def _whole(window: Window) -> Read:
    ids = np.array(window.ids, np.uint32)
    keep = np.array([at not in window.excluded for at in range(len(ids))], bool)
    return Read(window.number, window.document, 0, ids, keep)


def _held(engine: Engine, batch: Batch) -> Float32[np.ndarray, "row pos d_in"]:
    with holding(engine, ""):
        tokens = batch.tokens.to(engine.model.cfg.device)
        return activations_at(engine.model, engine.hook_name, tokens).float().cpu().numpy()


def _spread(held: Float32[np.ndarray, "row pos d_in"], batch: Batch) -> Float64[np.ndarray, " d_in"]:
    return held[batch.keep.numpy()].std(axis=0)


def _along(
    held: Float32[np.ndarray, "row pos d_in"], batch: Batch, directions: Float64[np.ndarray, "n d_in"],
    windows: dict[int, Window],
) -> dict[int, Float32[np.ndarray, "pos n"]]:  # fmt: skip
    """Each direction at the tokens of each window; minus infinity where nothing is counted."""
    found = {}
    for row, window, keep in zip(held, batch.windows, batch.keep.numpy(), strict=True):
        length = len(windows[window.number].ids)
        along = (row[:length] @ directions.T).astype(np.float32)
        found[window.number] = np.where(keep[:length, None], along, -np.inf)
    return found


def _task(
    windows: Sequence[Window], values: Sequence[Float32[np.ndarray, " pos"]], density: float, top_k: int,
    pool: Pool, draw: np.random.Generator,
) -> Task | None:  # fmt: skip
    every = np.concatenate(values)
    threshold = np.quantile(every[np.isfinite(every)], 1 - density)
    strongest = {window.number: float(each.max()) for window, each in zip(windows, values, strict=True)}
    order = sorted(range(len(windows)), key=lambda at: -strongest[windows[at].number])
    fires = [_place(windows[at], values[at]) for at in order if strongest[windows[at].number] > threshold]
    some = sorted(draw.permutation(len(fires))[:top_k].tolist())
    own = halves(fires[:top_k], [fires[at] for at in some])
    return own and task_of(None, own, pool, lambda number: strongest[number] <= threshold, draw)


def _place(window: Window, values: Float32[np.ndarray, " pos"]) -> Place:
    peak = int(values.argmax())
    return Place(
        window.number, window.document, peak, window.ids[max(0, peak - DEDUPE_TOKENS + 1) : peak + 1]
    )
