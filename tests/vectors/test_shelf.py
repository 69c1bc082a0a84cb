"""The shelf of saved vectors: nothing is lost, whoever writes, and however it ends."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlite_utils import Database

from sas_core.errors import BadInput, Unavailable
from sas_core.vectors import shelf as shelf_module
from sas_core.vectors.schema import dump_vector
from sas_core.vectors.shelf import Shelf

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shelf" / "vectors.db"


@pytest.fixture
def shelf(path):
    opened = Shelf(path)
    yield opened
    opened.close()


def names(shelf) -> list[str]:
    return [item.name for item in shelf.list()]


def test_a_saved_vector_comes_back_as_it_was(shelf, make_vector):
    vector = make_vector(name="größe 海")
    shelf.save(vector, "built")
    assert shelf.get("größe 海") == vector


def test_a_fresh_shelf_is_empty(shelf):
    assert shelf.list() == () and shelf.deleted() == ()


def test_a_saved_vector_is_there_after_reopening(path, make_vector):
    first = Shelf(path)
    first.save(make_vector(), "imported")
    first.close()
    again = Shelf(path)
    assert again.get("the sea") == make_vector()
    again.close()


def test_the_list_shows_what_a_row_needs(shelf, make_vector):
    shelf.save(make_vector(), "composed")
    (item,) = shelf.list()
    assert (item.name, item.origin, item.model_name) == ("the sea", "composed", "tiny-llama")
    assert (item.hook_name, item.d_sae, item.sae_sha256) == ("blocks.1.hook_resid_post", 8, "a" * 64)
    assert (item.n_features, item.strength, item.created_at) == (3, 1.5, "2026-01-31T12:00:00Z")
    assert item.values == (2.5, -1.25, 0.5) and item.last_used is None


def test_the_preview_holds_the_64_largest_values_with_their_signs(shelf, make_vector):
    values = [(-1) ** i * (i + 1) / 10 for i in range(100)]
    features = [{"index": i, "value": value} for i, value in enumerate(values)]
    sae = make_vector().sae.model_copy(update={"d_sae": 100})
    shelf.save(make_vector(method="latents", features=features, sae=sae), "built")
    (item,) = shelf.list()
    assert item.values == tuple(reversed(values[36:])) and item.n_features == 100


def test_the_last_used_or_saved_vector_comes_first(shelf, make_vector):
    for name in "abc":
        shelf.save(make_vector(name=name), "built")
    shelf.touch("a")
    assert names(shelf) == ["a", "c", "b"]
    assert [item.last_used is None for item in shelf.list()] == [False, True, True]


def test_a_taken_name_is_refused_with_a_free_one_and_nothing_changes(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.save(make_vector(name="the sea-2"), "built")
    with pytest.raises(BadInput, match=r"already a vector named 'the sea'.*'the sea-3'"):
        shelf.save(make_vector(note="other"), "built")
    assert shelf.get("the sea").note == make_vector().note
    assert shelf.free_name("the sea") == "the sea-3" and shelf.free_name("the lake") == "the lake"


def test_a_free_name_of_a_long_name_is_still_a_valid_name(shelf, make_vector):
    shelf.save(make_vector(name="x" * 80), "built")
    free = shelf.free_name("x" * 80)
    assert free == "x" * 78 + "-2"
    shelf.save(make_vector(name=free), "built")


def test_replacing_keeps_the_older_vector_among_the_deleted(shelf, make_vector):
    shelf.save(make_vector(note="old"), "built")
    shelf.save(make_vector(note="new"), "built", replace=True)
    assert shelf.get("the sea").note == "new" and names(shelf) == ["the sea"]
    (gone,) = shelf.deleted()
    assert shelf.undo_delete(gone.token) == "the sea-2"
    assert shelf.get("the sea-2").note == "old" and shelf.get("the sea-2").name == "the sea-2"


def test_a_renamed_vector_carries_its_new_name_in_its_file(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.rename("the sea", "the ocean")
    assert names(shelf) == ["the ocean"] and shelf.get("the ocean").name == "the ocean"
    with pytest.raises(BadInput, match="no saved vector named 'the sea'"):
        shelf.get("the sea")


@pytest.mark.parametrize("new", ["", "  ", " x", "x" * 81, "a\nb", "a\x00b"])
def test_an_unusable_new_name_is_refused(shelf, make_vector, new):
    shelf.save(make_vector(), "built")
    with pytest.raises(BadInput, match="cannot be renamed: the new name"):
        shelf.rename("the sea", new)
    assert names(shelf) == ["the sea"]


def test_renaming_onto_another_vector_is_refused_and_onto_itself_is_nothing(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.save(make_vector(name="b"), "built")
    with pytest.raises(BadInput, match="already a vector named 'b'"):
        shelf.rename("the sea", "b")
    shelf.rename("b", "b")
    assert sorted(names(shelf)) == ["b", "the sea"]


def test_a_deleted_vector_can_be_brought_back_once(shelf, make_vector):
    shelf.save(make_vector(), "built")
    token = shelf.delete("the sea")
    assert shelf.list() == () and [gone.token for gone in shelf.deleted()] == [token]
    assert shelf.undo_delete(token) == "the sea"
    assert shelf.get("the sea") == make_vector() and shelf.deleted() == ()
    with pytest.raises(BadInput, match="cannot be brought back"):
        shelf.undo_delete(token)


def test_the_name_of_a_deleted_vector_is_free_again(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.delete("the sea")
    shelf.save(make_vector(note="second"), "built")
    shelf.delete("the sea")
    assert len(shelf.deleted()) == 2 and shelf.list() == ()


def test_purging_removes_the_deleted_and_only_them(shelf, make_vector):
    shelf.save(make_vector(), "built")
    shelf.save(make_vector(name="b"), "built")
    token = shelf.delete("the sea")
    assert shelf.purge() == 1 and shelf.purge() == 0
    assert names(shelf) == ["b"]
    with pytest.raises(BadInput, match="cannot be brought back"):
        shelf.undo_delete(token)


def test_what_could_not_be_read_again_is_not_saved(shelf, make_vector):
    unchecked = make_vector().model_copy(update={"dense": (1.0,)})
    with pytest.raises(BadInput, match=r"dense holds 1 numbers where sae\.d_in is 4"):
        shelf.save(unchecked, "composed")
    with pytest.raises(BadInput, match="cannot be saved: its name holds a control character"):
        shelf.save(make_vector().model_copy(update={"name": "a\ud800"}), "composed")
    assert shelf.list() == ()


@pytest.mark.parametrize("name", ["", "\ud800", "x" * 500, "a\nb"])
def test_a_name_that_could_never_be_saved_is_simply_not_found(shelf, name):
    with pytest.raises(BadInput, match="no saved vector named"):
        shelf.get(name)


@pytest.mark.parametrize("act", [Shelf.get, Shelf.delete, Shelf.touch])
def test_an_unknown_name_is_answered_with_near_matches(shelf, make_vector, act):
    shelf.save(make_vector(), "built")
    with pytest.raises(BadInput, match=r"no saved vector named 'the see'. Near matches: 'the sea'."):
        act(shelf, "the see")


def test_names_are_data_and_never_sql(shelf, make_vector):
    hostile = "'; DROP TABLE vectors; --"
    shelf.save(make_vector(name=hostile), "built")
    shelf.rename(hostile, hostile + "%_")
    assert names(shelf) == [hostile + "%_"]


def seed_folder(tmp_path, *vectors):
    folder = tmp_path / "shipped"
    folder.mkdir(exist_ok=True)
    for number, vector in enumerate(vectors):
        (folder / f"{number}.json").write_text(dump_vector(vector), encoding="utf-8")
    return folder


def test_shipped_vectors_are_put_on_the_shelf_once(shelf, make_vector, tmp_path):
    folder = seed_folder(tmp_path, make_vector(), make_vector(name="b"))
    assert shelf.seed(folder) == ("the sea", "b")
    assert shelf.seed(folder) == () and sorted(names(shelf)) == ["b", "the sea"]
    assert {item.origin for item in shelf.list()} == {"shipped"}


@pytest.mark.parametrize("purge", [False, True])
def test_a_shipped_vector_that_was_deleted_stays_deleted(path, make_vector, tmp_path, purge):
    folder = seed_folder(tmp_path, make_vector())
    shelf = Shelf(path)
    shelf.seed(folder)
    shelf.delete("the sea")
    if purge:
        shelf.purge()
    shelf.close()
    shelf = Shelf(path)
    assert shelf.seed(folder) == ()
    assert shelf.seed(seed_folder(tmp_path, make_vector(note="next release"))) == ()
    assert shelf.list() == ()
    shelf.close()


def test_a_shipped_vector_gives_way_to_a_user_vector_of_its_name(shelf, make_vector, tmp_path):
    shelf.save(make_vector(note="mine"), "built")
    assert shelf.seed(seed_folder(tmp_path, make_vector())) == ("the sea-2",)
    assert shelf.get("the sea").note == "mine"


def test_a_changed_shipped_vector_renews_itself_under_the_name_the_user_gave(shelf, make_vector, tmp_path):
    shelf.seed(seed_folder(tmp_path, make_vector()))
    shelf.rename("the sea", "mine")
    assert shelf.seed(seed_folder(tmp_path, make_vector(note="retrained", strength=3.0))) == ("mine",)
    (item,) = shelf.list()
    assert (item.name, item.strength, shelf.get("mine").note) == ("mine", 3.0, "retrained")


def test_a_shipped_vector_the_user_replaced_is_not_overwritten(shelf, make_vector, tmp_path):
    shelf.seed(seed_folder(tmp_path, make_vector()))
    shelf.save(make_vector(note="mine"), "built", replace=True)
    assert shelf.seed(seed_folder(tmp_path, make_vector(note="next release"))) == ()
    assert shelf.get("the sea").note == "mine"


def test_a_damaged_shipped_file_is_named(shelf, tmp_path, make_vector):
    folder = seed_folder(tmp_path, make_vector())
    (folder / "bad.json").write_text("{")
    with pytest.raises(BadInput, match=r"bad\.json is damaged"):
        shelf.seed(folder)
    assert names(shelf) == ["the sea"]


def test_four_threads_of_fifty_saves_all_land(shelf, make_vector):
    problems = []

    def work(thread: int) -> None:
        try:
            for number in range(50):
                shelf.save(make_vector(name=f"{thread}-{number}"), "built")
                shelf.list()
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the test
            problems.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted(names(shelf)) == sorted(f"{i}-{j}" for i in range(4) for j in range(50))


def test_four_threads_that_want_one_name_get_it_once(shelf, make_vector):
    refused = []

    def work() -> None:
        try:
            shelf.save(make_vector(), "built")
        except BadInput as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3 and names(shelf) == ["the sea"]


WRITER = """
import sys
from sas_core.vectors.schema import parse_vector
from sas_core.vectors.shelf import Shelf

