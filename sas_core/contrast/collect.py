"""Pairs -> sparse SAE codes of both sides, in batches, with progress, stoppable, kept for the next time.

Prompt and completion are tokenised apart and joined (the boundary is exact), the chat template is applied
where there is one, no end-of-turn token is appended, and special-token and sink positions are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sas_core.contrast.codestore import CodeStore, Row
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.contrast.positions import OFTEN, Position, positions_read
from sas_core.contrast.statistics import Codes, SideCodes
from sas_core.errors import BadInput
from sas_core.model.chat import Turns
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import SINK_NORM_MULTIPLE, is_sink
from sas_core.steering.engine import Engine
from sas_core.steering.spec import canonical_key

_TOKENS_PER_BATCH = 1024


@dataclass(frozen=True)
class Collected:
    """Codes of a pair set, and what was left out on the way (positions, not pairs).

    `peaks_*` are aligned with the entries of `codes.positive` and `codes.negative`: the token id at
    which that latent was strongest in that text.
    """

    codes: Codes
    peaks_positive: np.ndarray
    peaks_negative: np.ndarray
    special_positions: int
    sink_positions: int


@dataclass(frozen=True)
class Progress:
    """`done` of `total` texts (two per pair) are coded."""

    done: int
    total: int


@dataclass(frozen=True)
class Text:
    """One side of one pair, tokenised: ids of prompt + completion, and the positions to read."""

    row: int
    positive: bool
    ids: tuple[int, ...]
    read: tuple[int, ...]


def collect(
    engine: Engine,
    pairs: PairSet,
    position: Position,
    *,
    chat: bool | None = None,
    store: CodeStore | None = None,
    session: str = "",
) -> Iterator[Progress | Collected]:
    """Yield Progress after each batch, and Collected last. Close the generator to stop.

    With a `store`, finished texts are kept, so a stopped run resumes and a repeated one is instant.
    Raises BadInput when a completion has no answer letter (position `answer`) or a text is too long.
    """
    texts = tokenise(engine.turns, pairs, position, chat)
    keys = {text: _key(engine, text, position) for text in texts}
    found = store.get(keys.values()) if store else {}
    rows: dict[Text, Row] = {t: found[k] for t, k in keys.items() if k in found}
    yield Progress(len(rows), len(texts))
    todo = sorted((t for t in texts if t not in rows), key=lambda t: len(t.ids))
    with engine.turn(session) as ticket:
        for batch in batches(todo):
            while not ticket.wait(0.1):
                # a page can only be interrupted where something is yielded to it
                yield Progress(len(rows), len(texts))
            fresh = dict(zip(batch, _code(engine, batch, position), strict=True))
            if store:
                store.put({keys[text]: row for text, row in fresh.items()})
            rows |= fresh
            yield Progress(len(rows), len(texts))
    yield _assemble(rows, len(pairs), engine.dictionary.identity.d_sae)


def tokenise(turns: Turns, pairs: PairSet, position: Position, chat: bool | None) -> list[Text]:
    """Both sides of every pair, in order. Raises BadInput when there is none, or none can be read."""
    if not len(pairs):
        raise BadInput("There are no usable pairs; add at least one with two different sides.")
    texts = []
    for row, pair in enumerate(pairs.pairs):
        for positive, completion in ((True, pair.positive), (False, pair.negative)):
            texts.append(_text(turns, pair, row, positive, completion, position, chat))
    return texts


def _text(
    turns: Turns, pair: Pair, row: int, positive: bool, completion: str, position: Position,
    chat: bool | None,
) -> Text:  # fmt: skip
    use_chat = turns.has_template if chat is None else chat
    prompt = as_messages(pair.prompt)
    ids = turns.encode(prompt, chat=use_chat).ids
    after = prompt if isinstance(prompt, str) else ""
    more = turns.encode_completion(completion, chat=use_chat, after=after)
    read = positions_read(position, completion, turns.pieces(more))
    return Text(row, positive, ids + more, tuple(len(ids) + i for i in read))


def as_messages(prompt: object) -> str | list[dict[str, str]]:
    """A pair's prompt in the form `Turns.encode` takes."""
    if isinstance(prompt, str):
        return prompt
    return [{"role": m.role, "content": m.content} for m in prompt]  # type: ignore[attr-defined]


def _key(engine: Engine, text: Text, position: Position) -> str:
    placed = engine.placement
    return canonical_key(
        [engine.name, placed.dtype, engine.dictionary.identity.sha256, engine.hook_name, position,
         OFTEN, SINK_NORM_MULTIPLE, list(text.ids), list(text.read)]
    )  # fmt: skip


def batches(texts: Sequence[Text]) -> Iterator[list[Text]]:
    """Texts of similar length together, about `_TOKENS_PER_BATCH` tokens at a time."""
    batch: list[Text] = []
    for text in texts:
        if batch and (len(batch) + 1) * len(text.ids) > _TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


def padded(texts: Sequence[Text]) -> Int[Tensor, "text pos"]:
    """Their ids, filled up on the right, where what stands before attends to nothing of it."""
    longest = max(len(text.ids) for text in texts)
    return torch.tensor([[*text.ids, *[0] * (longest - len(text.ids))] for text in texts])


@torch.inference_mode()
def _code(engine: Engine, batch: Sequence[Text], position: Position) -> list[Row]:
    tokens = padded(batch).to(engine.model.cfg.device)
    activations = activations_at(engine.model, engine.hook_name, tokens)
    sinks = is_sink(activations, engine.typical_norm).cpu()
    return [_row(engine, text, activations[i], sinks[i], position) for i, text in enumerate(batch)]


def _row(
    engine: Engine, text: Text, activations: Float[Tensor, "pos d_in"], sinks: Tensor, position: Position
) -> Row:
    special = [p for p in text.read if text.ids[p] in engine.turns.special_ids]
    sunk = [p for p in text.read if bool(sinks[p]) and p not in special]
    kept = [p for p in text.read if p not in special and p not in sunk]
    if not kept:
        none = np.zeros(0, np.int32)
        return Row(none, np.zeros(0, np.float32), none, len(special), len(sunk))
    per_token = engine.dictionary.encode(activations[kept])
    codes = per_token.mean(dim=0).cpu()
    if position == "completion-often":
        codes[((per_token > 0).float().mean(dim=0) < OFTEN).cpu()] = 0
    latents = codes.nonzero().squeeze(-1)
    strongest = per_token[:, latents.to(per_token.device)].argmax(dim=0).tolist()
    peaks = np.array([text.ids[kept[i]] for i in strongest], np.int32)
    return Row(latents.numpy().astype(np.int32), codes[latents].numpy(), peaks, len(special), len(sunk))


def _assemble(rows: dict[Text, Row], n: int, d_sae: int) -> Collected:
    def side(positive: bool) -> tuple[SideCodes, np.ndarray]:
        chosen = sorted(((t.row, r) for t, r in rows.items() if t.positive == positive), key=lambda x: x[0])
        pair_of = np.repeat([i for i, _ in chosen], [len(r.latents) for _, r in chosen])
        latents, values, peaks = (
            np.concatenate([getattr(r, name) for _, r in chosen]) for name in ("latents", "values", "peaks")
        )
        return SideCodes(pair_of.astype(np.int32), latents, values, n, d_sae), peaks

    (positive, peaks_positive), (negative, peaks_negative) = side(True), side(False)
    return Collected(
        Codes(positive, negative),
        peaks_positive,
        peaks_negative,
        sum(row.special for row in rows.values()),
        sum(row.sinks for row in rows.values()),
    )
