"""The atlas folder kept in order: stopped builds, deleting, damaged files set aside."""

import pytest

from sas_core.atlas.corpora import keep_corpus
from sas_core.atlas.files import atlas_folder
from sas_core.atlas.upkeep import delete, note_corpus, set_aside, stopped, unreadable
from sas_core.errors import BadInput
from tests.atlas.tiny_atlas import tiny_atlas


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path))
    return atlas_folder()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_stopped_build_knows_where_it_was_reading(folder):
    path = tiny_atlas(folder / "a.db", finished=None)
    assert stopped(path).corpus is None
    note_corpus(path, "/data/tiny.jsonl")
    found = stopped(path)
    assert (found.path, found.corpus, found.made_of.corpus) == (path, "/data/tiny.jsonl", "tiny.jsonl")


def test_deleting_takes_the_logs_and_the_note_along_and_nothing_else(folder):
    path = tiny_atlas(folder / "a.db", finished=None)
    other = tiny_atlas(folder / "a.db-2.db")
    note_corpus(path, "/data/tiny.jsonl")
    for log in ("-wal", "-shm"):
        path.with_name(path.name + log).write_bytes(b"")
    delete(path)
    assert names(folder) == [other.name]
    delete(path)
    assert names(folder) == [other.name]


def test_an_uploaded_corpus_goes_with_its_last_atlas_and_a_named_one_never(tmp_path, folder):
    named = tmp_path / "mine.txt"
    named.write_text("mine")
    uploaded = keep_corpus("a.txt", b"one")
    paths = [tiny_atlas(folder / f"{name}.db", finished=None) for name in "abc"]
    for path, corpus in zip(paths, (uploaded, uploaded, named), strict=True):
        note_corpus(path, str(corpus))
    delete(paths[0])
    assert uploaded.is_file()
    delete(paths[1])
    assert not uploaded.exists() and not uploaded.parent.exists()
    delete(paths[2])
    assert named.is_file()


def test_only_files_of_the_folder_are_touched(tmp_path, folder):
    outside = tiny_atlas(tmp_path / "mine.db")
    for touch in (delete, set_aside):
        for path in (outside, folder / ".." / "mine.db"):
            with pytest.raises(BadInput, match="not in the folder"):
                touch(path)
    assert outside.is_file()


def test_a_damaged_file_is_listed_with_the_reason_and_set_aside_with_its_logs(folder):
    whole = tiny_atlas(folder / "a.db")
    damaged = folder / "b.db"
    damaged.write_bytes(b"no database at all" * 100)
    (folder / "b.db-wal").write_bytes(b"log")
    ((path, sentence),) = unreadable()
    assert path == damaged and str(damaged) in sentence
    aside = set_aside(damaged)
    assert unreadable() == []
    assert aside.read_bytes().startswith(b"no database")
    # SQLite may have made its index of the log when the file was looked at
    kept = [name for name in names(folder) if not name.endswith("-shm")]
    assert kept == sorted([whole.name, aside.name, f"{aside.name}-wal"])


def test_an_unfinished_atlas_is_not_called_damaged(folder):
    tiny_atlas(folder / "a.db", finished=None)
    assert unreadable() == []
