"""What the file of a whole build of a tiny model says, against dense activations."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from sas_core.atlas import firing
from sas_core.atlas.autolabel.make import relabel
from sas_core.atlas.build import BuildSpec, build
from sas_core.atlas.store import read_made_of
from sas_core.atlas.windows import BLOCK
from sas_core.model.dictionary import Dictionary
from sas_core.model.hooked import activations_at
from sas_core.model.presets import custom_preset, load_engine
from sas_core.steering.engine import Engine
from tests.atlas.building import (
    SEED,
    TEXTS,
    TOP_K,
    WINDOW,
    cut,
    encode_text,
    expect,
    finished,
    pieces,
    with_dictionary,
)
from tests.atlas.table_rows import check_says, everything
from tests.helpers import build_dictionary, build_sae, random_llama, save_chat_tokenizer


@pytest.fixture
def sinking(engine) -> Engine:
    """Some, not all, of the texts' tokens count as attention sinks."""
    norms = activations_at(engine.model, engine.hook_name, torch.tensor([encode_text(engine, TEXTS[0])]))
    engine.typical_norm = float(norms[0].norm(dim=-1).quantile(0.9)) / 3
    return engine


def derived_rows(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(
            'SELECT up_ids, up, down_ids, down, near_ids, near FROM latents ORDER BY "index"'
        ).fetchall()


def test_everything_the_file_says_equals_brute_force_from_dense_activations(sinking, rows, spec, tmp_path):
    path = tmp_path / "a.db"
    last = finished(sinking, spec, path)
    windows = cut(sinking, rows)
    expected = expect(sinking, windows)
    check_says(path, expected, pieces(sinking))

    made = read_made_of(path)
    special = sum(int((~w.keep).sum()) for w in windows)
    excluded = expected.tokens_read - expected.tokens_seen
    assert (made.tokens_read, made.tokens_seen) == (expected.tokens_read, expected.tokens_seen)
    assert (made.special_excluded, made.sinks_excluded) == (special, excluded - special)
    assert special > 20 and made.sinks_excluded > 20
    assert (made.documents, made.documents_empty, made.windows) == (len(rows), 2, len(windows))
    assert len(windows) > 4 * BLOCK
    assert (made.model, made.sae_sha256) == (sinking.name, sinking.dictionary.identity.sha256)
    assert made.finished and last.stage == "finishing" and last.tokens == made.tokens_read
    made.check(sinking)


def test_the_vocabulary_and_what_follows_from_the_weights_are_in_the_file(engine, spec, tmp_path):
    from sas_core.atlas.derive import derive

    path = tmp_path / "a.db"
    finished(engine, spec, path)
    with closing(sqlite3.connect(path)) as db:
        assert [row[0] for row in db.execute("SELECT piece FROM vocabulary ORDER BY id")] == pieces(engine)
        assert db.execute("SELECT count(*) FROM state").fetchone() == (0,)
    latents = range(engine.dictionary.identity.d_sae)
    for row, expected in zip(derived_rows(path), derive(engine, latents), strict=True):
        for ids, values, pairs in zip(
            row[::2], row[1::2], (expected.up, expected.down, expected.near), strict=True
        ):
            assert np.frombuffer(ids, "<u4").tolist() == [number for number, _ in pairs]
            assert np.frombuffer(values, "<f4").tolist() == [value for _, value in pairs]


def test_where_deriving_all_would_take_long_it_is_left_for_later(engine, spec, tmp_path, monkeypatch):
    monkeypatch.setattr("sas_core.atlas.derive._AFFORDABLE", {"cpu": 1})
    path = tmp_path / "a.db"
    finished(engine, spec, path)
    assert set(derived_rows(path)) == {(None,) * 6}


def test_a_build_ends_with_the_labels_that_its_file_alone_gives(whole, engine, spec, tmp_path, monkeypatch):
    path = tmp_path / "a.db"
    finished(engine, spec, path)
    built = everything(path)["auto_labels"]
    live = sum(1 for row in everything(path)["latents"] if row[1])
    assert built == whole["auto_labels"] and len(built) == live > 0
    for _ in relabel(path):
        pass
    assert everything(path)["auto_labels"] == built
    monkeypatch.setattr("sas_core.atlas.autolabel.make.AFFORDABLE", 1)
    finished(engine, spec, tmp_path / "b.db")
    assert everything(tmp_path / "b.db")["auto_labels"] == []


def test_a_token_that_the_tokenizer_lacks_and_the_model_writes_has_a_row(tmp_path, sae_folder, spec):
    """Models round their embedding up to a multiple; the logit lens knows no difference."""
    folder = tmp_path / "wide"
    model = random_llama()
    model.resize_token_embeddings(384)
    model.get_input_embeddings().weight.data[360:] *= -30
    model.save_pretrained(folder)
    save_chat_tokenizer(folder)
    wide = load_engine(custom_preset(str(folder), sae_path=str(sae_folder)), device="cpu")
    assert len(wide.turns.tokenizer) < wide.model.cfg.d_vocab == 384
    path = tmp_path / "a.db"
    finished(wide, spec, path)
    named = {int(i) for row in derived_rows(path) for ids in row[:4:2] for i in np.frombuffer(ids, "<u4")}
    assert max(named) >= len(wide.turns.tokenizer)
    with closing(sqlite3.connect(path)) as db:
        known = {number for (number,) in db.execute("SELECT id FROM vocabulary")}
    assert named <= known


def test_reading_window_by_window_without_padding_gives_the_same_within_rounding(
    engine, rows, spec, tmp_path
):
    path = tmp_path / "a.db"
    finished(engine, spec, path)
    windows = cut(engine, rows)
    dense, seen = [], 0
    for window in windows:
        latents, excluded = engine.latents_of(window.ids.tolist())
        counted = torch.from_numpy(window.keep) & ~excluded
        seen += int(counted.sum())
        dense.append(torch.where(counted[:, None], latents, 0.0).numpy())
    together = np.concatenate(dense)
    with closing(sqlite3.connect(path)) as db:
        latents = db.execute('SELECT fired, total, squares, max FROM latents ORDER BY "index"').fetchall()
        contexts = db.execute(
            "SELECT latent, window, peak, max, positions, activations FROM contexts"
        ).fetchall()
    assert read_made_of(path).tokens_seen == seen
    assert [row[0] for row in latents] == pytest.approx((together > 0).sum(0).tolist(), abs=1)
    for column, expected in ((1, together.sum(0)), (2, (together**2).sum(0)), (3, together.max(0))):
        assert [row[column] for row in latents] == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-3)
    for latent, window, peak, most, positions, activations in contexts:
        here = dense[window][:, latent]
        assert here.max() == pytest.approx(most, abs=1e-4) and here[peak] == pytest.approx(most, abs=1e-4)
        stored = np.zeros(len(here), np.float32)
        stored[np.frombuffer(positions, "<u2")] = np.frombuffer(activations, "<f4")
        np.testing.assert_allclose(stored, here, atol=1e-4)
    assert len(contexts) > 400


