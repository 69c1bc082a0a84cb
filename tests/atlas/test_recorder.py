"""Random readings, full of ties, through recorder and tables, against brute force from the dense activations.

The windows, batches and activations are made up here; the model only lends its tokenizer and weights.
"""

import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlite_utils.db import Database

from sas_core.atlas import recorder as recorder_module
from sas_core.atlas import state
from sas_core.atlas.finish import finish
from sas_core.atlas.firing import Fired
from sas_core.atlas.migrations import MIGRATIONS
from sas_core.atlas.recorder import Recorder
from sas_core.atlas.together import SAMPLED_WINDOWS
from sas_core.atlas.windows import Batch, Window, batches
from sas_core.model.presets import custom_preset, load_engine
from sas_core.steering.engine import Engine
from tests.atlas.table_rows import check_says, everything
from tests.atlas.tiny_atlas import Expected, brute_force, facts
from tests.helpers import build_dictionary


@dataclass(frozen=True, eq=False)
class Reading:
    """Windows with their dense activations `[pos, d_sae]` and sinks `[pos]`; zero where not counted."""

    windows: list[Window]
    activations: list[np.ndarray]
    sinks: list[np.ndarray]
    d_sae: int
    k: int
    seed: int

    def expected(self) -> Expected:
        excluded = [
            np.flatnonzero(~window.keep | sunk).tolist()
            for window, sunk in zip(self.windows, self.sinks, strict=True)
        ]
        return brute_force(
            [window.ids.tolist() for window in self.windows], [window.document for window in self.windows],
            [window.offset for window in self.windows], excluded, self.activations, self.k, self.seed,
        )  # fmt: skip


def made_up(seed: int, **chosen: Any) -> Reading:
    """Documents of any length, some empty and some alike, of few or many different tokens; or as chosen."""
    rng, dice = np.random.default_rng(seed), random.Random(seed)

    def draw(name: str, *options: Any) -> Any:
        drawn = dice.choice(options)
        return chosen.get(name, drawn)

    window, d_sae, k = draw("window", 8, 13, 40), draw("d_sae", 1, 2, 17, 17, 48, 48), draw("k", 1, 2, 6, 200)
    documents, tokens = draw("documents", *range(1, 61)), draw("tokens", 1, 2, 360)
    lengths = [dice.choice([0, 1, 5, window, 2 * window, 3 * window + 1]) for _ in range(documents)]
    texts = [rng.integers(0, tokens, n).astype(np.uint32) for n in lengths]
    texts += [text for text in texts if dice.random() < 0.3]
    windows = _cut(rng, texts, window)
    step, chance = draw("step", 0.25, 1.0, 1e-6), draw("chance", 0.0, 0.05, 0.3, 0.3, 1.0)
    dead = rng.random(d_sae) < draw("dead", 0.0, 0.5)
    sinks = [(rng.random(len(w.ids)) < 0.05) & w.keep for w in windows]
    activations = []
    for w, sunk in zip(windows, sinks, strict=True):
        shape = (len(w.ids), d_sae)
        values = np.ceil(rng.exponential(1.0, shape) / step) * step
        fires = (rng.random(shape) < chance) & ~dead & (w.keep & ~sunk)[:, None]
        activations.append(np.where(fires, values, 0.0).astype(np.float32))
    return Reading(windows, activations, sinks, d_sae, k, seed)


def plenty(seed: int, **chosen: Any) -> Reading:
    """One with many windows, ties, near duplicates and dead latents."""
    usual = {"d_sae": 17, "k": 4, "documents": 25, "tokens": 2, "step": 0.25, "chance": 0.1, "dead": 0.3}
    return made_up(seed, **{**usual, **chosen})


def _cut(rng: np.random.Generator, texts: list[np.ndarray], size: int) -> list[Window]:
    cut = []
    for document, text in enumerate(texts):
        for offset in range(0, len(text), size):
            ids = text[offset : offset + size]
            cut.append(Window(len(cut), document, offset, ids, rng.random(len(ids)) > 0.1))
    return cut


def feed(recorder: Recorder, reading: Reading, batch: Batch) -> None:
    rows, longest = batch.tokens.shape
    dense = np.zeros((rows, longest, reading.d_sae), np.float32)
    sinks = np.zeros((rows, longest), bool)
    for row, window in enumerate(batch.windows):
        dense[row, : len(window.ids)] = reading.activations[window.number]
        sinks[row, : len(window.ids)] = reading.sinks[window.number]
    latents, at, positions = (np.moveaxis(dense, -1, 0) > 0).nonzero()
    parts = (part.astype(np.int32) for part in (latents, at, positions))
    recorder.add(batch, Fired(*parts, dense[at, positions, latents]), sinks)


