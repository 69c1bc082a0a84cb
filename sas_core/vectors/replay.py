"""The run recorded in a vector file, done again: what to ask the engine, how far it agrees, why it may not.

The file records tokens, so agreement is counted in tokens: the common beginning of each lane.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from sas_core.errors import BadInput
from sas_core.model.versions import installed_version
from sas_core.steering.compare import inspect_token
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Done, Request, first_difference
from sas_core.steering.spec import Lane, Sampling
from sas_core.vectors.build import identity, steering_of
from sas_core.vectors.compare import differences
from sas_core.vectors.fields import VectorFile, Verify

ROUNDING = 0.01
"""Nats: two tokens as near as this can change places with the order in which a processor adds."""
_LIKELIEST = 8


@dataclass(frozen=True)
class Parting:
    """The first token of a lane that is not the recorded one, both as text.

    `gap`: how far apart they are here in nats; None when the recorded one is not among the likeliest.
    `here` is empty where the lane ends before the record does.
    """

    lane: str
    position: int
    here: str
    recorded: str
    gap: float | None

    @property
    def rounding(self) -> bool:
        """Whether rounding alone explains it."""
        return self.gap is not None and self.gap < ROUNDING

    def sentence(self) -> str:
        where = f"The {self.lane} answer parts at token {self.position + 1}"
        if not self.here:
            return f"{where}: it ends there, and the record goes on with {self.recorded!r}."
        if self.gap is None:
            return (
                f"{where}: it says {self.here!r}, and the recorded {self.recorded!r} is far less likely here."
            )
        but = "another processor rounds otherwise" if self.rounding else "more than rounding explains"
        two = f"{self.here!r} and the recorded {self.recorded!r}"
        return f"{where}, where {two} are {self.gap:.2g} nats apart: {but}."


@dataclass(frozen=True)
class Replay:
    """Tokens that agree of those recorded, over both lanes, where the rest parts and what may explain it."""

    agree: int
    total: int
    why: tuple[str, ...]
    partings: tuple[Parting, ...] = ()

    @property
    def whole(self) -> bool:
        return self.agree == self.total

    @property
    def rounded(self) -> bool:
        """Whether each lane that parts does so where rounding decides, which leaves what follows unknown."""
        return bool(self.partings) and all(parting.rounding for parting in self.partings)

    def sentence(self) -> str:
        return f"Reproduced {self.agree} of {self.total} tokens."


@dataclass(frozen=True)
class Recorded:
    """One recorded lane as token texts; `mark` is its first token that differs from the other lane."""

    pieces: tuple[str, ...]
    mark: int | None


def replay_request(vector: VectorFile) -> Request:
    """The recorded run as a request. Raises BadInput when the file has none, or one beyond our limits."""
    block = _block(vector)
    lanes = (Lane("unsteered"), Lane("steered", steering_of(vector, block.scale)))
    return Request(block.prompt, lanes, Sampling(block.max_new_tokens))


def count_agreeing(engine: Engine, vector: VectorFile, done: Done) -> Replay:
    """Compare a finished run of `replay_request` with the record.

    Where they part the engine is asked once more, in its turn: QueueFull, Cancelled.
    """
    block = _block(vector)
    recorded = (block.unsteered, block.steered)
    agree = sum(_common(lane.token_ids, ids) for lane, ids in zip(done.lanes, recorded, strict=True))
    total = sum(map(len, recorded))
    if agree == total:
        return Replay(agree, total, ())
    partings = tuple(_partings(engine, vector, done))
    return Replay(agree, total, _reasons(engine, vector, done, partings), partings)


def replay(engine: Engine, vector: VectorFile) -> Replay:
    """Do the recorded run again and compare. Raises BadInput when the file has none."""
    with closing(engine.stream(replay_request(vector))) as events:
        done = next(event for event in events if isinstance(event, Done))
    return count_agreeing(engine, vector, done)


def recorded_lanes(engine: Engine, vector: VectorFile) -> tuple[Recorded, Recorded] | None:
    """The recorded unsteered and steered answers as text; None when this model's tokens are others.

    Special tokens at the end are left out.
    """
    block = _block(vector)
    largest = max((*block.unsteered, *block.steered), default=0)
    if vector.model.d_model != engine.model.cfg.d_model or largest >= engine.model.cfg.d_vocab:
        return None
    differ = first_difference(block.unsteered, block.steered)
    unsteered, steered = (
        Recorded(tuple(engine.turns.pieces(_shown(ids, engine.turns.special_ids))), differ)
        for ids in (block.unsteered, block.steered)
    )
    return unsteered, steered


def _partings(engine: Engine, vector: VectorFile, done: Done) -> Iterator[Parting]:
    """Each lane's that is not the record's, where the prompt is the same."""
    block, request = _block(vector), replay_request(vector)
    if tuple(done.prompt_ids) != block.prompt_ids:
        return
    for lane, recorded in enumerate((block.unsteered, block.steered)):
        name, written = request.lanes[lane].name, done.lanes[lane].token_ids
        at = _common(written, recorded)
        if at == len(recorded):
            continue
        there = _piece(engine, recorded[at])
        if at == len(written):
            yield Parting(name, at, "", there, None)
            continue
        token = inspect_token(engine, request, done.lanes, lane, at, top=_LIKELIEST)
        likely = {each.token_id: each.logprob for each in token.alternatives[lane]}
        gap = abs(likely[written[at]] - likely[recorded[at]]) if recorded[at] in likely else None
        yield Parting(name, at, _piece(engine, written[at]), there, gap)


def _piece(engine: Engine, token: int) -> str:
    """As text; a file can hold any number, and those that are no token here stand as such."""
    return engine.turns.pieces([token])[0] if token < engine.model.cfg.d_vocab else f"token {token}"


def _reasons(
    engine: Engine, vector: VectorFile, done: Done, partings: Sequence[Parting]
) -> tuple[str, ...]:  # fmt: skip
    block, found = _block(vector), []
    if tuple(done.prompt_ids) != block.prompt_ids:
        found.append("The prompt becomes other tokens here: the tokenizer or its chat template differs.")
    if block.device != engine.placement.device:
        found.append(
            f"The run was recorded on {block.device} and this one is on {engine.placement.device}: sums are "
            "rounded in another order, and greedy tokens can part where two are nearly equally likely."
        )
    found += [difference.sentence for difference in differences(vector, identity(engine))]
    changed = other_versions(vector.versions)
    if changed:
        found.append(f"Library versions differ: {', '.join(changed)}.")
    if not found:
        found.append("Nothing recorded in the file differs from here.")
    return (*found, *(parting.sentence() for parting in partings))


def other_versions(recorded: Mapping[str, str]) -> tuple[str, ...]:
    """The packages whose installed version is not the recorded one, as `torch 2.12 there, 2.13 here`."""
    return tuple(
        f"{name} {there} there, {here} here"
        for name, there in recorded.items()
        if (here := installed_version(name)) != there
    )


def _block(vector: VectorFile) -> Verify:
    if vector.verify is None:
        raise BadInput(f"{vector.name!r} carries no recorded run to reproduce.")
    return vector.verify


def _shown(ids: Sequence[int], special: frozenset[int]) -> Sequence[int]:
    end = len(ids)
    while end and ids[end - 1] in special:
        end -= 1
    return ids[:end]


def _common(found: Sequence[int], recorded: Sequence[int]) -> int:
    differ = first_difference(found, recorded)
    return min(len(found), len(recorded)) if differ is None else differ
