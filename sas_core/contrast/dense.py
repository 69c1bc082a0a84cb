"""The dense counterpart of a ranking: the mean difference of both sides' residuals (CAA, arXiv 2312.06681).

It reads the same texts at the same positions as `collect.py`, without the SAE.
"""

from collections.abc import Generator, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sas_core.contrast.collect import Progress, Text, batches, padded, tokenise
from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.positions import Position
from sas_core.contrast.shipped import behaviour_names, load_behaviour
from sas_core.errors import BadInput
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink
from sas_core.steering.engine import Engine


def mean_difference(
    engine: Engine, pairs: PairSet, position: Position, *, chat: bool | None = None, session: str = ""
) -> Iterator[Progress | tuple[float, ...]]:
    """Yield Progress after each batch, then `mean(positive) - mean(negative)`, `[d_in]` floats.

    Of each text the mean over its positions, special tokens and attention sinks left out, as for the codes.
    Raises BadInput as `collect` does, and when one side has no position left; Cancelled, QueueFull.
    """
    means = yield from read_means(
        engine, tokenise(engine.turns, usable(pairs), position, chat), session=session
    )
    sides = [[m for t, m in means.items() if t.positive is side and m is not None] for side in (True, False)]
    if not all(sides):
        raise BadInput(
            "One side of the pairs holds nothing but special tokens and attention sinks at the positions "
            "read, so there is no dense difference; choose another control."
        )
    positive, negative = (torch.stack(side).mean(dim=0) for side in sides)
    yield tuple((positive - negative).tolist())


def read_means(
    engine: Engine, texts: Sequence[Text], *, hook_name: str | None = None, session: str = ""
) -> Generator[Progress, None, dict[Text, Float[Tensor, " d_in"] | None]]:
    """`text_means` of many texts, in batches; yields Progress after each, and returns the means by text.

    Holds the engine's turn from the first to the last. Raises as `activations_at`; Cancelled, QueueFull.
    """
    found: dict[Text, Float[Tensor, " d_in"] | None] = {}
    with engine.turn(session) as ticket:
        for batch in batches(sorted(texts, key=lambda text: len(text.ids))):
            while not ticket.wait(0.1):
                yield Progress(len(found), len(texts))
            found |= zip(batch, text_means(engine, batch, hook_name), strict=True)
            yield Progress(len(found), len(texts))
    return found


def shipped_pairs(sha256: str) -> PairSet | None:
    """The training pairs of the shipped behaviour with this hash, as a vector file names them."""
    for name in behaviour_names():
        pairs = load_behaviour(name).train
        if sha256 in (pairs.sha256, usable(pairs).sha256):
            return pairs
    return None


@torch.inference_mode()
def text_means(
    engine: Engine, batch: Sequence[Text], hook_name: str | None = None
) -> list[Float[Tensor, " d_in"] | None]:
    """Of each text the mean residual over the positions it reads, in float64; None where none is left.

    Special tokens and attention sinks are left out. `hook_name=None`: where the SAE reads. The caller holds
    the engine's turn.
    """
    hook = hook_name or engine.hook_name
    found = activations_at(engine.model, hook, padded(batch).to(engine.model.cfg.device))
    # how long a residual usually is was measured at the SAE's hook alone
    sinks = is_sink(found, engine.typical_norm if hook == engine.hook_name else None).cpu()
    rows = zip(batch, found.cpu().double(), sinks, strict=True)
    return [_mean(engine, text, residual, sink) for text, residual, sink in rows]


def _mean(
    engine: Engine, text: Text, residual: Float[Tensor, "pos d_in"], sink: Tensor
) -> Float[Tensor, " d_in"] | None:
    kept = [p for p in text.read if text.ids[p] not in engine.turns.special_ids and not sink[p]]
    return residual[kept].mean(dim=0) if kept else None
