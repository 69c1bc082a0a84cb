"""Features: which atlas is used, what is done with its file, and building one."""

import json

import pytest

from pages.shared import loaded
from sas_core.atlas.files import atlas_folder
from sas_core.atlas.store import Atlas
from tests.atlas.tiny_atlas import DENSE, TEXTS, tiny_atlas
from tests.pages.app import held, press, shown, words
from tests.pages.features import loaded_path, opened, page, table

pytestmark = pytest.mark.usefixtures("tiny")


def test_without_an_atlas_the_page_says_so_and_offers_to_build_one():
    at = page()
    assert "There is no atlas of" in words(at)
    assert at.button(key="atlas.form.start").label == "Build the atlas"
    press(at, "atlas.form.start")
    assert "There is no corpus yet" in at.error[0].value


def test_an_atlas_of_another_sae_is_left_alone():
    tiny_atlas(atlas_folder() / "other.db")
    assert "There is no atlas of" in words(page())


def test_a_damaged_atlas_is_named_and_set_aside_and_the_page_works(atlas_path):
    broken = atlas_folder() / "broken.db"
    broken.write_bytes(b"no database" * 500)
    at = page()
    assert opened(at) == DENSE
    at = page(view="Build")
    assert "broken.db" in at.error[0].value.replace("\\", "")
    press(at, "atlas.aside.broken.db")
    assert not broken.exists() and not at.error
    assert [p.read_bytes()[:11] for p in atlas_folder().glob("broken.db.damaged-*")] == [b"no database"]


def test_what_the_atlas_is_made_of_is_said_in_full(atlas_path):
    at = page(view="Build")
    said = words(at)
    assert "tiny.jsonl" in said and "never counted" in said


def test_another_atlas_is_used_at_a_button_and_deleted_at_two(atlas_path, engine):
    newer = tiny_atlas(atlas_folder() / "newer.db", engine=engine, finished="2026-03-01T00:00:00+00:00")
    at = page(view="Build")
    assert loaded_path(at) == newer
    press(at, "atlas.use.tiny.db")
    assert loaded_path(at) == atlas_path
    press(at, "atlas.delete.newer.db")
    assert not newer.exists() and loaded_path(at) == atlas_path


def test_labels_leave_and_come_back(atlas_path, engine):
    sha = engine.dictionary.identity.sha256
    book = loaded.get_labels()
    book.put(sha, 3, "waves", "a note")
    text = book.export(sha)
    book.delete(sha, 3)
    at = page(view="Build")
    at.file_uploader(key="atlas.labels.file.0").upload("l.jsonl", text.encode(), "application/jsonl")
    shown(at)
    assert "1 added" in at.success[0].value
    assert (book.get(sha, 3).label, book.get(sha, 3).note) == ("waves", "a note")
    at.file_uploader(key="atlas.labels.file.1").upload("l.jsonl", b'{"latent": 3}\n', "application/jsonl")
    shown(at)
    assert len(at.error) == 1 and book.get(sha, 3).label == "waves"


def built(at, name, data, **options):
    at.file_uploader(key="atlas.form.file").upload(name, data, "text/plain")
    shown(at)
    for key, value in options.items():
        at.session_state[f"atlas.form.{key}"] = value
    return press(at, "atlas.form.start")


def ended(at):
    assert loaded.get_build_job().wait(120)
    return shown(at)


def test_an_uploaded_corpus_is_built_in_the_background_and_used(tmp_path):
    data = "\n".join(TEXTS * 3).encode()
    at = ended(built(page(), "my texts.txt", data, top_k=4))
    assert "is ready" in at.success[0].value
    assert "There is no atlas" not in words(at)
    made = Atlas.open(loaded_path(at)).made_of
    assert (made.corpus, made.documents, made.top_k) == ("my texts.txt", sum(map(bool, data.splitlines())), 4)
    assert [p.read_bytes() for p in (tmp_path / "atlas" / "corpora").rglob("*.txt")] == [data]


def test_a_new_atlas_is_not_taken_before_it_is_asked_for(atlas_path):
    at = ended(built(page(view="Build"), "a.txt", "\n".join(TEXTS).encode()))
    assert loaded_path(at) == atlas_path
    press(at, "atlas.build.use")
    assert loaded_path(at) != atlas_path
    assert not at.success and table(at)["index"].tolist() == list(range(48))


def test_a_corpus_that_cannot_be_read_is_one_sentence_and_the_input_stays(atlas_path):
    at = ended(built(page(view="Build"), "a.csv", b"name,value\nx,1\n"))
    assert "name" in at.error[0].value
    assert at.session_state["atlas.form.kept"][0] == "a.csv"
    press(at, "atlas.build.dismiss")
    assert not at.error


def test_a_path_that_is_not_there_is_one_sentence(atlas_path):
    at = page(view="Build", **{"form.way": "Path or data set", "form.name": "/nowhere/x.jsonl"})
    at = ended(press(at, "atlas.form.start"))
    assert "There is no file /nowhere/x.jsonl" in at.error[0].value.replace("\\", "")
    assert list(atlas_folder().glob("*nowhere*")) == []


def test_a_build_is_stopped_resumed_from_the_list_and_deleted(engine):
    data = "\n".join(json.dumps({"text": " ".join(TEXTS)}) for _ in range(400)).encode()
    at, job = page(), loaded.get_build_job()
    with held(engine):
        built(at, "long.jsonl", data)
        assert at.button(key="atlas.build.stop") and "Checking the corpus" in progress(at)
        press(at, "atlas.build.stop")
    ended(at)
    assert job.state == "stopped" and "Stopped. What was read is kept" in at.info[0].value
    press(at, "atlas.build.dismiss")
    assert not at.info
    read = job.progress.tokens
    (path,) = atlas_folder().glob("*.db")
    with held(engine):
        press(at, f"atlas.resume.{path.name}")
        assert not at.error and at.button(key="atlas.form.start").disabled
        job.stop()
    ended(at)
    assert job.progress.tokens > read > 0
    press(at, f"atlas.delete.{path.name}")
    assert list(atlas_folder().glob("*.db*")) == []


def progress(at):
    return "\n".join(element.proto.text for element in at.get("progress"))


def test_a_build_begun_elsewhere_asks_where_its_corpus_is(engine):
    path = tiny_atlas(atlas_folder() / "stopped.db", engine=engine, finished=None)
    at = page()
    assert at.button(key="atlas.resume.stopped.db").disabled
    at.text_input(key="atlas.where.stopped.db").set_value("/nowhere/tiny.jsonl")
    at = ended(press(shown(at), "atlas.resume.stopped.db"))
    assert "There is no file" in at.error[0].value
    assert path.is_file()
