"""What a build refuses, in one sentence and with every file left as it was."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sas_core.atlas.build import BuildSpec
from sas_core.atlas.store import read_made_of
from sas_core.errors import BadInput, Unavailable
from tests.atlas.building import SEED, TOP_K, WINDOW, encode_text, finished, stop_after, with_dictionary
from tests.atlas.table_rows import everything
from tests.helpers import N_CTX, build_dictionary


def refusal(*args, **options) -> str:
    with pytest.raises(BadInput) as caught:
        finished(*args, **options)
    return str(caught.value)


def test_an_unfinished_atlas_is_not_gone_on_with_unless_asked(engine, spec, tmp_path):
    path = tmp_path / "a.db"
    stop_after(2, engine, spec, path)
    before = everything(path)
    read = read_made_of(path).tokens_read
    assert f"({read:,} tokens read); go on with --resume" in refusal(engine, spec, path)
    assert everything(path) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window": 17}, "another window: 16, now 17"),
        ({"top_k": 6}, "another top_k: 5, now 6"),
        ({"seed": 8}, "another seed: 7, now 8"),
        ({"limit_tokens": 900}, "another limit_tokens: None, now 900"),
    ],
)
def test_another_request_is_refused_by_name(engine, spec, corpus, tmp_path, change, said):
    path = tmp_path / "a.db"
    stop_after(1, engine, spec, path)
    before = everything(path)
    other = BuildSpec(corpus, **{"window": WINDOW, "top_k": TOP_K, "seed": SEED, **change})
    assert said in refusal(engine, other, path, resume=True)
    assert everything(path) == before


def test_a_changed_text_and_another_sae_are_other_requests(engine, spec, corpus, tmp_path):
    path = tmp_path / "a.db"
    stop_after(1, engine, spec, path)
    other = with_dictionary(engine, build_dictionary("jumprelu", seed=6))
    assert "another sae_sha256" in refusal(other, spec, path, resume=True)
    changed = tmp_path / Path(corpus).name
    changed.write_text(Path(corpus).read_text() + '\n{"text": "one more"}')
    asked = replace(spec, corpus=str(changed))
    assert "another corpus_sha256" in refusal(engine, asked, path, resume=True)


def test_a_finished_atlas_is_refused_and_not_touched(engine, spec, tmp_path):
    path = tmp_path / "a.db"
    finished(engine, spec, path)
    before = path.read_bytes()
    for resume in (False, True):
        assert "is a finished atlas" in refusal(engine, spec, path, resume=resume)
    assert path.read_bytes() == before and not path.with_name("a.db-wal").exists()


def test_a_database_of_something_else_and_a_file_that_is_none_are_not_touched(engine, spec, tmp_path):
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE notes (text)")
        db.commit()
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all, " * 50)
    for foreign, said in (
        (path, "a database of something else"),
        (text, "is damaged (file is not a database)"),
    ):
        before = foreign.read_bytes()
        assert said in refusal(engine, spec, foreign)
        assert foreign.read_bytes() == before


def test_an_atlas_of_a_newer_version_is_refused(engine, spec, tmp_path):
    path = tmp_path / "a.db"
    stop_after(1, engine, spec, path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO _sqlite_migrations VALUES (NULL, 'atlas', 'm999_later', '')")
        db.commit()
    assert "a newer Steerscope" in refusal(engine, spec, path, resume=True)


def test_a_folder_that_is_not_there_or_a_folder_for_a_file_costs_a_sentence(engine, spec, tmp_path):
    assert "folder does not exist" in refusal(engine, spec, tmp_path / "none" / "a.db")
    with pytest.raises(Unavailable, match="unable to open"):
        finished(engine, spec, tmp_path)


def test_a_text_without_anything_to_count_costs_a_sentence_and_the_mended_text_the_same_file(
    engine, tmp_path
):
    path, corpus = tmp_path / "a.db", tmp_path / "empty.jsonl"
    spec = BuildSpec(str(corpus), window=WINDOW)
    for rows in ([{"text": ""}, {"text": None}], [{"text": "<|im_end|>"}]):
        corpus.write_text("\n".join(map(json.dumps, rows)))
        assert "holds no text that can be counted" in refusal(engine, spec, path)
    corpus.write_text('{"text": "a sea"}')
    finished(engine, spec, path)
    made = read_made_of(path)
    assert made.finished and made.tokens_read == len(encode_text(engine, "a sea")) and made.documents == 1


def test_a_window_longer_than_the_model_holds_is_refused_before_a_file_is_made(engine, corpus, tmp_path):
    said = refusal(engine, BuildSpec(corpus, window=N_CTX + 1), tmp_path / "a.db")
    assert f"this model holds {N_CTX}" in said and not (tmp_path / "a.db").exists()
    finished(engine, BuildSpec(corpus, window=N_CTX, limit_tokens=400), tmp_path / "a.db")


@pytest.mark.parametrize(
    "wrong",
    [{"window": 7}, {"window": 4_097}, {"top_k": 0}, {"top_k": 201}, {"limit_tokens": 0}, {"seed": -1}],
)
def test_numbers_out_of_range_are_refused_with_the_range(corpus, wrong):
    with pytest.raises(BadInput, match="out of range; choose"):
        BuildSpec(corpus, **wrong)
