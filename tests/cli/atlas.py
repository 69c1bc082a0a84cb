"""What `atlas` commands must print of a tiny atlas, by brute force and by the engine."""

import json
from typing import Any

import numpy as np
import pytest

from sas_core.atlas.made_of import EDGES
from sas_core.atlas.types import BANDS
from sas_core.steering.engine import Engine
from tests.atlas.tiny_atlas import Tiny
from tests.cli.conftest import Ran

SOME = 17
TEXT = "the sea is warm in early autumn"
AGAINST = "the train was late this morning"


def strict(ran: Ran) -> Any:
    """The one document on stdout; NaN and infinity are no JSON."""
    assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 1), ran.err
    return json.loads(ran.out, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


def described(read: Tiny, index: int) -> dict[str, Any]:
    """What `show --json` has to print, from the brute-force rows."""
    latent = read.expected.latents[index]
    windows = {row["id"]: row for row in read.expected.windows}
    contexts = [
        {
            "band": BANDS[row["band"]],
            "max": row["max"],
            "peak": row["peak"],
            "token_ids": windows[row["window"]]["token_ids"],
            "tokens": [read.pieces[token] for token in windows[row["window"]]["token_ids"]],
            "activations": dense(row, len(windows[row["window"]]["token_ids"])),
            "document": windows[row["window"]]["document"],
            "offset": windows[row["window"]]["offset"],
        }
        for row in read.expected.contexts
        if row["latent"] == index
    ]
    up, down = (
        [[read.pieces[token], value] for token, value in lists[index]]
        for lists in (read.derived.up, read.derived.down)
    )
    return {
        "index": index,
        "label": None,
        "automatic_label": None,
        "fired": latent["fired"],
        "tokens_seen": read.expected.tokens_seen,
        "density": latent["fired"] / read.expected.tokens_seen,
        "max": latent["max"],
        "mean_nonzero": latent["mean"],
        "histogram": {"edges": list(EDGES), "counts": latent["histogram"]},
        "contexts": contexts,
        "logits": {"positive": up, "negative": down},
        "neighbours": [list(pair) for pair in read.derived.near[index]],
    }


def dense(row: dict[str, Any], length: int) -> list[float]:
    values = [0.0] * length
    for position, activation in zip(row["positions"], row["activations"], strict=True):
        values[position] = activation
    return values


def strongest(engine: Engine, text: str, *, mean: bool = False) -> np.ndarray:
    """Each latent's value on a text, by the engine's own dense codes."""
    with engine.turn() as ticket:
        assert ticket.wait(5)
        latents, excluded = engine.latents_of(engine.turns.encode(text, chat=False).ids)
    counted = latents[~excluded].numpy()
    return counted.mean(axis=0) if mean else counted.max(axis=0)
