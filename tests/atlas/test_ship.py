"""Making the shipped atlas: what is packed is what was built, from the file beside it, within the limit."""

import hashlib
import json

import pytest
import zstandard

from sas_core.atlas import find, shipped
from sas_core.atlas import ship as shipping
from sas_core.atlas.build import build
from sas_core.atlas.ship import ship
from sas_core.errors import BadInput
from sas_core.model.packed import unpacked


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipped, "DEMO_FOLDER", tmp_path / "demo")
    return tmp_path / "demo"


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    text = "The train was late again this morning, so we walked along the river. Day"
    path.write_text("".join(json.dumps({"text": f"{text} {i}."}) + "\n" for i in range(160)))
    return path


def test_the_packed_atlas_opens_by_itself_and_is_of_the_packed_corpus(engine, corpus, folder, tmp_path):
    size = ship(engine, corpus, folder=folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "atlas.db.zst", "corpus.jsonl.zst", "made_of.json",
    ]  # fmt: skip
    assert size == sum((folder / name).stat().st_size for name in ("atlas.db.zst", "corpus.jsonl.zst"))
    assert unpacked(folder / "corpus.jsonl.zst").read() == corpus.read_bytes()
    path = find.find_atlas(engine)
    (found,) = find.every(engine)
    assert found.path == path == find.shipped_atlas() and found.made_of == shipped.shipped_facts()
    assert found.made_of.corpus == "corpus.jsonl.zst" and found.made_of.documents == 160
    packed = (folder / "corpus.jsonl.zst").read_bytes()
    assert found.made_of.corpus_sha256 == hashlib.sha256(packed).hexdigest()
    assert not (tmp_path / "cache" / "atlas" / "ship").exists(), "nothing is left of the work"


def test_the_readme_says_what_was_counted_and_how_it_was_made(engine, corpus, folder):
    ship(engine, corpus, limit_tokens=500, sampled=["0:1234", "1:99"], folder=folder)
    text, facts = (folder / "README.md").read_text(), shipped.shipped_facts()
    assert facts.tokens_seen <= 500 < 160 * 10
    assert f"Counted: {facts.tokens_seen:,} tokens" in text and f"of {facts.documents:,} documents" in text
    assert "sample_corpus --out sampled-0.jsonl --tokens 1234 --seed 0\n" in text
    assert "cat sampled-0.jsonl sampled-1.jsonl > corpus.jsonl\n" in text
    assert "sas_core.atlas.ship --corpus corpus.jsonl --limit-tokens 500\n" in text
    assert facts.corpus_sha256 in text and "None" not in text
    assert "Automatic labels: " in text and "with too few contexts" in text


def test_a_packed_corpus_ships_as_the_same_file_as_a_plain_one(engine, corpus, folder, tmp_path):
    ship(engine, corpus, limit_tokens=200, folder=folder)
    plain = (folder / "corpus.jsonl.zst").read_bytes()
    other = tmp_path / "other.jsonl.zst"
    other.write_bytes(zstandard.compress(corpus.read_bytes(), 1))
    ship(engine, other, limit_tokens=200, folder=folder)
    assert (folder / "corpus.jsonl.zst").read_bytes() == plain


def test_more_than_the_limit_is_refused_and_what_was_shipped_stays(engine, corpus, folder):
    ship(engine, corpus, limit_tokens=200, folder=folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BadInput, match=r"MB packed, and at most 0\.001 MB are shipped\. Read fewer tokens"):
        ship(engine, corpus, folder=folder, most_bytes=1000)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    ship(engine, corpus, limit_tokens=300, folder=folder)
    assert shipped.shipped_facts().limit_tokens == 300, "the refused one is not taken for what is asked now"


def test_a_stopped_build_goes_on_and_a_finished_one_is_not_built_again(engine, corpus, folder, monkeypatch):
    started = []

    def stopping(*args, resume, **options):
        steps = build(*args, resume=resume, **options)
        started.append(resume)
        if not resume:
            yield next(steps)
            steps.close()
            raise KeyboardInterrupt
        yield from steps

    monkeypatch.setattr(shipping, "build", stopping)
    with pytest.raises(KeyboardInterrupt):
        ship(engine, corpus, folder=folder)
    assert not folder.exists()
    with pytest.raises(BadInput, match="Read fewer tokens"):
        ship(engine, corpus, folder=folder, most_bytes=1)
    ship(engine, corpus, folder=folder)
    assert started == [False, True]
    assert shipped.shipped_facts().documents == 160


def test_only_json_lines_are_shipped(engine, tmp_path, folder):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(BadInput, match=r"no \.jsonl file"):
        ship(engine, tmp_path / "a.txt", folder=folder)
    with pytest.raises(BadInput, match="There is no file"):
        ship(engine, tmp_path / "none.jsonl", folder=folder)
