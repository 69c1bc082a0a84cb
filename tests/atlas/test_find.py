"""Which atlas is opened: of this engine, whole, the newest; the shipped one unpacked whole or not at all."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import zstandard
from sqlite_utils.db import Database

from sas_core.atlas import find, made_of, shipped
from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.migrations import MIGRATIONS
from sas_core.errors import BadInput, Unavailable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """The folder of the shipped atlas, empty."""
    folder = tmp_path / "demo"
    folder.mkdir()
    monkeypatch.setattr(shipped, "DEMO_FOLDER", folder)
    return folder


def facts(engine, **changed) -> MadeOf:
    sae = engine.dictionary.identity
    made = MadeOf(
        model=engine.name, revision=None, dtype="float32", template_sha256=None, sae_sha256=sae.sha256,
        sae_name="tiny", hook_name=sae.hook_name, d_sae=sae.d_sae, neuronpedia_id=None, corpus="a.txt",
        corpus_sha256="0" * 64, text_field=None, limit_tokens=None, window=16, top_k=2, seed=0,
        tokens_seen=100, started="2026-01-01T00:00:00+00:00", finished="2026-01-01T01:00:00+00:00",
    )  # fmt: skip
    return replace(made, **changed)


def put(path: Path, made: MadeOf, *, wal: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = Database(path)
    if wal:
        db.enable_wal()
    MIGRATIONS.apply(db)
    with db.atomic():
        made_of.write(db, made)
    db.close()
    return path


def ship(folder: Path, made: MadeOf) -> None:
    """Pack an atlas as `sas_core.atlas.ship` does."""
    path = put(folder / "atlas.db", made)
    (folder / shipped.ATLAS).write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()
    (folder / shipped.FACTS).write_text(json.dumps(asdict(made)))


def test_without_any_atlas_nothing_is_found(engine, demo):
    assert find.find_atlas(engine) is None and find.every(engine) == [] and find.unfinished(engine) == []


def test_the_newest_finished_atlas_of_this_engine_is_found(engine, demo):
    folder = find.atlas_folder()
    older = put(folder / "z.db", facts(engine, finished="2026-01-02T00:00:00+00:00"))
    newer = put(folder / "a.db", facts(engine, finished="2026-01-03T00:00:00+00:00", corpus="b.txt"))
    begun = put(folder / "b.db", facts(engine, finished=None), wal=True)
    for name, changed in (
        ("model", "other"),
        ("hook_name", "blocks.0.hook_resid_post"),
        ("sae_sha256", "f" * 64),
    ):
        put(folder / f"{name}.db", facts(engine, **{name: changed}, finished="2027-01-01T00:00:00+00:00"))
    assert find.find_atlas(engine) == newer
    assert [found.path for found in find.every(engine)] == [newer, older]
    assert [found.made_of.corpus for found in find.every(engine)] == ["b.txt", "a.txt"]
    assert find.unfinished(engine) == [begun]


def test_of_unfinished_builds_the_last_begun_comes_first(engine, demo):
    folder = find.atlas_folder()
    for name, started in (("a", "2026-01-01"), ("b", "2026-01-03"), ("c", "2026-01-02")):
        put(folder / f"{name}.db", facts(engine, started=started, finished=None))
    assert [path.stem for path in find.unfinished(engine)] == ["b", "c", "a"]


def test_files_that_are_no_atlas_are_passed_over(engine, demo):
    folder = find.atlas_folder()
    (folder / "text.db").write_text("no database " * 1000)
    (folder / "empty.db").touch()
    (folder / "folder.db").mkdir()
    sqlite3.connect(folder / "other.db").execute(
        "CREATE TABLE made_of (key TEXT, value TEXT)"
    ).connection.close()
    good = put(folder / "good.db", facts(engine))
    torn = folder / "torn.db"
    torn.write_bytes(good.read_bytes()[:5000])
    assert find.find_atlas(engine) == good and find.unfinished(engine) == []


def test_a_build_that_was_killed_is_listed_from_its_log(engine, demo):
    """What was committed may stand in the write-ahead log alone."""
    folder = find.atlas_folder()
    live = put(folder / "live.db", facts(engine, finished=None), wal=True)
    db = Database(live)
    with db.atomic():
        made_of.write(db, facts(engine, finished=None, tokens_read=77))
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{live}{suffix}", folder / f"killed.db{suffix}")
    db.close()
    assert (folder / "killed.db-wal").stat().st_size > 0
    assert folder / "killed.db" in find.unfinished(engine)
    from sas_core.atlas.store import read_made_of

    assert read_made_of(folder / "killed.db").tokens_read == 77


def test_a_new_path_is_free_and_says_what_it_is_of(engine, demo):
    first = find.new_path(engine, "/somewhere/My Texts (2).jsonl.gz")
    assert first.parent == find.atlas_folder() and not first.exists()
    assert first.name == f"tiny-llama-{engine.dictionary.identity.sha256[:12]}-my-texts-2.db"
    first.touch()
    assert find.new_path(engine, "My Texts (2).txt").name == f"{first.stem}-2.db"
    assert find.new_path(engine, "海.txt").suffix == ".db"


def test_the_shipped_atlas_is_unpacked_on_first_need(engine, demo):
    ship(demo, facts(engine))
    path = find.find_atlas(engine)
    assert path == find.atlas_folder() / f"demo-{engine.dictionary.identity.sha256[:12]}.db"
    assert find.every(engine)[0].made_of == facts(engine)
    before = path.stat()
    assert find.find_atlas(engine) == path == find.shipped_atlas()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_atlas_of_ones_own_that_is_newer_goes_before_the_shipped_one(engine, demo):
    ship(demo, facts(engine))
    own = put(find.atlas_folder() / "own.db", facts(engine, finished="2026-06-01T00:00:00+00:00"))
    assert find.find_atlas(engine) == own
    assert len(find.every(engine)) == 2


def test_for_another_sae_the_shipped_atlas_stays_packed(engine, demo):
    ship(demo, facts(engine, sae_sha256="f" * 64))
    assert find.find_atlas(engine) is None
    assert list(find.atlas_folder().glob("*.db")) == []


@pytest.mark.parametrize("damage", ["an older release", "no database", "torn"])
def test_an_unpacked_atlas_that_is_not_the_shipped_one_is_replaced(engine, demo, damage):
    ship(demo, facts(engine))
    path = find.shipped_atlas()
    if damage == "an older release":
        put(path, facts(engine, tokens_seen=5))
    else:
        path.write_bytes(b"" if damage == "torn" else b"no database at all " * 500)
    assert find.find_atlas(engine) == path
    assert find.every(engine)[0].made_of == facts(engine)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_torn_package_is_refused_and_leaves_nothing(engine, demo, share):
    ship(demo, facts(engine))
    packed = demo / shipped.ATLAS
    packed.write_bytes(packed.read_bytes()[: int(packed.stat().st_size * share)])
    with pytest.raises(BadInput, match=r"The shipped atlas\.db\.zst is damaged: .*Restore it"):
        find.find_atlas(engine)
    assert [p.name for p in find.atlas_folder().iterdir()] == [".demo.lock"]


def test_with_an_atlas_of_ones_own_a_damaged_package_is_no_matter(engine, demo):
    ship(demo, facts(engine))
    (demo / shipped.FACTS).write_text("{")
    with pytest.raises(BadInput, match=r"The shipped made_of\.json cannot be read"):
        find.find_atlas(engine)
    own = put(find.atlas_folder() / "own.db", facts(engine))
    assert find.find_atlas(engine) == own


def test_a_cache_that_cannot_be_written_to_is_told(engine, demo, tmp_path, monkeypatch):
    ship(demo, facts(engine))
    (tmp_path / "file").touch()
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(Unavailable, match="STEERSCOPE_CACHE"):
        find.find_atlas(engine)


def test_threads_that_start_together_all_get_the_whole_atlas(engine, demo):
    ship(demo, facts(engine))
    found: list[object] = []

    def look() -> None:
        path = find.find_atlas(engine)
        found.append(shipped.read_made_of(path))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [facts(engine)] * 8


def test_a_kill_while_unpacking_never_leaves_a_torn_atlas(engine, demo, cache):
    """Five kills at growing delays, and after each the atlas is absent or whole."""
    ship(demo, facts(engine))
    big = zstandard.decompress((demo / shipped.ATLAS).read_bytes(), max_output_size=2**24) + bytes(2**26)
    (demo / shipped.ATLAS).write_bytes(zstandard.compress(big, 1))
    code = (
        "import sys; from pathlib import Path; from sas_core.atlas import shipped; "
        "shipped.DEMO_FOLDER = Path(sys.argv[1]); print('up', flush=True); shipped.shipped_atlas()"
    )
    path = cache / "atlas" / f"demo-{engine.dictionary.identity.sha256[:12]}.db"
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1):
        env = {**os.environ, "STEERSCOPE_CACHE": str(cache)}
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(demo)], cwd=ROOT, env=env, stdout=subprocess.PIPE
        )
        assert child.stdout.readline() == b"up\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert not path.exists() or path.stat().st_size == len(big)
        path.unlink(missing_ok=True)
    assert find.find_atlas(engine) == path
    assert [p.name for p in sorted(path.parent.iterdir())] == [".demo.lock", path.name]


@pytest.mark.parametrize("module", ["find", "shipped", "files"])
def test_finding_an_atlas_needs_no_torch(module):
    code = f"import sys, sas_core.atlas.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
