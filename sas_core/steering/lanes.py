"""What a generation tells its reader: events while it runs and a result per lane. Plain values, no tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sas_core.model.chat import Message, Turns
from sas_core.steering.generate import Chosen, StopReason
from sas_core.steering.receipt import Receipt
from sas_core.steering.spec import Lane, Sampling


@dataclass(frozen=True)
class Request:
    """Everything that decides the tokens, apart from what is loaded."""

    prompt: str | tuple[Message, ...]
    lanes: tuple[Lane, ...]
    sampling: Sampling = Sampling()
    chat: bool | None = None
    system: str | None = None


@dataclass(frozen=True)
class LaneResult:
    """One finished (or stopped) lane. `problem` is set when a non-zero strength changed nothing."""

    name: str
    scale: float
    token_ids: tuple[int, ...]
    pieces: tuple[str, ...]
    logprobs: tuple[float, ...]
    text: str
    stop: StopReason | None
    receipt: Receipt | None = None
    problem: str | None = None
    restored: bool = False


@dataclass(frozen=True)
class Waiting:
    """`position` requests are before this one."""

    position: int


@dataclass(frozen=True)
class Update:
    """The lanes as they stand after one step."""

    lanes: tuple[LaneResult, ...]


@dataclass(frozen=True)
class Done:
    """All lanes have ended; receipts are final."""

    lanes: tuple[LaneResult, ...]
    prompt_ids: tuple[int, ...]


Event = Waiting | Update | Done


@dataclass
class LaneText:
    """Grows one lane's ids and text; a character whose bytes are not all here yet is held back."""

    name: str
    scale: float
    ids: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stop: StopReason | None = None

    def add(self, chosen: Chosen, turns: Turns) -> None:
        self.ids.append(chosen.token_id)
        self.pieces += turns.pieces([chosen.token_id])
        self.logprobs.append(chosen.logprob)
        self.stop = chosen.stop

    def result(
        self, turns: Turns, receipt: Receipt | None = None, problem: str | None = None
    ) -> LaneResult:
        text = turns.decode(self.ids)
        if self.stop is None:
            text = text.removesuffix("\ufffd")
        return LaneResult(
            self.name, self.scale, tuple(self.ids), tuple(self.pieces), tuple(self.logprobs),
            text, self.stop, receipt, problem,
        )  # fmt: skip


def first_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """Index of the first token at which two lanes differ; None while one is a prefix of the other."""
    for position, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return position
    return None
