"""A ranking as rows and columns: which latents to list, what became of each, and the pairs with their marks.

Plain lists and dicts, so that a page, a command and a test can read the same table. Knows no model: the
tokens a latent reads and writes are handed in as text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from sas_core.contrast.choice import Choice
from sas_core.contrast.pairs import Pair, PairSet, Problem
from sas_core.contrast.ranking import Ranking
from sas_core.contrast.select import least_count
from sas_core.contrast.statistics import Evidence

MOST_ROWS = 300

Fate = Literal["+", "\u2212", "shared", "left out", "below tau"]
Listing = Literal["kept", "above tau", "all"]
LISTINGS: tuple[Listing, ...] = ("kept", "above tau", "all")


def fates(ranking: Ranking, choice: Choice) -> list[Fate]:
    """What the choice makes of each latent of `ranking.evidence`, aligned with it.

    `+` and a minus sign: in the vector, by the sign of its value. `shared`: dropped because it reaches tau on
    both sides. `left out`: reaches tau, and is dropped by side or top-k.
    """
    evidence = ranking.evidence
    vector, _ = ranking.vector(choice)
    kept = dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
    enough = least_count(ranking.tally.n, choice.tau)
    positive = ranking.tally.count_pos[evidence.latents] >= enough
    negative = ranking.tally.count_neg[evidence.latents] >= enough
    return [
        _fate(kept.get(latent), bool(p), bool(n), choice.drop_shared)
        for latent, p, n in zip(evidence.latents.tolist(), positive, negative, strict=True)
    ]


def _fate(value: float | None, positive: bool, negative: bool, drop_shared: bool) -> Fate:
    if value is not None:
        return "+" if value > 0 else "\u2212"
    if positive and negative and drop_shared:
        return "shared"
    return "left out" if positive or negative else "below tau"


def ranked(
    ranking: Ranking, fate: Sequence[Fate], listing: Listing = "kept", most: int = MOST_ROWS
) -> Int64[np.ndarray, " rows"]:
    """Positions in `ranking.evidence` of the latents to list, strongest first, at most `most`.

    Strength is the size of the mean difference over pairs, zeros included; equal ones go by index.
    """
    wanted = {"kept": ("+", "\u2212"), "above tau": ("+", "\u2212", "shared", "left out")}.get(listing)
    at = np.array([i for i, f in enumerate(fate) if wanted is None or f in wanted], dtype=np.int64)
    order = np.argsort(-np.abs(ranking.evidence.difference[at]), kind="stable")
    return at[order][:most]


def latent_columns(
    evidence: Evidence,
    at: Sequence[int] | Int64[np.ndarray, " rows"],
    fate: Sequence[Fate],
    reads: Mapping[int, str],
    writes: Mapping[int, str],
) -> dict[str, list[Any]]:
    """The ranked table, column by column; `reads` and `writes` are texts by latent index.

    `freq` and `sign_agreement` are in percent of the pairs, `mean` is over non-zero entries in units of
    activation.
    """
    at = np.asarray(at, dtype=np.int64)
    latents = evidence.latents[at].tolist()
    numbers = {"freq_pos": 100, "freq_neg": 100, "auroc": 1, "q_value": 1, "difference": 1, "mean_pos": 1,
               "mean_neg": 1, "sign_agreement": 100, "p_value": 1}  # fmt: skip
    return {
        "latent": latents,
        "side": [fate[i] for i in at],
        "reads": [reads.get(latent, "") for latent in latents],
        "writes": [writes.get(latent, "") for latent in latents],
        **{name: (scale * getattr(evidence, name)[at]).tolist() for name, scale in numbers.items()},
    }


def pair_columns(pairs: PairSet, problems: Sequence[Problem] = ()) -> dict[str, list[Any]]:
    """The pairs as read, in row order, with a mark for each row that something is wrong with.

    Rows that could not be read at all stand among them with their fault, so that nothing disappears.
    """
    marks = _marks(pairs.pairs)
    rows: list[tuple[int, str, str, str, str]] = [
        (pair.row or number, mark, prompt_text(pair), pair.positive, pair.negative)
        for number, (pair, mark) in enumerate(zip(pairs.pairs, marks, strict=True), 1)
    ]
    rows += [(p.row, "not read", p.message, "", "") for p in problems if p.row and p.severity == "error"]
    rows.sort(key=lambda row: row[0])
    names = ("row", "mark", "prompt", "positive", "negative")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def prompt_text(pair: Pair) -> str:
    """The prompt as one text; the turns of a chat stand under each other with their roles."""
    if isinstance(pair.prompt, str):
        return pair.prompt
    return "\n".join(f"{message.role}: {message.content}" for message in pair.prompt)


def _marks(pairs: Sequence[Pair]) -> list[str]:
    whole: set[object] = set()
    prompts: set[object] = set()
    marks = []
    for pair in pairs:
        key = (pair.prompt, pair.positive, pair.negative)
        if pair.positive.strip() == pair.negative.strip():
            marks.append("dropped: same sides")
        elif key in whole:
            marks.append("copy of a pair")
        else:
            marks.append("prompt again" if pair.prompt in prompts else "")
        whole.add(key)
        prompts.add(pair.prompt)
    return marks
