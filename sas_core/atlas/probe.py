"""What a text makes fire: latents ranked over it, every token with its latents, one latent along it.

The codes of a text are kept sparse, so that 2,000 tokens of a wide SAE stay small. Knows nothing about atlas
files: what it says is of the loaded model and this text alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int32, Int64

from sas_core.atlas.firing import Fired, read_batch
from sas_core.atlas.windows import Batch
from sas_core.errors import BadInput
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink
from sas_core.steering.engine import Engine

Measure = Literal["max", "mean"]
Weigh = Callable[[Int64[np.ndarray, " n"]], Float64[np.ndarray, " n"]]


@dataclass(frozen=True, eq=False)
class Codes:
    """Non-zero latents of a text, token after token, the strongest first within a token.

    Token `p` has the entries `starts[p]` to `starts[p + 1]`. Excluded tokens have none.
    """

    starts: Int64[np.ndarray, " pos_and_one"]
    latents: Int32[np.ndarray, " n"]
    values: Float32[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, position: int) -> tuple[Int32[np.ndarray, " l"], Float32[np.ndarray, " l"]]:
        """Latents that fire at one token and their activations, strongest first."""
        part = slice(self.starts[position], self.starts[position + 1])
        return self.latents[part], self.values[part]

    def column(self, latent: int) -> Float32[np.ndarray, " pos"]:
        """One latent's activation at every token, 0 where it does not fire."""
        values = np.zeros(len(self), np.float32)
        found = (self.latents == latent).nonzero()[0]
        values[np.searchsorted(self.starts, found, side="right") - 1] = self.values[found]
        return values

    def over_text(self, by: Measure, counted: int, d_sae: int) -> Float64[np.ndarray, " d_sae"]:
        """Maximum, or mean over the `counted` tokens (zeros in), of every latent."""
        if by == "mean":
            return np.bincount(self.latents, self.values, d_sae) / max(counted, 1)
        strongest = np.zeros(d_sae)
        np.maximum.at(strongest, self.latents, self.values)
        return strongest


@dataclass(frozen=True, eq=False)
class ReadText:
    """A text as the model read it. `excluded`: positions of special tokens and attention sinks."""

    pieces: tuple[str, ...]
    excluded: frozenset[int]
    codes: Codes

    @property
    def counted(self) -> int:
        """Tokens whose codes mean something."""
        return len(self.pieces) - len(self.excluded)

    def values(self, latent: int) -> tuple[float, ...]:
        """The latent's activation at each token; 0 where it does not fire and at excluded tokens."""
        return tuple(self.codes.column(latent).tolist())


@dataclass(frozen=True, eq=False)
class PromptView(ReadText):
    """A text with, for each token, its `k` strongest latents as (latent, activation)."""

    strongest: tuple[tuple[tuple[int, float], ...], ...]

    def token(self, position: int) -> tuple[tuple[int, float], ...]:
        """Every latent that fires at a token, strongest first."""
        return _pairs(self.codes, position)


@dataclass(frozen=True)
class FiredLatent:
    """`value` on the text by the measure asked, `against_value` on the second; `peak`: strongest token."""

    latent: int
    value: float
    against_value: float | None
    peak: int


@dataclass(frozen=True, eq=False)
class Firing(ReadText):
    """A text with the latents it makes fire, first in the ranking first."""

    rows: tuple[FiredLatent, ...]


@dataclass(frozen=True)
class Shaded:
    """One latent along a text; 0 where it does not fire and at excluded tokens."""

    pieces: tuple[str, ...]
    values: tuple[float, ...]
    excluded: frozenset[int]


def fires_on(
    engine: Engine,
    text: str,
    *,
    by: Measure = "max",
    against: str | None = None,
    weigh: Weigh | None = None,
    k: int = 50,
    session: str = "",
) -> Firing:
    """The `k` latents that fire most on `text`, read as raw text.

    With `against`, by the difference of their values on the two texts, and only those that fire more on the
    first. `weigh` gives a factor for each latent (`Atlas.distinctive`: what fires everywhere says little of
    this text); the values stay what they are. Raises BadInput for an empty or too long text, QueueFull,
    Cancelled.
    """
    texts = [_encode(engine, part, chat=False) for part in (text, against) if part is not None]
    with holding(engine, session):
        read = [_read(engine, ids) for ids in texts]
    values = [r.codes.over_text(by, r.counted, engine.dictionary.identity.d_sae) for r in read]
    first, second = values[0], values[1] if against is not None else None
    return Firing(
        read[0].pieces, read[0].excluded, read[0].codes, _ranked(read[0].codes, first, second, weigh, k)
    )


