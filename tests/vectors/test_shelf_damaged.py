"""A shelf that is damaged, newer, held or cannot be made: named, and never touched."""

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from sas_core.errors import BadInput, Unavailable
from sas_core.vectors import shelf as shelf_module
from sas_core.vectors.shelf import Shelf
from tests.vectors.shelves import names


def test_a_file_that_is_no_database_is_named_and_left_alone(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 500)
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"vectors.db is damaged .* set the file aside"):
        Shelf(path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["vectors.db"]


def test_a_database_damaged_in_its_middle_is_noticed_on_opening(path, make_vector):
    shelf = Shelf(path)
    for number in range(30):
        shelf.save(make_vector(name=str(number)), "built")
    shelf.close()
    data = bytearray(path.read_bytes())
    data[4096 : len(data) // 2] = bytes(len(data) // 2 - 4096)
    path.write_bytes(data)
    with pytest.raises(BadInput, match="is damaged"):
        Shelf(path)


def test_a_damaged_shelf_can_be_set_aside_with_its_log_and_started_anew(path, make_vector):
    path.parent.mkdir()
    path.write_bytes(b"x" * 5000)
    Path(f"{path}-wal").write_bytes(b"log")
    aside = Shelf.set_aside(path)
    assert aside.name.startswith("vectors.db.corrupt-") and aside.read_bytes() == b"x" * 5000
    assert Path(f"{aside}-wal").read_bytes() == b"log" and not Path(f"{path}-wal").exists()
    shelf = Shelf(path)
    shelf.save(make_vector(), "built")
    shelf.close()
    assert Shelf.set_aside(path) != aside and aside.exists()


def test_setting_aside_what_is_not_there_is_refused(path):
    with pytest.raises(BadInput, match="no shelf at"):
        Shelf.set_aside(path)


def test_a_shelf_of_a_newer_version_is_refused_and_not_touched(path, make_vector):
    shelf = Shelf(path)
    shelf.save(make_vector(), "built")
    shelf.close()
    db = Database(path)
    db["_sqlite_migrations"].insert({"migration_set": "shelf", "name": "m999_later", "applied_at": "x"})
    db.close()
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"newer Steerscope \(m999_later\). Upgrade"):
        Shelf(path)
    assert path.read_bytes() == before


def test_opening_twice_changes_no_table(path):
    Shelf(path).close()
    before = Database(path).schema
    Shelf(path).close()
    assert Database(path).schema == before and "vectors" in before


def test_a_shelf_held_by_another_process_is_unavailable_not_damaged(path, make_vector, monkeypatch):
    monkeypatch.setattr(shelf_module, "BUSY_TIMEOUT_MS", 50)
    shelf = Shelf(path)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        shelf.save(make_vector(), "built")
    assert shelf.list() == ()
    other.rollback()
    shelf.save(make_vector(), "built")
    assert names(shelf) == ["the sea"]
    other.close()
    shelf.close()


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be used now"):
        Shelf(tmp_path / "file" / "vectors.db")
