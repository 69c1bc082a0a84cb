"""Labels outlive every atlas, travel as JSON Lines, and are only ever replaced by a later one."""

import json
import sqlite3
import threading
from datetime import UTC, datetime

import pytest

from sas_core.atlas import label_rows
from sas_core.atlas.label_rows import MAX_LABEL_CHARS, MAX_NOTE_CHARS
from sas_core.atlas.labels import Imported, Label, LabelBook
from sas_core.errors import BadInput, Unavailable

OURS, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some" / "labels.db"


@pytest.fixture
def book(path):
    opened = LabelBook(path)
    yield opened
    opened.close()


def row(latent, label="sea", note="", updated_at="2026-01-31T12:00:00+00:00", sae_sha256=OURS) -> str:
    return json.dumps({"sae_sha256": sae_sha256, "latent": latent, "label": label, "note": note,
                       "updated_at": updated_at})  # fmt: skip


def test_a_label_comes_back_as_it_was_and_after_reopening(path):
    book = LabelBook(path)
    before = datetime.now(UTC)
    put = book.put(OURS, 7, "Größe 海 <b>", "line one\n\n  line two ")
    assert put == Label(OURS, 7, "Größe 海 <b>", "line one\n\n  line two", put.updated_at)
    assert before <= datetime.fromisoformat(put.updated_at) <= datetime.now(UTC)
    book.close()
    again = LabelBook(path)
    assert again.get(OURS, 7) == put and again.all(OURS) == (put,)
    again.close()


def test_the_default_file_lies_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path))
    book = LabelBook()
    assert book.path == tmp_path / "labels.db" and book.path.is_file()
    book.close()


def test_labels_belong_to_one_sae(book):
    book.put(OURS, 7, "ours")
    book.put(OTHER, 7, "theirs")
    assert (book.get(OURS, 7).label, book.get(OTHER, 7).label) == ("ours", "theirs")
    assert book.delete(OURS, 7) and not book.delete(OURS, 7)
    assert book.get(OURS, 7) is None and book.all(OURS) == () and book.get(OTHER, 7).label == "theirs"


def test_a_second_label_replaces_the_first(book):
    book.put(OURS, 7, "sea", "a note")
    book.put(OURS, 7, "lake")
    (label,) = book.all(OURS)
    assert (label.label, label.note) == ("lake", "")


def test_all_come_by_latent_and_those_asked_for_by_number(book):
    for latent in (30, 4, 1_000_000):
        book.put(OURS, latent, f"number {latent}")
    assert [label.latent for label in book.all(OURS)] == [4, 30, 1_000_000]
    assert book.of(OURS, [30, 5, 4, 30]) == {4: "number 4", 30: "number 30"} and book.of(OURS, []) == {}


def test_words_are_found_in_label_and_note_whatever_their_case_and_accents(book):
    book.put(OURS, 1, "The Café", "near the HARBOUR")
    book.put(OURS, 2, "STRASSE 100%_")
    book.put(OTHER, 3, "the café")
    assert book.found(OURS) == (1, 2) and book.found(OURS, ["CAFE"]) == (1,)
    assert book.found(OURS, ["café", "harb"]) == (1,) and book.found(OURS, ["café", "100"]) == ()
    assert book.found(OURS, ["straße"]) == (2,) and book.found(OURS, ["%_"]) == (2,)
    assert book.found(OURS, ["%"]) == (2,) and book.found(OURS, ["the%c"]) == ()


def test_white_space_in_a_label_becomes_single_spaces(book):
    assert book.put(OURS, 1, "  the\n sea\t ").label == "the sea"


@pytest.mark.parametrize(
    ("label", "note", "reason"),
    [
        ("", "a note", "has no words"),
        (" \n\t", "", "has no words"),
        ("x" * (MAX_LABEL_CHARS + 1), "", "label has 201 characters, and 200 is the limit"),
        ("x", "y" * (MAX_NOTE_CHARS + 1), "note has 10,001 characters, and 10,000 is the limit"),
        ("a\0b", "", "label holds a character"),
        ("a", "\ud800", "note holds a character"),
    ],
)
def test_what_is_no_label_is_refused_and_the_old_one_stays(book, label, note, reason):
    old = book.put(OURS, 1, "old")
    with pytest.raises(BadInput, match=reason):
        book.put(OURS, 1, label, note)
    assert book.all(OURS) == (old,)


def test_labels_are_data_and_never_sql(book):
    hostile = "'); DROP TABLE labels; --"
    book.put(OURS, 1, hostile, hostile)
    assert book.get(OURS, 1).label == hostile and book.found(OURS, [hostile]) == (1,)
    assert book.get("' OR 1 --", 1) is None


