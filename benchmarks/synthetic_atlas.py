"""A large atlas of made-up numbers, written straight into its tables: what reading costs depends on sizes.

Every latent that fires has `k` top and `k` sampled contexts; what the word index says of a latent are words
of its contexts, which follow Zipf's law. Written with the indices of `MIGRATIONS`, as a build leaves it.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from sqlite_utils.db import Database

from sas_core.atlas import made_of
from sas_core.atlas.made_of import EDGES, MadeOf
from sas_core.atlas.migrations import MIGRATIONS

WINDOW = 128
_TOKENS_SEEN = 100_000_000
_DEAD_SHARE, _TYPICAL_DENSITY = 0.05, 2e-4
_WRITTEN, _NEAR = 20, 10
_BEFORE, _AFTER = 10, 6
_TOGETHER = 2_048
_CHUNK = 50_000
_STEP_LATENT, _STEP_RANK = 7_919, 104_729
"""Primes: the windows of a latent's contexts lie scattered over the table, as real ones do."""


@dataclass(frozen=True)
class Sizes:
    """How large the atlas is; `k` top and `k` sampled contexts a latent, `fire_together` latents a window."""

    latents: int
    k: int = 20
    windows: int = 100_000
    vocabulary: int = 32_768
    fire_together: int = 2_000


def words(count: int) -> list[str]:
    """Distinct, pronounceable, short ones first."""
    syllables = ["".join(pair) for pair in product("bdfgklmnprstvz", "aeiou")]
    found = [a + b for a, b in product(syllables, syllables)]
    found += [a + b + c for a, b, c in product(syllables[:40], syllables[:40], syllables[:40])]
    return found[:count]


def write_atlas(path: Path, sizes: Sizes, seed: int = 0) -> None:
    """Write a finished atlas of `sizes` at `path`, which must not exist."""
    random = np.random.default_rng(seed)
    pieces = [f" {word}" for word in words(sizes.vocabulary)]
    with closing(Database(path)) as db:
        # a power cut costs a temporary file, no more
        db.conn.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000"
        )
        MIGRATIONS.apply(db)
        db.conn.executemany("INSERT INTO vocabulary VALUES (?, ?)", enumerate(pieces))
        tokens, peaks = _windows(db, random, sizes)
        with _indices_last(db):
            fired = _latents(db, random, sizes)
        _contexts(db, random, sizes, peaks)
        _index_words(db, sizes, fired, *_phrases(tokens, peaks, pieces))
        _cofiring(db, random, sizes)
        made_of.write(db, _facts(sizes, seed))
        db.conn.commit()


