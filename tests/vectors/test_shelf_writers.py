"""Many who write to one shelf at once, and one that is killed: nothing that was saved is lost."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from sas_core.errors import BadInput
from sas_core.vectors.schema import dump_vector
from sas_core.vectors.shelf import Shelf
from tests.vectors.shelves import names

ROOT = Path(__file__).resolve().parents[2]


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