def record(reading: Reading, blocks: list[list[Window]], most_tokens: int = 60) -> Recorder:
    recorder = Recorder(reading.d_sae, reading.k, reading.seed)
    for block in blocks:
        for batch in batches(block, most_tokens):
            feed(recorder, reading, batch)
        recorder.end_block()
    return recorder


def blocks_of(windows: list[Window], size: int) -> list[list[Window]]:
    return [windows[i : i + size] for i in range(0, len(windows), size)]


def written(engine: Engine, recorder: Recorder, reading: Reading, path: Path) -> Path:
    dictionary = build_dictionary("jumprelu", d_sae=reading.d_sae)
    sized = Engine(engine.model, dictionary, engine.placement, engine.name)
    made = facts(sized, tokens_seen=recorder.counts.tokens_seen, top_k=reading.k, finished=None)
    with closing(sqlite3.connect(path)) as connection:
        db = Database(connection)
        MIGRATIONS.apply(db)
        for _ in finish(db, sized, made, recorder):
            pass
    return path


@pytest.fixture(scope="module")
def engine(llama_folder: Path, sae_folder: Path) -> Engine:
    return load_engine(custom_preset(str(llama_folder), sae_path=str(sae_folder)), device="cpu")


def pieces(engine: Engine) -> list[str]:
    return [engine.turns.tokenizer.decode([token]) for token in range(360)]


@pytest.mark.parametrize("seed", range(30))
def test_every_row_of_the_tables_equals_brute_force(engine, seed, tmp_path):
    reading = made_up(seed)
    recorder = record(reading, blocks_of(reading.windows, 7))
    expected = reading.expected()
    counts = recorder.counts
    assert (counts.tokens_read, counts.tokens_seen) == (expected.tokens_read, expected.tokens_seen)
    assert counts.windows == len(reading.windows)
    assert counts.sinks_excluded == sum(int(sunk.sum()) for sunk in reading.sinks)
    assert counts.tokens_seen + counts.special_excluded + counts.sinks_excluded == counts.tokens_read
    if not reading.windows:
        expected = Expected(0, 0, *_nothing(reading.d_sae), [], {})
    check_says(written(engine, recorder, reading, tmp_path / "a.db"), expected, pieces(engine))


def _nothing(d_sae: int) -> tuple[list, list]:
    silent = brute_force([[0]], [0], [0], [[0]], [np.zeros((1, d_sae))], 1, 0)
    return silent.latents, silent.contexts


def test_the_thirty_readings_hold_the_cases_they_are_for():
    readings = [made_up(seed) for seed in range(30)]
    expected = [reading.expected() for reading in readings if reading.windows]
    kinds = {row["density_class"] for one in expected for row in one.latents}
    assert kinds >= {"dead", "normal", "dense"}
    documents = [{window.document for window in reading.windows} for reading in readings]
    assert any(len(found) < max(found, default=-1) + 1 for found in documents), "an empty document"
    assert any(window.offset for reading in readings for window in reading.windows), "a long document"
    assert any(reading.k > len(reading.windows) for reading in readings)
    assert any(not a.any() and a.size for reading in readings for a in reading.activations), "a silent window"
    tied = Counter(
        (n, c["latent"], c["max"]) for n, one in enumerate(expected) for c in one.contexts if not c["band"]
    )
    assert sum(count > 1 for count in tied.values()) > 30, "ties among the strongest"
    firing = [[int((a > 0).any(axis=0).sum()) for a in reading.activations] for reading in readings]
    assert max(max(one, default=0) for one in firing) == 48, "every latent in one window"
    assert sum(sum(one) > 300 for one in firing) > 8 and sum(sum(one) == 0 for one in firing) > 2


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_windows_and_the_size_of_batches_and_blocks_change_nothing(engine, seed, tmp_path):
    """Not even the sums here, since those of multiples of a quarter are exact."""
    reading = plenty(seed)
    whole = everything(written(engine, record(reading, [reading.windows]), reading, tmp_path / "a.db"))
    assert len(whole["contexts"]) > 60
    for number, (size, most_tokens) in enumerate([(1, 1), (5, 100), (16, 40)]):
        windows = random.Random(seed).sample(reading.windows, len(reading.windows))
        recorder = record(reading, blocks_of(windows, size), most_tokens)
        assert everything(written(engine, recorder, reading, tmp_path / f"{number}.db")) == whole