@contextmanager
def _indices_last(db: Database) -> Iterator[None]:
    """Without the indices of the latents during the block: made at once they are made faster."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'latents'"
    indices = db.execute(query).fetchall()
    for name, _ in indices:
        db.execute(f'DROP INDEX "{name}"')
    yield
    for _, sql in indices:
        db.execute(sql)


def _facts(sizes: Sizes, seed: int) -> MadeOf:
    made = MadeOf(
        model="synthetic", revision=None, dtype="float32", template_sha256=None, sae_sha256="0" * 64,
        sae_name="synthetic", hook_name="none", d_sae=sizes.latents, neuronpedia_id=None, corpus="synthetic",
        corpus_sha256="0" * 64, text_field=None, limit_tokens=None, window=WINDOW, top_k=sizes.k, seed=seed,
    )  # fmt: skip
    return replace(
        made, tokens_seen=_TOKENS_SEEN, tokens_read=_TOKENS_SEEN, windows=sizes.windows,
        documents=sizes.windows, finished="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def _windows(db: Database, random: np.random.Generator, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """Token ids `[window, pos]` by Zipf's law, and where each window's peak is."""
    chance = 1.0 / np.arange(1, sizes.vocabulary + 1)
    edges = np.cumsum(chance / chance.sum())
    tokens = (
        np.searchsorted(edges, random.random((sizes.windows, WINDOW)))
        .clip(0, sizes.vocabulary - 1)
        .astype("<u4")
    )
    peaks = random.integers(1, WINDOW, sizes.windows)
    excluded = np.zeros(1, "<u2").tobytes()
    db.conn.executemany(
        "INSERT INTO windows VALUES (?, ?, 0, ?, ?)",
        ((number, number, ids.tobytes(), excluded) for number, ids in enumerate(tokens)),
    )
    return tokens, peaks


def _latents(db: Database, random: np.random.Generator, sizes: Sizes) -> np.ndarray:
    """One row a latent; returns how often each fired."""
    n = sizes.latents
    fired = (
        np.exp(random.normal(np.log(2e-4 * _TOKENS_SEEN), 2.0, n))
        .clip(1, 0.9 * _TOKENS_SEEN)
        .astype(np.int64)
    )
    fired[random.random(n) < _DEAD_SHARE] = 0
    mean = random.lognormal(1.0, 0.6, n).astype(np.float32).astype(float)
    highest = mean * (1.0 + random.random(n) * 9.0)
    classes = _facts(sizes, 0)
    for start in range(0, n, _CHUNK):
        rows = range(start, min(n, start + _CHUNK))
        ids = random.integers(0, sizes.vocabulary, (len(rows), 2, _WRITTEN)).astype("<u4")
        logits = -np.sort(-random.random((len(rows), 2, _WRITTEN)).astype("<f4"))
        near = random.integers(0, n, (len(rows), _NEAR)).astype("<u4")
        cosines = -np.sort(-random.random((len(rows), _NEAR)).astype("<f4"))
        bins = random.integers(0, 1_000, (len(rows), len(EDGES) - 1)).astype("<u4")
        shares = random.random(len(rows))
        db.conn.executemany(
            f"INSERT INTO latents VALUES ({','.join('?' * 17)})",
            (
                (i, int(fired[i]), mean[i] * fired[i], 2.0 * mean[i] ** 2 * fired[i],
                 highest[i] if fired[i] else 0.0, mean[i] if fired[i] else None,
                 classes.density_class(int(fired[i])), bins[at].tobytes(),
                 int(ids[at, 0, 0]) if fired[i] else None, shares[at] if fired[i] else None,
                 shares[at] if fired[i] else None, ids[at, 0].tobytes(), logits[at, 0].tobytes(),
                 ids[at, 1].tobytes(), (-logits[at, 1]).tobytes(), near[at].tobytes(), cosines[at].tobytes())
                for at, i in enumerate(rows)
            ),
        )  # fmt: skip
    return fired


def _contexts(db: Database, random: np.random.Generator, sizes: Sizes, peaks: np.ndarray) -> None:
    """`k` top contexts and `k` sampled ones of every latent that fires; joined in SQL, which is fast."""
    db.execute("CREATE TEMP TABLE shape (window INTEGER PRIMARY KEY, peak, max, positions, activations)")
    db.execute("CREATE TEMP TABLE slot (n INTEGER PRIMARY KEY, band, rank)")
    db.conn.executemany("INSERT INTO shape VALUES (?, ?, ?, ?, ?)", _shapes(random, peaks))
    quarters = np.array_split(np.arange(sizes.k), 4)
    slots = [(0, rank) for rank in range(sizes.k)]
    slots += [(band + 1, rank) for band, part in enumerate(quarters) for rank in range(len(part))]
    db.conn.executemany("INSERT INTO slot VALUES (?, ?, ?)", ((n, *slot) for n, slot in enumerate(slots)))
    db.execute(
        f"""INSERT INTO contexts
            SELECT l."index", s.band, s.rank, w.window, w.peak, w.max, w.positions, w.activations
            FROM latents l CROSS JOIN slot s CROSS JOIN shape w
            ON w.window = (l."index" * {_STEP_LATENT} + s.n * {_STEP_RANK}) % {sizes.windows}
            WHERE l.fired > 0 ORDER BY l."index", s.n"""
    )


def _shapes(random: np.random.Generator, peaks: np.ndarray) -> list[tuple[int, int, float, bytes, bytes]]:
    found = []
    for window, peak in enumerate(peaks.tolist()):
        others = random.integers(1, WINDOW, random.integers(0, 8))
        at = np.unique(np.append(others, peak)).astype("<u2")
        values = random.random(len(at)).astype("<f4")
        values[at == peak] = 2.0
        found.append((window, peak, 2.0, at.tobytes(), values.tobytes()))
    return found


def _phrases(tokens: np.ndarray, peaks: np.ndarray, pieces: list[str]) -> tuple[list[str], list[str]]:
    """Of each window the word at its peak and the text around it."""
    texts = [
        "".join(pieces[token] for token in ids[max(0, peak - _BEFORE) : peak + _AFTER].tolist())
        for ids, peak in zip(tokens, peaks.tolist(), strict=True)
    ]
    return [pieces[token].strip() for token in tokens[np.arange(len(peaks)), peaks].tolist()], texts


def _index_words(db: Database, sizes: Sizes, fired: np.ndarray, held: list[str], texts: list[str]) -> None:
    ranks = np.arange(sizes.k) * _STEP_RANK

    def rows() -> Iterator[tuple[int, str, str]]:
        for latent in np.flatnonzero(fired).tolist():
            at = ((latent * _STEP_LATENT + ranks) % sizes.windows).tolist()
            yield latent, "\n".join([held[w] for w in at]), "\n".join([texts[w] for w in at])

    db.conn.executemany("INSERT INTO latents_fts (rowid, peaks, nearby) VALUES (?, ?, ?)", rows())


def _cofiring(db: Database, random: np.random.Generator, sizes: Sizes) -> None:
    most = min(sizes.fire_together, sizes.latents)
    for window in range(min(_TOGETHER, sizes.windows)):
        latents = np.unique(random.integers(0, sizes.latents, most)).astype("<u4")
        db.execute("INSERT INTO cofiring VALUES (?, ?)", [window, latents.tobytes()])
