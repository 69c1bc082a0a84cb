"""The last step of a build: from the recorder's state to the tables that are read."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from sqlite_utils.db import Database

from sas_core.atlas import made_of, state
from sas_core.atlas.association import Association, around_peaks, associate
from sas_core.atlas.autolabel import make
from sas_core.atlas.best import Entries
from sas_core.atlas.derive import Derived, affordable, derive
from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.recorder import Recorder
from sas_core.steering.engine import Engine

QUARTERS = 4
_BETWEEN_REPORTS = 256
_COLUMNS = 17
_WRITING = 0.5
"""Share of the progress that is told for the tables; the rest is for the automatic labels."""


def finish(db: Database, engine: Engine, made: MadeOf, recorder: Recorder) -> Iterator[float]:
    """Write all tables and drop the state in one transaction, yielding the share that is done.

    A kill, or closing the generator, leaves the state; the end leaves a whole atlas. The model does not
    run: its weights are only read, so no turn is needed.
    """
    pieces = vocabulary(engine)
    recorder.settle()
    with db.atomic():
        for table in ("latents", "contexts", "windows", "cofiring", "vocabulary"):
            db.execute(f"DELETE FROM {table}")
        db.conn.executemany("INSERT INTO vocabulary VALUES (?, ?)", enumerate(pieces))
        db.conn.executemany("INSERT INTO windows VALUES (?, ?, ?, ?, ?)", _window_rows(recorder))
        together = recorder.together.windows()
        db.conn.executemany(
            "INSERT INTO cofiring VALUES (?, ?)", ((n, x.tobytes()) for n, x in together.items())
        )
        for share in _write_latents(db, made, recorder, _derived(engine, recorder.d_sae), pieces):
            yield _WRITING * share
        if make.affordable(made):
            for share in make.label_all(db, made):
                yield _WRITING + (1 - _WRITING) * share
        state.clear(db)
        made_of.write(db, replace(made, finished=datetime.now(UTC).isoformat(timespec="seconds")))
    # the atlas is whole without this, which is refused while somebody reads
    with suppress(sqlite3.OperationalError):
        # one file, readable where nothing may be written beside it
        db.disable_wal()
        db.vacuum()


def vocabulary(engine: Engine) -> list[str]:
    """Every token id as text."""
    # a model's table may be longer than its tokenizer's list, and the logit lens knows all of it
    return engine.turns.pieces(range(max(len(engine.turns.tokenizer), engine.model.cfg.d_vocab)))


def _derived(engine: Engine, d_sae: int) -> Iterator[Derived | None]:
    if affordable(engine):
        yield from derive(engine, range(d_sae))
    else:
        yield from (None for _ in range(d_sae))


def _window_rows(recorder: Recorder) -> Iterator[tuple[object, ...]]:
    for number, window in sorted(recorder.windows.items()):
        yield (
            number, window.document, window.offset, window.ids.astype("<u4").tobytes(),
            window.excluded.astype("<u2").tobytes(),
        )  # fmt: skip


def _write_latents(
    db: Database, made: MadeOf, recorder: Recorder, derived: Iterator[Derived | None], pieces: Sequence[str]
) -> Iterator[float]:
    top, sample = recorder.top.ranked(), recorder.sample.ranked()
    tops, samples = _bounds(top, recorder.d_sae), _bounds(sample, recorder.d_sae)
    blanks = ",".join("?" * _COLUMNS)
    for latent, follows in enumerate(derived):
        if latent % _BETWEEN_REPORTS == 0:
            yield latent / recorder.d_sae
        mine, drawn = np.arange(*tops[latent]), _strongest_first(sample, np.arange(*samples[latent]))
        found = associate(recorder, sample, drawn)
        row = _latent_row(made, recorder, latent, found, follows)
        db.execute(f"INSERT INTO latents VALUES ({blanks})", row)
        bands = [mine, *np.array_split(drawn, QUARTERS)]
        db.conn.executemany(
            "INSERT INTO contexts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                _context_row(recorder, latent, band, rank, top if band == 0 else sample, at)
                for band, rows in enumerate(bands)
                for rank, at in enumerate(rows.tolist())
            ],
        )
        if len(mine):
            peaks, nearby = around_peaks(recorder, top, mine, pieces)
            db.execute(
                "INSERT INTO latents_fts (rowid, peaks, nearby) VALUES (?, ?, ?)", [latent, peaks, nearby]
            )


def _bounds(entries: Entries, d_sae: int) -> list[tuple[int, int]]:
    edges = np.searchsorted(entries.latent, np.arange(d_sae + 1))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _strongest_first(entries: Entries, rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort((entries.window[rows], -entries.maximum[rows]))]


def _latent_row(
    made: MadeOf, recorder: Recorder, latent: int, found: Association | None, derived: Derived | None
) -> list[object]:
    tally = recorder.tally
    fired = int(tally.fired[latent])
    total = float(tally.total[latent])
    token = [found.token, found.share, found.phi] if found else [None, None, None]
    lists = [derived.up, derived.down, derived.near] if derived else [None, None, None]
    return [
        latent, fired, total, float(tally.squares[latent]), float(tally.maximum[latent]),
        total / fired if fired else None, made.density_class(fired), tally.histogram[latent].tobytes(),
        *token, *(blob for pairs in lists for blob in _blobs(pairs)),
    ]  # fmt: skip


def _blobs(pairs: Iterable[tuple[int, float]] | None) -> tuple[bytes | None, bytes | None]:
    if pairs is None:
        return None, None
    ids, values = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(ids, "<u4").tobytes(), np.array(values, "<f4").tobytes()


def _context_row(
    recorder: Recorder, latent: int, band: int, rank: int, entries: Entries, at: int
) -> tuple[object, ...]:
    positions, values = recorder.traces.get(int(entries.trace[at]))
    return (
        latent, band, rank, int(entries.window[at]), int(entries.peak[at]), float(entries.maximum[at]),
        positions.astype("<u2").tobytes(), values.astype("<f4").tobytes(),
    )  # fmt: skip