@pytest.mark.parametrize("architecture", ["topk", "gated", "standard"])
def test_an_sae_of_another_architecture_is_read_the_same_way(engine, rows, spec, tmp_path, architecture):
    other = with_dictionary(engine, build_dictionary(architecture))
    path = tmp_path / "a.db"
    finished(other, spec, path)
    check_says(path, expect(other, cut(other, rows)), pieces(other))


@pytest.mark.parametrize("which", ["engine", "raw_engine"])
def test_for_an_sae_trained_with_bos_each_window_begins_with_it_and_it_never_counts(
    which, request, rows, tmp_path
):
    plain = request.getfixturevalue(which)
    rows = [row for row in rows if "messages" not in row]
    corpus = tmp_path / "plain.jsonl"
    corpus.write_text("\n".join(map(json.dumps, rows)))
    other = with_dictionary(plain, Dictionary(build_sae("jumprelu", metadata={"prepend_bos": True})))
    bos = other.turns.tokenizer.bos_token_id
    path = tmp_path / "a.db"
    finished(other, BuildSpec(str(corpus), window=WINDOW, top_k=TOP_K, seed=SEED), path)
    windows = cut(other, rows, bos)
    check_says(path, expect(other, windows), pieces(other))
    with closing(sqlite3.connect(path)) as db:
        stored = db.execute("SELECT token_ids, excluded FROM windows").fetchall()
    assert len(stored) > 50
    for ids, excluded in stored:
        assert np.frombuffer(ids, "<u4")[0] == bos and np.frombuffer(excluded, "<u2")[0] == 0
    assert read_made_of(path).special_excluded >= len(windows)


def test_codes_computed_a_few_tokens_at_a_time_say_the_same(engine, spec, whole, tmp_path, monkeypatch):
    monkeypatch.setitem(firing._CODES_AT_ONCE, "cpu", 48 * 5)
    finished(engine, spec, tmp_path / "b.db")
    parts = everything(tmp_path / "b.db")
    assert [row[:2] for row in parts["latents"]] == [row[:2] for row in whole["latents"]]
    assert len(parts["contexts"]) == len(whole["contexts"])
    maxima = [[row[5] for row in rows["contexts"] if row[1] == 0] for rows in (parts, whole)]
    assert maxima[0] == pytest.approx(maxima[1], rel=1e-4)


@pytest.mark.parametrize("limit", [1, 500, 10**9])
def test_a_limit_reads_exactly_so_many_tokens_or_all_there_are(engine, rows, corpus, tmp_path, limit):
    spec = BuildSpec(corpus, limit_tokens=limit, window=WINDOW, top_k=TOP_K)
    for step in build(engine, spec, tmp_path / "a.db"):
        assert step.share is not None and 0 <= step.share <= 1
    in_all = sum(len(w.ids) for w in cut(engine, rows))
    assert read_made_of(tmp_path / "a.db").tokens_read == min(limit, in_all)


def test_progress_grows_and_its_sentence_says_how_far_and_how_long(engine, spec, tmp_path):
    steps = list(build(engine, spec, tmp_path / "a.db"))
    reading = [step for step in steps if step.stage == "reading"]
    assert [step.tokens for step in reading] == sorted({step.tokens for step in reading})
    assert len(reading) > 4 and reading[-1].share == 1.0 and reading[-1].remaining_s == 0.0
    assert reading[0].sentence.startswith(f"Read {reading[0].tokens:,} tokens, ")
    assert reading[0].sentence.endswith("left") and reading[0].rate > 0
    assert "writing the tables" in steps[-1].sentence


def test_a_finished_file_is_one_file_that_needs_none_beside_it(engine, spec, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    finished(engine, spec, folder / "a.db")
    assert [path.name for path in folder.iterdir()] == ["a.db"]
    with closing(sqlite3.connect(folder / "a.db")) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_somebody_who_reads_while_the_end_is_written_spoils_nothing(engine, spec, whole, tmp_path):
    steps = build(engine, spec, tmp_path / "b.db")
    next(steps)
    with closing(sqlite3.connect(tmp_path / "b.db")) as reader:
        assert reader.execute("SELECT count(*) FROM made_of").fetchone()[0] > 20
        for _ in steps:
            pass
    assert read_made_of(tmp_path / "b.db").finished
    assert everything(tmp_path / "b.db") == whole