def test_of_inexact_values_only_the_sums_depend_on_the_order_and_only_in_their_last_digits(engine, tmp_path):
    reading = plenty(0)
    rng = np.random.default_rng(0)
    # over many orders of magnitude, since sums of similar floats are exact in doubles
    wide = [(a * 10 ** rng.uniform(-9, 9, a.shape)).astype(np.float32) for a in reading.activations]
    reading = replace(reading, activations=wide)
    backwards = record(reading, blocks_of(reading.windows[::-1], 3), most_tokens=30)
    forwards = record(reading, [reading.windows])
    assert (backwards.tally.total != forwards.tally.total).any(), "else this shows nothing"
    for recorder, name in ((backwards, "b"), (forwards, "a")):
        path = written(engine, recorder, reading, tmp_path / f"{name}.db")
        check_says(path, reading.expected(), pieces(engine))


@pytest.mark.parametrize(
    "chosen", [{}, {"chance": 0.0}, {"k": 200, "step": 1e-6}, {"d_sae": 1, "window": 40}]
)
def test_a_state_saved_and_loaded_between_any_two_blocks_goes_on_to_the_same_end(engine, chosen, tmp_path):
    reading = plenty(1, **chosen)
    blocks = blocks_of(reading.windows, 9)
    assert len(blocks) > 3
    whole = everything(written(engine, record(reading, blocks), reading, tmp_path / "whole.db"))
    recorder = Recorder(reading.d_sae, reading.k, reading.seed)
    db = Database(tmp_path / "state.db")
    MIGRATIONS.apply(db)
    for block in blocks:
        for batch in batches(block, 60):
            feed(recorder, reading, batch)
        recorder.end_block()
        state.save(db, facts(finished=None), recorder.arrays())
        recorder = Recorder.restore(reading.d_sae, reading.k, reading.seed, state.load(db))
    db.close()
    assert everything(written(engine, recorder, reading, tmp_path / "again.db")) == whole


def test_a_state_larger_than_one_blob_is_put_together_again(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_LARGEST_BLOB", 50)
    reading = plenty(0)
    arrays = record(reading, [reading.windows]).arrays()
    db = Database(tmp_path / "state.db")
    MIGRATIONS.apply(db)
    state.save(db, facts(finished=None), {"old": np.ones(3)})
    state.save(db, facts(finished=None), arrays)
    assert db.table("state").count > len(arrays)
    loaded = state.load(db)
    db.close()
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype and np.array_equal(loaded[name], array), name


def test_what_is_kept_is_bounded_by_latents_and_contexts_however_long_the_text(monkeypatch):
    waiting, block = 20, 8
    monkeypatch.setattr(recorder_module, "_MOST_WINDOWS_WAITING", waiting)
    reading = plenty(0, documents=400, k=2, dead=0.0)
    most = 2 * reading.k * reading.d_sae
    assert len(reading.windows) > 5 * most
    recorder = Recorder(reading.d_sae, reading.k, reading.seed)
    for part in blocks_of(reading.windows, block):
        for batch in batches(part, 60):
            feed(recorder, reading, batch)
        recorder.end_block()
        assert len(recorder.windows) <= most + waiting
        assert len(recorder.traces) <= most + most / 4
        assert len(recorder.top.entries) <= most / 2 and len(recorder.sample.entries) <= most / 2


def test_co_firing_keeps_the_sampled_windows_and_no_more(engine, tmp_path):
    rng = np.random.default_rng(0)
    n = SAMPLED_WINDOWS * 2 + 700
    keep = np.ones(2, bool)
    windows = [Window(i, i, 0, np.array([i % 300, 1], np.uint32), keep) for i in range(n)]
    activations = [np.where(rng.random((2, 4)) < 0.2, 1.0, 0.0).astype(np.float32) for _ in windows]
    reading = Reading(windows, activations, [np.zeros(2, bool)] * n, 4, 2, 5)
    recorder = record(reading, blocks_of(windows, 500), most_tokens=400)
    expected = reading.expected()
    assert len(expected.cofiring) == SAMPLED_WINDOWS
    check_says(written(engine, recorder, reading, tmp_path / "a.db"), expected, pieces(engine))
