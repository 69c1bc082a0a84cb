"""An atlas is opened for reading by many, changed by none; what is no whole atlas is refused."""

import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlite_utils import Database

from sas_core.atlas.labels import LabelBook
from sas_core.atlas.store import Atlas, read_made_of
from sas_core.errors import BadInput, Mismatch
from tests.atlas.tiny_atlas import DENSE, tiny_atlas

ROOT = Path(__file__).resolve().parents[2]


def test_an_atlas_of_the_loaded_engine_fits_and_another_is_refused(engine, tmp_path):
    atlas = Atlas.open(tiny_atlas(tmp_path / "fits.db", engine=engine))
    atlas.check(engine)
    other = Atlas.open(tiny_atlas(tmp_path / "other.db", engine=engine, sae_sha256="b" * 64))
    with pytest.raises(Mismatch, match="bbbbbbbbbbbb"):
        other.check(engine)
    atlas.close()
    other.close()


def test_many_threads_read_the_same(atlas):
    expected = {i: (atlas.latent(i), atlas.contexts(i), atlas.cofiring(i)) for i in range(48)}
    problems = []

    def work(first: int) -> None:
        try:
            for i in [*range(first, 48), *range(first)]:
                assert (atlas.latent(i), atlas.contexts(i), atlas.cofiring(i)) == expected[i]
        except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
            problems.append(error)

    threads = [threading.Thread(target=work, args=(4 * i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_reading_changes_nothing_and_leaves_no_file_beside_it(path, tmp_path):
    copy = tmp_path / "sea? 50%#1.db"
    shutil.copy(path, copy)
    copy.chmod(0o444)
    atlas = Atlas.open(copy)
    assert atlas.latent(5).fired > 0 and atlas.path == copy
    with atlas.reading() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM latents")
    atlas.close()
    assert [p.name for p in tmp_path.iterdir()] == [copy.name]
    assert copy.read_bytes() == path.read_bytes()


def test_what_an_atlas_is_made_of_is_read_of_an_unfinished_one_too(tmp_path):
    path = tiny_atlas(tmp_path / "half.db", finished=None, corpus="my texts.jsonl")
    assert read_made_of(path).corpus == "my texts.jsonl" and read_made_of(path).finished is None
    with pytest.raises(BadInput, match=r"half.db is not finished.*--corpus my texts.jsonl .*--resume"):
        Atlas.open(path)


def test_what_is_no_atlas_is_refused_each_with_its_reason(tmp_path, path):
    with pytest.raises(BadInput, match="There is no atlas at"):
        Atlas.open(tmp_path / "none.db")
    with pytest.raises(BadInput, match="There is no atlas at"):
        Atlas.open(tmp_path)
    text = tmp_path / "text.db"
    text.write_bytes(b"no database" * 1_000)
    with pytest.raises(BadInput, match=r"text.db is damaged .*not a database.*Build it again"):
        Atlas.open(text)
    LabelBook(tmp_path / "labels.db").close()
    with pytest.raises(BadInput, match=r"labels.db is a database, but no atlas"):
        Atlas.open(tmp_path / "labels.db")
    cut = tmp_path / "cut.db"
    cut.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(BadInput, match=r"cut.db is damaged"):
        Atlas.open(cut)


def test_an_atlas_of_a_newer_version_is_refused(tmp_path):
    path = tiny_atlas(tmp_path / "later.db")
    db = Database(path)
    db["_sqlite_migrations"].insert({"migration_set": "atlas", "name": "m999_later", "applied_at": "x"})
    db.close()
    with pytest.raises(BadInput, match=r"newer Steerscope \(m999_later\). Upgrade"):
        Atlas.open(path)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE contexts SET positions = x'00'",
        "UPDATE contexts SET positions = x'ffff'",
        "UPDATE contexts SET band = 9 WHERE band = 1",
        "UPDATE latents SET histogram = x'000000', up = x'00000000'",
        "DELETE FROM latents",
        "UPDATE cofiring SET latents = x'00'",
    ],
)
def test_damage_inside_the_tables_is_told_and_never_a_crash(tmp_path, damage):
    path = tiny_atlas(tmp_path / "hurt.db")
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    atlas = Atlas.open(path)
    faults = []
    for ask in (atlas.latent, atlas.contexts, atlas.cofiring, lambda i: atlas.rows([i])):
        try:
            ask(DENSE)
        except BadInput as error:
            faults.append(str(error))
    assert faults and all("hurt.db is damaged" in fault for fault in faults)
    atlas.close()


def test_damaged_facts_are_told(tmp_path):
    path = tiny_atlas(tmp_path / "facts.db")
    db = Database(path)
    db.execute("UPDATE made_of SET value = '{' WHERE key = 'model'")
    db.conn.commit()
    with pytest.raises(BadInput, match="is damaged"):
        Atlas.open(path)
    db.execute("DELETE FROM made_of WHERE key = 'model'")
    db.conn.commit()
    db.close()
    with pytest.raises(BadInput, match="does not say what it is made of"):
        Atlas.open(path)


def test_the_reading_side_leaves_torch_out():
    modules = ("store", "search", "labels", "words", "cofiring", "types", "priority")
    imports = ", ".join(f"sas_core.atlas.{module}" for module in modules)
    code = f"import sys, {imports}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "torch was imported"
