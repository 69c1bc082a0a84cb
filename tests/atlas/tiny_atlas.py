"""A small finished atlas by plain SQL, and by brute force what the file of any build must say.

Everything is computed from dense activations, one latent and one window after the other: slow and obvious.
Shares no code with the builder, not even the priorities.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlite_utils.db import Database

from sas_core.atlas import made_of
from sas_core.atlas.made_of import EDGES, MadeOf
from sas_core.atlas.migrations import MIGRATIONS

COFIRING_WINDOWS = 2_048
TEXTS = (
    "The sea was grey and the wind came over the sea from the north.",
    "A small ship crossed the sea at night, and nobody slept.",
    "She thanked him politely and asked for the café near the harbour.",
    "def add(a, b):\n    return a + b\n",
    "The ship, the sea and the café: three words of a song they did not know.",
    "He did not answer. He did not laugh. He did not even look up from his book.",
    "In winter the harbour freezes and the ships wait for the thaw.",
    "Rows of numbers: 1, 2, 3, 5, 8, 13, 21.",
)


@dataclass(frozen=True)
class Expected:
    """The rows of the tables, by column; blobs are still lists."""

    tokens_read: int
    tokens_seen: int
    latents: list[dict[str, Any]]
    contexts: list[dict[str, Any]]
    windows: list[dict[str, Any]]
    cofiring: dict[int, list[int]]


def brute_force(
    windows_ids: Sequence[Sequence[int]],
    documents: Sequence[int],
    offsets: Sequence[int],
    excluded: Sequence[Sequence[int]],
    activations: Sequence[np.ndarray],
    top_k: int,
    seed: int,
) -> Expected:
    """What an atlas says of these windows, numbered from 0; `activations[w]` is `[pos, d_sae]`.

    Positions in `excluded[w]` are not counted, whatever their activations are.
    """
    ids = [[int(token) for token in window] for window in windows_ids]
    out = [sorted({int(position) for position in positions}) for positions in excluded]
    codes = [np.asarray(a, np.float32)[: len(w)].copy() for a, w in zip(activations, ids, strict=True)]
    for dense, positions in zip(codes, out, strict=True):
        dense[positions] = 0.0
    read = sum(len(window) for window in ids)
    seen = read - sum(len(positions) for positions in out)
    latents, contexts = [], []
    for latent in range(codes[0].shape[1] if codes else 0):
        traces = [dense[:, latent] for dense in codes]
        bands = [_top(traces, ids, top_k), *_quarters(traces, top_k, seed, latent)]
        sampled = [window for band in bands[1:] for window in band]
        latents.append({"index": latent} | _statistics(traces, seen) | _token(traces, ids, out, sampled))
        contexts += [
            _context(latent, band, rank, window, traces[window])
            for band, chosen in enumerate(bands)
            for rank, window in enumerate(chosen)
        ]
    shown = sorted({row["window"] for row in contexts})
    stored = [
        {"id": w, "document": documents[w], "offset": offsets[w], "token_ids": ids[w], "excluded": out[w]}
        for w in shown
    ]
    return Expected(read, seen, latents, contexts, stored, _cofiring(codes, seed))


def _fires_in(traces: list[np.ndarray]) -> list[int]:
    return [window for window, trace in enumerate(traces) if (trace > 0).any()]


def _by_maximum(windows: list[int], traces: list[np.ndarray]) -> list[int]:
    return sorted(windows, key=lambda window: (-float(traces[window].max()), window))


def _top(traces: list[np.ndarray], ids: list[list[int]], k: int) -> list[int]:
    taken: set[tuple[int, ...]] = set()
    chosen: list[int] = []
    for window in _by_maximum(_fires_in(traces), traces):
        peak = int(traces[window].argmax())
        ending = tuple(ids[window][max(0, peak - 7) : peak + 1])
        if ending not in taken and len(chosen) < k:
            taken.add(ending)
            chosen.append(window)
    return chosen


def _quarters(traces: list[np.ndarray], k: int, seed: int, latent: int) -> list[list[int]]:
    drawn = sorted(_fires_in(traces), key=lambda window: slow_priority(seed, window, latent))[:k]
    return [part.tolist() for part in np.array_split(np.array(_by_maximum(drawn, traces), int), 4)]


def _statistics(traces: list[np.ndarray], seen: int) -> dict[str, Any]:
    values = [float(value) for trace in traces for value in trace if value > 0]
    histogram = [0] * (len(EDGES) - 1)
    for value in values:
        inside = [number for number in range(len(histogram)) if EDGES[number] <= value < EDGES[number + 1]]
        histogram[inside[0] if inside else (0 if value < EDGES[0] else -1)] += 1
    share = len(values) / max(seen, 1)
    kind = "dead" if not values else "rare" if share < 1e-4 else "dense" if share > 0.1 else "normal"
    return {
        "fired": len(values), "total": sum(values), "squares": sum(value**2 for value in values),
        "max": max(values, default=0.0), "mean": sum(values) / len(values) if values else None,
        "density_class": kind, "histogram": histogram,
    }  # fmt: skip


def _token(
    traces: list[np.ndarray], ids: list[list[int]], out: list[list[int]], sampled: list[int]
) -> dict[str, Any]:
    if not sampled:
        return {"token": None, "token_share": None, "token_phi": None}
    peaks = Counter(ids[window][int(traces[window].argmax())] for window in sampled)
    token = min(peaks, key=lambda one: (-peaks[one], one))
    table = Counter(
        (ids[window][position] == token, bool(traces[window][position] > 0))
        for window in sampled
        for position in range(len(ids[window]))
        if position not in out[window]
    )
    return {"token": token, "token_share": peaks[token] / len(sampled), "token_phi": _phi(table)}


def _phi(table: Counter) -> float | None:
    """From the textbook's two by two table; undefined when a row or a column of it is empty."""
    a, b, c, d = (table[key] for key in ((True, True), (True, False), (False, True), (False, False)))
    sides = (a + b) * (c + d) * (a + c) * (b + d)
    return (a * d - b * c) / sides**0.5 if sides else None