path, source, prefix, count = sys.argv[1:]
shelf = Shelf(path)
vector = parse_vector(open(source).read())
for number in range(int(count)):
    shelf.save(vector.model_copy(update={"name": f"{prefix}-{number}"}), "built")
    print(number, flush=True)
"""


def writer(path, source, prefix, count):
    command = [sys.executable, "-c", WRITER, str(path), str(source), prefix, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_start_together_both_save_everything(path, tmp_path, make_vector):
    source = tmp_path / "v.json"
    source.write_text(dump_vector(make_vector()))
    writers = [writer(path, source, prefix, 20) for prefix in ("a", "b")]
    for process in writers:
        process.communicate(timeout=60)
    assert [process.returncode for process in writers] == [0, 0]
    shelf = Shelf(path)
    assert len(shelf.list()) == 40
    shelf.close()


def test_a_kill_in_a_write_loses_nothing_that_was_reported_saved(path, tmp_path, make_vector):
    source = tmp_path / "v.json"
    wide = make_vector().sae.model_copy(update={"d_in": 2000})
    source.write_text(dump_vector(make_vector(sae=wide, dense=[1 / 3] * 2000)))
    draw = random.Random(0)
    for attempt in range(4):
        process = writer(path, source, f"run{attempt}", 100_000)
        first = process.stdout.readline()
        time.sleep(draw.uniform(0.02, 0.25))
        os.kill(process.pid, signal.SIGKILL)
        reported = [first, *process.stdout.readlines()]
        process.wait()
        saved = {f"run{attempt}-{int(line)}" for line in reported if line.endswith("\n")}
        shelf = Shelf(path)
        present = {item.name for item in shelf.list()}
        assert saved and saved <= present
        assert len(shelf.get(max(saved)).dense) == 2000
        shelf.save(make_vector(name=f"after {attempt}"), "built")
        shelf.close()


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


def test_the_columns_of_the_list_agree_with_the_stored_file(path, make_vector):
    shelf = Shelf(path)
    shelf.save(make_vector(), "built")
    shelf.rename("the sea", "lake")
    shelf.close()
    (row,) = Database(path)["vectors"].rows
    stored = json.loads(row["file"])
    assert (row["name"], row["d_sae"], row["strength"]) == (
        stored["name"],
        stored["sae"]["d_sae"],
        stored["strength"],
    )
