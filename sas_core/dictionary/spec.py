"""What a training is, as values: the texts and every number that decides the result. Imports no torch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sas_core.errors import BadInput


@dataclass(frozen=True)
class Source:
    """One file or hub data set and its share of the mix (any positive weight)."""

    name: str
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Source":
        """`path` or `path=weight`."""
        name, _, weight = text.partition("=")
        try:
            return cls(name, float(weight or 1.0))
        except ValueError:
            raise BadInput(f"The weight in {text!r} is not a number; write PATH=WEIGHT.") from None


@dataclass(frozen=True)
class TrainSpec:
    """Everything that decides the result; saved beside the checkpoint and in the card.

    `start_from`: folder of a finished SAE of the same hook, whose latents are the first ones of this one. It
    may be narrower and of another k: so a dictionary is widened, or trained on, without losing what it knows.
    `replay`: batches met again for each fresh one, out of the latest `replay_positions` (2 bytes a number on
    disk). `tokens` counts what is learnt from, fresh or again. `threshold_scale` multiplies the thresholds of
    the saved SAE: below 1 more than k latents are active on average, and less is lost.
    """

    model_name: str
    hook_name: str
    sources: list[Source]
    tokens: int
    d_sae: int = 4096
    k: float = 40
    lr: float = 6e-4
    batch_size: int = 1024
    context_size: int = 256
    buffer_size: int = 65_536
    warm_up_steps: int = 200
    decay_share: float = 0.25
    dead_after_steps: int = 400
    seed: int = 0
    start_from: str | None = None
    replay: int = 0
    replay_positions: int = 1_000_000
    threshold_scale: float = 1.0

    def told(self) -> dict[str, Any]:
        """The fields as the card has them: where a file lay on this machine means nothing elsewhere."""
        sources = [{"name": _name(s.name), "weight": s.weight} for s in self.sources]
        begun = None if self.start_from is None else Path(self.start_from).name
        return asdict(self) | {"sources": sources, "start_from": begun}


def _name(source: str) -> str:
    """A file by its name alone, a hub data set whole."""
    return Path(source).name if Path(source).exists() else source