def test_an_export_imported_elsewhere_gives_the_same_book(book, tmp_path):
    book.put(OURS, 1, "line\u2028separator", 'two\nlines \u0085 and a \\ "quote"')
    book.put(OURS, 2, "海", "<img onerror=x>")
    book.put(OTHER, 3, "stays at home")
    text = book.export(OURS)
    assert [json.loads(line)["latent"] for line in text.split("\n") if line] == [1, 2]
    assert set(json.loads(text.split("\n")[0])) == {"sae_sha256", "latent", "label", "note", "updated_at"}
    other = LabelBook(tmp_path / "other.db")
    assert other.import_(text, OURS) == Imported(added=2, replaced=0, same=0, kept=0)
    assert other.all(OURS) == book.all(OURS) and other.export(OURS) == text and other.all(OTHER) == ()
    assert other.import_(text, OURS) == Imported(added=0, replaced=0, same=2, kept=0)
    other.close()


def test_of_two_labels_the_later_one_stays(book):
    mine = book.put(OURS, 1, "mine")
    book.import_(row(2, "old", updated_at="2020-01-01T00:00:00+00:00"), OURS)
    text = "\n".join([
        row(1, "from before", updated_at="2020-01-01T00:00:00Z"),
        row(2, "newer", updated_at="2020-01-01T01:30:00+01:00"),
        row(3, "new"),
    ])  # fmt: skip
    assert book.import_(text, OURS) == Imported(added=1, replaced=1, same=0, kept=1)
    assert book.get(OURS, 1) == mine and book.get(OURS, 2).label == "newer"


def test_a_row_without_a_time_counts_as_written_now(book):
    book.put(OURS, 1, "mine")
    assert book.import_('{"latent": 1, "label": "theirs"}\r\n\r\n', OURS).replaced == 1
    assert book.get(OURS, 1).label == "theirs" and book.get(OURS, 1).note == ""


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "Row 3 of the labels is no JSON"),
        ("[1]", "Row 3 of the labels cannot be used: it is no object"),
        (row(1, sae_sha256=OTHER), "of another SAE .bbbbbbbbbbbb, and loaded is aaaaaaaaaaaa"),
        (row(-1), "its latent is -1"),
        (row("7"), "its latent is '7'"),
        (row(True), "its latent is True"),
        (row(1.5), "its latent is 1.5"),
        (row(10**20), "its latent is 1000"),
        (row(1, label=None), "its label and note need to be text"),
        (row(1, note=["x"]), "its label and note need to be text"),
        (row(1, label=" "), "The label has no words"),
        (row(1, updated_at="yesterday"), "its updated_at is 'yesterday'"),
        (row(1, updated_at="0001-01-01T00:00:00+14:00"), "its updated_at is"),
        ("[" * 100_000, "Row 3 of the labels is no JSON"),
        ('{"latent": 1, "label": "a\\u0000"}', "The label holds a character"),
    ],
)
def test_one_bad_row_is_named_and_nothing_is_imported(book, bad, reason):
    with pytest.raises(BadInput, match=rf"{reason}.*Nothing was imported") as caught:
        book.import_(f"{row(5)}\n\n{bad}\n{row(6)}", OURS)
    assert "Row 3" in str(caught.value) and book.all(OURS) == ()


def test_importing_nothing_is_nothing(book):
    assert book.import_("\n \n", OURS) == Imported(0, 0, 0, 0)


def test_four_threads_lose_no_label(book):
    problems = []

    def work(first: int) -> None:
        try:
            for latent in range(first, 200, 4):
                book.put(OURS, latent, f"label {latent}")
                book.found(OURS, ["label"])
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the test
            problems.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == [] and len(book.all(OURS)) == 200


def test_two_books_on_one_file_see_each_other(path, book):
    other = LabelBook(path)
    other.put(OURS, 1, "from another process")
    assert book.get(OURS, 1).label == "from another process"
    other.close()


def test_a_locked_file_is_told_and_nothing_is_lost(path, book, monkeypatch):
    book.put(OURS, 1, "mine")
    book._db.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match=r"cannot be used now .*locked"):
        book.put(OURS, 1, "other")
    other.rollback()
    other.close()
    assert book.put(OURS, 1, "third").label == "third"


def test_a_failed_import_in_the_database_leaves_everything_as_it_was(book):
    book.put(OURS, 1, "mine")
    book._db.execute("CREATE TRIGGER full BEFORE INSERT ON labels WHEN NEW.latent = 9 "
                     "BEGIN SELECT RAISE(ABORT, 'full'); END")  # fmt: skip
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        book.import_("\n".join([row(5), row(9)]), OURS)
    assert [label.latent for label in book.all(OURS)] == [1]
    assert book.put(OURS, 2, "goes on").latent == 2


def test_a_damaged_file_is_named_and_left_alone(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1_000)
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"labels.db is damaged .*move it away to start with no labels"):
        LabelBook(path)
    assert path.read_bytes() == before


def test_a_time_without_a_zone_is_taken_as_utc():
    line = row(1, updated_at="2026-01-31T12:00:00")
    assert label_rows.parsed(line, 1, OURS).updated_at == "2026-01-31T12:00:00.000000+00:00"
