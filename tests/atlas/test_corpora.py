"""Uploaded corpora: kept under their name, in their folder, once."""

import pytest

from sas_core.atlas.corpora import corpora_folder, keep_corpus
from sas_core.errors import BadInput, Unavailable


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path))
    return tmp_path


def files():
    return sorted(path for path in corpora_folder().rglob("*") if path.is_file())


def test_the_bytes_are_kept_under_the_own_name():
    path = keep_corpus("my texts.jsonl", b'{"text": "a"}\n')
    assert (path.name, path.read_bytes()) == ("my texts.jsonl", b'{"text": "a"}\n')
    assert files() == [path]


def test_the_same_bytes_are_kept_once_and_other_bytes_of_that_name_beside_them():
    first = keep_corpus("a.txt", b"one")
    assert keep_corpus("a.txt", b"one") == first
    other = keep_corpus("a.txt", b"two")
    assert files() == sorted([first, other])
    assert first.read_bytes() == b"one"


def test_a_file_cut_short_by_a_full_disk_is_written_again():
    path = keep_corpus("a.txt", b"one")
    path.write_bytes(b"o")
    assert keep_corpus("a.txt", b"one").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["../../etc/x.txt", "..\\..\\x.txt", "/root/x.txt", "....txt", "a\nb\0.csv"])
def test_a_name_never_leads_out_of_the_folder(name):
    path = keep_corpus(name, b"one")
    assert path.resolve().is_relative_to(corpora_folder().resolve())
    assert files() == [path]


@pytest.mark.parametrize("name", ["a.JSONL", "a.txt.gz", "a.csv.zst", "a.tsv", "a.parquet"])
def test_every_kind_that_can_be_read_is_kept(name):
    assert keep_corpus(name, b"one").name == name


@pytest.mark.parametrize("name", ["a.pkl", "a.pt", "txt", "a.txt.zip"])
def test_another_kind_is_refused_with_the_list(name):
    with pytest.raises(BadInput, match="jsonl, json, txt, csv, tsv, parquet"):
        keep_corpus(name, b"one")
    assert files() == []


def test_an_empty_file_is_refused():
    with pytest.raises(BadInput, match="is empty"):
        keep_corpus("a.txt", b"")


def test_a_large_file_is_refused_with_the_way_round_it(monkeypatch):
    monkeypatch.setenv("STEERSCOPE_MAX_CORPUS_BYTES", "3")
    keep_corpus("a.txt", b"one")
    with pytest.raises(BadInput, match="Give the path"):
        keep_corpus("a.txt", b"ones")


def test_a_folder_that_cannot_be_made_is_one_sentence(cache):
    (cache / "atlas").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match="cannot be kept"):
        keep_corpus("a.txt", b"one")
