"""An atlas whose latents do what is known: they fire at words, endings, numbers, after a word, in a topic.

Written by plain SQL from dense activations (`tiny_atlas`), so that no code of the builder is in it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.atlas.tiny_atlas import brute_force, facts, write_atlas

SEA, ENDING, NUMBER, AFTER, TOPIC, WEAK, SPLIT, RARE, DEAD = range(9)
"""Fires at sea and ocean; words on -ing; numbers; after "the"; in texts about school; at "lamp", and weakly
at anything; at the two tokens of "harbour"; in three texts; never."""

RANDOM = range(9, 49)
"""Fire anywhere, so that nothing is to be said of them."""

DOCUMENTS, LENGTH, TOP_K = 240, 36, 20
SCHOOL = (" school", " teacher", " exam")
_SEA, _ON_ING = (" sea", " Ocean"), tuple(f" {stem}ing" for stem in ("walk", "talk", "sail", "read", "paint"))
_OWN = (*_SEA, *_ON_ING, *SCHOOL, " the", " lamp", " har", "bour")


@dataclass(frozen=True)
class Planted:
    """`ids[window]` index `pieces`; `codes[window]` is `[pos, latent]`. Every window is a document."""

    pieces: list[str]
    ids: list[list[int]]
    codes: list[np.ndarray]


def planted(seed: int = 0) -> Planted:
    """Texts of made-up words with the others strewn in, and what the latents do in them."""
    random = np.random.default_rng(seed)
    letters = np.array(list("bdfklmnprstvz")), np.array(list("aeiou"))
    filler = sorted({f" {''.join(random.choice(letters[i % 2]) for i in range(5))}" for _ in range(160)})
    numbers = [f" {n}" for n in range(100, 400)]
    pieces = [*_OWN, *filler, *numbers]
    texts = [_text(random, filler, numbers, number % 20 == 3) for number in range(DOCUMENTS)]
    codes = [_fires(random, text, number) for number, text in enumerate(texts)]
    at = {piece: number for number, piece in enumerate(pieces)}
    return Planted(pieces, [[at[piece] for piece in text] for text in texts], codes)


def _text(random: np.random.Generator, filler: list[str], numbers: list[str], of_school: bool) -> list[str]:
    text = random.choice(filler, LENGTH).tolist()
    places = iter((1 + random.permutation(LENGTH // 3 - 1) * 3).tolist())
    for some in (_SEA, _ON_ING, numbers, (" the",), (" lamp",), (" har",)):
        if random.random() < 0.3:
            text[next(places)] = str(random.choice(some))
    # a topic is what few texts are about
    if of_school:
        for word in SCHOOL:
            text[next(places)] = word
    for place, piece in enumerate(text):
        if piece == " har":
            text[place + 1] = "bour"
    return text


def _fires(random: np.random.Generator, text: list[str], number: int) -> np.ndarray:
    codes = np.zeros((LENGTH, RANDOM.stop), np.float32)
    strength = 5 + random.random(LENGTH)
    for place, piece in enumerate(text):
        for latent, here in (
            (SEA, piece in _SEA),
            (ENDING, piece in _ON_ING),
            (NUMBER, piece.strip().isdigit()),
            (AFTER, place > 0 and text[place - 1] == " the"),
            (WEAK, piece == " lamp"),
            (SPLIT, piece in (" har", "bour")),
            (RARE, number < 3 and place == 7),
        ):
            codes[place, latent] = strength[place] if here else 0.0
    if " school" in text:
        codes[random.integers(LENGTH), TOPIC] = 5.0
    if random.random() < 0.5:
        place = random.integers(LENGTH)
        codes[place, WEAK] = max(1.0, codes[place, WEAK])
    for latent in RANDOM:
        if random.random() < 0.3:
            codes[random.integers(LENGTH), latent] = 4 + random.random()
    return codes


def planted_atlas(path: Path, made: Planted | None = None) -> Path:
    """A finished atlas without automatic labels."""
    made = made or planted()
    parts = range(len(made.ids)), [0] * len(made.ids), [[] for _ in made.ids], made.codes
    expected = brute_force(made.ids, *parts, TOP_K, 0)
    about = facts(
        d_sae=RANDOM.stop, window=LENGTH, top_k=TOP_K, documents=len(made.ids), windows=len(made.ids)
    )
    return write_atlas(path, expected, made.pieces, about)
