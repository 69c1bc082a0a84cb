"""Where in a pair's text a latent fires, token by token: the evidence behind a row of the ranking."""

from collections.abc import Sequence
from dataclasses import dataclass

from sas_core.contrast.collect import as_messages
from sas_core.contrast.ranking import Ranking
from sas_core.contrast.table import prompt_text
from sas_core.steering.engine import Engine


@dataclass(frozen=True)
class ShadedText:
    """One side of one pair: its completion's tokens and the latent's value at each, 0 where excluded.

    `strength` is the value the ranking counted (the mean over the positions read); `excluded` counts
    special tokens and sinks among the tokens.
    """

    row: int
    positive: bool
    prompt: str
    pieces: tuple[str, ...]
    values: tuple[float, ...]
    strength: float
    excluded: int


def strongest_texts(
    engine: Engine,
    ranking: Ranking,
    latent: int,
    *,
    chat: bool | None = None,
    each: int = 3,
    session: str = "",
) -> tuple[tuple[ShadedText, ...], tuple[ShadedText, ...]]:
    """Up to `each` positive and `each` negative texts where the latent fires, strongest first.

    Runs the model on each of them under the queue's turn. Raises QueueFull, Cancelled.
    """
    rows = ranking.strongest_rows(latent, k=2 * len(ranking.pairs))
    chosen = [row for positive in (True, False) for row in [r for r in rows if r[1] == positive][:each]]
    shaded = _shade(engine, ranking, chosen, latent, chat, session) if chosen else []
    return (
        tuple(text for text in shaded if text.positive),
        tuple(text for text in shaded if not text.positive),
    )


def _shade(
    engine: Engine,
    ranking: Ranking,
    chosen: Sequence[tuple[int, bool, float]],
    latent: int,
    chat: bool | None,
    session: str,
) -> list[ShadedText]:
    with engine.turn(session) as ticket:
        while not ticket.wait(0.1):
            pass
        return [_shade_one(engine, ranking, row, latent, chat) for row in chosen]


def _shade_one(
    engine: Engine, ranking: Ranking, row: tuple[int, bool, float], latent: int, chat: bool | None
) -> ShadedText:
    index, positive, strength = row
    pair = ranking.pairs.pairs[index]
    turns = engine.turns
    use_chat = turns.has_template if chat is None else chat
    prompt = as_messages(pair.prompt)
    before = turns.encode(prompt, chat=use_chat).ids
    after = prompt if isinstance(prompt, str) else ""
    more = turns.encode_completion(pair.positive if positive else pair.negative, chat=use_chat, after=after)
    latents, excluded = engine.latents_of(before + more)
    values = latents[len(before) :, latent].masked_fill(excluded[len(before) :].to(latents.device), 0.0)
    return ShadedText(
        pair.row or index + 1, positive, prompt_text(pair), tuple(turns.pieces(more)),
        tuple(values.float().tolist()), strength, int(excluded[len(before) :].sum()),
    )  # fmt: skip