def read_prompt(
    engine: Engine, text: str, *, chat: bool = False, k: int = 8, session: str = ""
) -> PromptView:
    """Every token of a text with its latents; `chat` reads it as a user's turn, template included.

    Raises BadInput for an empty or too long text and for chat without a template, QueueFull, Cancelled.
    """
    ids = _encode(engine, text, chat=chat)
    with holding(engine, session):
        read = _read(engine, ids)
    strongest = tuple(_pairs(read.codes, position, k) for position in range(len(ids)))
    return PromptView(read.pieces, read.excluded, read.codes, strongest)


@torch.inference_mode()
def fires_at(engine: Engine, text: str, latent: int, session: str = "") -> Shaded:
    """One latent along a text, read as raw text. Needs the columns of that latent alone.

    Raises BadInput for an empty or too long text and for a latent that the SAE does not have, QueueFull,
    Cancelled.
    """
    require_latents(engine, [latent])
    ids = _encode(engine, text, chat=False)
    with holding(engine, session):
        tokens = torch.tensor([ids], device=engine.model.cfg.device)
        activations = activations_at(engine.model, engine.hook_name, tokens)
        sinks = is_sink(activations, engine.typical_norm)[0].tolist()
        values = engine.dictionary.support(torch.tensor([latent])).encode(activations[0])[:, 0].tolist()
    excluded = _excluded(engine, ids, sinks)
    shown = tuple(0.0 if at in excluded else value for at, value in enumerate(values))
    return Shaded(tuple(engine.turns.pieces(ids)), shown, excluded)


def require_latents(engine: Engine, latents: list[int]) -> None:
    """Raise BadInput, naming the range, when one of them does not exist."""
    d_sae = engine.dictionary.identity.d_sae
    for latent in latents:
        if not 0 <= latent < d_sae:
            raise BadInput(f"Latent {latent} does not exist: this SAE has latents 0 to {d_sae - 1:,}.")


@contextmanager
def holding(engine: Engine, session: str) -> Iterator[None]:
    """Wait for the engine's turn and hold it. Raises QueueFull, Cancelled."""
    with engine.turn(session) as ticket:
        while not ticket.wait(0.1):
            pass
        yield


def _ranked(
    codes: Codes,
    first: Float64[np.ndarray, " d"],
    second: Float64[np.ndarray, " d"] | None,
    weigh: Weigh | None,
    k: int,
) -> tuple[FiredLatent, ...]:
    score = first if second is None else first - second
    more = (score > 0).nonzero()[0]
    weighed = score[more] * (1.0 if weigh is None else weigh(more))
    # stable: equal ones by index
    best = more[np.argsort(-weighed, kind="stable")[:k]].tolist()
    return tuple(
        FiredLatent(
            latent, float(first[latent]), None if second is None else float(second[latent]),
            int(codes.column(latent).argmax()),
        )
        for latent in best
    )  # fmt: skip


def _encode(engine: Engine, text: str, *, chat: bool) -> tuple[int, ...]:
    if not text.strip():
        raise BadInput("There is no text to read; write or paste some.")
    return engine.turns.encode(text, chat=chat).ids


def _read(engine: Engine, ids: tuple[int, ...]) -> ReadText:
    tokens = torch.tensor([ids])
    keep = torch.tensor([[token not in engine.turns.special_ids for token in ids]])
    fired, sinks = read_batch(engine, Batch((), tokens, keep))
    excluded = _excluded(engine, ids, sinks[0].tolist())
    return ReadText(tuple(engine.turns.pieces(ids)), excluded, _by_token(fired, len(ids)))


def _excluded(engine: Engine, ids: tuple[int, ...], sinks: list[bool]) -> frozenset[int]:
    return frozenset(
        at
        for at, (token, sink) in enumerate(zip(ids, sinks, strict=True))
        if sink or token in engine.turns.special_ids
    )


def _by_token(fired: Fired, length: int) -> Codes:
    order = np.lexsort((fired.latents, -fired.values, fired.positions))
    starts = np.searchsorted(fired.positions[order], np.arange(length + 1))
    return Codes(starts.astype(np.int64), fired.latents[order], fired.values[order])


def _pairs(codes: Codes, position: int, k: int | None = None) -> tuple[tuple[int, float], ...]:
    latents, values = codes.row(position)
    return tuple(zip(latents[:k].tolist(), values[:k].tolist(), strict=True))