def _context(latent: int, band: int, rank: int, window: int, trace: np.ndarray) -> dict[str, Any]:
    positions = np.flatnonzero(trace > 0).tolist()
    return {
        "latent": latent, "band": band, "rank": rank, "window": window, "peak": int(trace.argmax()),
        "max": float(trace.max()), "positions": positions,
        "activations": [float(trace[position]) for position in positions],
    }  # fmt: skip


def _cofiring(codes: list[np.ndarray], seed: int) -> dict[int, list[int]]:
    drawn = sorted(range(len(codes)), key=lambda window: slow_splitmix64(seed * 2**40 + window))
    return {
        window: np.flatnonzero((codes[window] > 0).any(axis=0)).tolist()
        for window in sorted(drawn[:COFIRING_WINDOWS])
    }


def slow_splitmix64(x: int) -> int:
    z = (x + 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def slow_priority(seed: int, window: int, latent: int) -> int:
    return slow_splitmix64(slow_splitmix64(seed * 2**40 + window) ^ latent)


def index_words(expected: Expected, pieces: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Of each latent that fired the words at the peaks of its top contexts, and the texts around them."""
    windows = {row["id"]: [pieces[token] for token in row["token_ids"]] for row in expected.windows}
    found: dict[int, tuple[list[str], list[str]]] = {}
    for row in expected.contexts:
        if row["band"] == 0:
            first = max(0, row["peak"] - 10)
            around = windows[row["window"]][first : row["peak"] + 6]
            peaks, nearby = found.setdefault(row["latent"], ([], []))
            peaks.append(_word_at(around, row["peak"] - first))
            nearby.append("".join(around).replace("\n", " "))
    return {latent: ("\n".join(peaks), "\n".join(nearby)) for latent, (peaks, nearby) in found.items()}


def _word_at(tokens: Sequence[str], peak: int) -> str:
    """Tokens from the last one that starts like no word's middle, to before the next such one."""
    begins = [number for number, token in enumerate(tokens) if re.match(r"[\W_]", token) or not token]
    first = max((number for number in begins if number <= peak), default=0)
    end = min((number for number in begins if number > peak), default=len(tokens))
    return "".join(tokens[first:end]).strip()


@dataclass(frozen=True)
class Derived:
    """Per latent `(id, value)` lists: tokens written up and down, neighbours."""

    up: list[list[tuple[int, float]]]
    down: list[list[tuple[int, float]]]
    near: list[list[tuple[int, float]]]


def write_atlas(
    path: Path, expected: Expected, pieces: Sequence[str], made: MadeOf, derived: Derived | None = None
) -> Path:
    """Write the tables; `made` is completed with the counts and stays unfinished where it says so."""
    db = Database(path)
    MIGRATIONS.apply(db)
    run = db.conn.execute
    for row in expected.latents:
        lists = [getattr(derived, name)[row["index"]] if derived else None for name in ("up", "down", "near")]
        blobs = [blob for pairs in lists for blob in _blobs(pairs)]
        values = [*row.values()]
        values[7] = np.array(row["histogram"], "<u4").tobytes()
        run(f"INSERT INTO latents VALUES ({','.join('?' * 17)})", [*values, *blobs])
    for row in expected.contexts:
        *facts, positions, activations = row.values()
        blobs = [np.array(positions, "<u2").tobytes(), np.array(activations, "<f4").tobytes()]
        run("INSERT INTO contexts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [*facts, *blobs])
    for row in expected.windows:
        number, document, offset, ids, excluded = row.values()
        blobs = [np.array(ids, "<u4").tobytes(), np.array(excluded, "<u2").tobytes()]
        run("INSERT INTO windows VALUES (?, ?, ?, ?, ?)", [number, document, offset, *blobs])
    for window, latents in expected.cofiring.items():
        run("INSERT INTO cofiring VALUES (?, ?)", [window, np.array(latents, "<u4").tobytes()])
    for token, piece in enumerate(pieces):
        run("INSERT INTO vocabulary VALUES (?, ?)", [token, piece])
    for latent, words in index_words(expected, pieces).items():
        run("INSERT INTO latents_fts (rowid, peaks, nearby) VALUES (?, ?, ?)", [latent, *words])
    counted = {"tokens_read": expected.tokens_read, "tokens_seen": expected.tokens_seen}
    made_of.write(db, replace(made, **counted))
    db.conn.commit()
    db.close()
    return path


def _blobs(pairs: list[tuple[int, float]] | None) -> tuple[bytes | None, bytes | None]:
    if pairs is None:
        return None, None
    return (
        np.array([number for number, _ in pairs], "<u4").tobytes(),
        np.array([value for _, value in pairs], "<f4").tobytes(),
    )


@dataclass(frozen=True)
class Tiny:
    """A made-up reading of some texts: every kind of latent is among the first."""

    ids: list[list[int]]
    documents: list[int]
    offsets: list[int]
    excluded: list[list[int]]
    activations: list[np.ndarray]
    pieces: list[str]
    derived: Derived
    top_k: int
    seed: int
    expected: Expected = field(init=False)

    def __post_init__(self) -> None:
        parts = (self.ids, self.documents, self.offsets, self.excluded, self.activations)
        object.__setattr__(self, "expected", brute_force(*parts, self.top_k, self.seed))


DEAD, DENSE, ONE_TOKEN, ONE_WINDOW = range(4)
"""What the first latents of `tiny` do: never fire, fire nearly everywhere, at one token, in one window."""


def tiny(
    texts: Sequence[str] = TEXTS, *, d_sae: int = 48, window: int = 12, top_k: int = 8, seed: int = 0,
    tokenizer: Any = None,
) -> Tiny:  # fmt: skip
    """Read `texts` in windows with seeded random activations, many of them equal, the first one excluded.

    Without a tokenizer (one of transformers') a token is a word with the space before it, or a sign.
    """
    random = np.random.default_rng(seed)
    pieces, read = _own_tokens(texts) if tokenizer is None else _tokens_of(tokenizer, texts)
    ids, documents, offsets = [], [], []
    for document, tokens in enumerate(read):
        for offset in range(0, len(tokens), window):
            ids.append(tokens[offset : offset + window])
            documents.append(document)
            offsets.append(offset)
    activations = [_made_up(random, window_ids, number, d_sae, ids) for number, window_ids in enumerate(ids)]
    excluded = [[0] for _ in ids]
    derived = _derived(random, d_sae, len(pieces))
    return Tiny(ids, documents, offsets, excluded, activations, pieces, derived, top_k, seed)


def _own_tokens(texts: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    split = [re.findall(r"\s?\w+|\s|[^\w\s]", text) for text in texts]
    pieces = sorted({piece for text in split for piece in text})
    return pieces, [[pieces.index(piece) for piece in text] for text in split]


def _tokens_of(tokenizer: Any, texts: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    pieces = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    return pieces, [tokenizer.encode(text, add_special_tokens=False) for text in texts]


def _made_up(
    random: np.random.Generator, window_ids: list[int], number: int, d_sae: int, ids: list[list[int]]
) -> np.ndarray:
    shape = (len(window_ids), d_sae)
    chance = np.linspace(0.02, 0.3, d_sae)
    # quarters, so that many are equal
    codes = np.where(random.random(shape) < chance, np.ceil(random.exponential(4.0, shape) * 4) / 4, 0.0)
    codes[:, DEAD] = 0.0
    codes[:, DENSE] = 0.25 + random.random(len(window_ids))
    commonest = Counter(token for window in ids for token in window[1:]).most_common(1)[0][0]
    codes[:, ONE_TOKEN] = [2.5 if token == commonest else 0.0 for token in window_ids]
    codes[:, ONE_WINDOW] = 3.0 if number == len(ids) // 2 else 0.0
    return codes.astype(np.float32)


def _derived(random: np.random.Generator, d_sae: int, d_vocab: int) -> Derived:
    W_dec, W_U = random.normal(size=(d_sae, 8)), random.normal(size=(8, d_vocab))
    logits = W_dec @ W_U
    rows = W_dec / np.linalg.norm(W_dec, axis=1, keepdims=True)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    return Derived(_largest(logits, 20), [[(i, -v) for i, v in row] for row in _largest(-logits, 20)],
                   _largest(cosines, min(10, d_sae - 1)))  # fmt: skip


def _largest(scores: np.ndarray, k: int) -> list[list[tuple[int, float]]]:
    return [
        [(int(i), float(np.float32(row[i]))) for i in np.argsort(-row, kind="stable")[:k]] for row in scores
    ]


def facts(engine: Any = None, **others: Any) -> MadeOf:
    """What a tiny atlas is made of: of `engine`'s model and SAE where one is given."""
    of_engine: dict[str, Any] = {}
    if engine is not None:
        identity = engine.dictionary.identity
        of_engine = {
            "model": engine.name, "sae_sha256": identity.sha256, "hook_name": identity.hook_name,
            "d_sae": identity.d_sae, "neuronpedia_id": identity.neuronpedia_id,
        }  # fmt: skip
    plain = {
        "model": "tiny-llama", "revision": None, "dtype": "float32", "template_sha256": None,
        "sae_sha256": "a" * 64, "sae_name": "tiny", "hook_name": "blocks.1.hook_resid_post", "d_sae": 48,
        "neuronpedia_id": None, "corpus": "tiny.jsonl", "corpus_sha256": "c" * 64, "text_field": None,
        "limit_tokens": None, "window": 12, "top_k": 8, "seed": 0, "documents": len(TEXTS),
        "started": "2026-01-31T11:59:00+00:00", "finished": "2026-01-31T12:00:00+00:00",
    }  # fmt: skip
    return MadeOf(**{**plain, **of_engine, **others})


def tiny_atlas(
    path: Path, texts: Sequence[str] = TEXTS, *, engine: Any = None, seed: int = 0, derived: bool = True,
    **others: Any,
) -> Path:  # fmt: skip
    """A finished atlas at `path` (its folder is made); with `engine` one that fits it, in its own tokens.

    `others` replace facts: `finished=None` leaves it unfinished, `sae_sha256=...` makes it another's.
    """
    made = facts(engine, **{"seed": seed, "documents": len(texts), **others})
    tokenizer = None if engine is None else engine.turns.tokenizer
    read = tiny(texts, d_sae=made.d_sae, window=made.window, top_k=made.top_k, seed=seed, tokenizer=tokenizer)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = replace(made, windows=len(read.ids), special_excluded=len(read.ids))
    return write_atlas(path, read.expected, read.pieces, made, read.derived if derived else None)
