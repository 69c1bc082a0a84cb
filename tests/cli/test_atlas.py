"""`atlas`: what is printed is what the file holds; a stopped build goes on; refusals are one sentence."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sas_core.atlas.made_of import EDGES, MadeOf
from sas_core.atlas.types import BANDS
from sas_core.cli.stopping import Stopping
from sas_core.steering.engine import Engine
from tests.atlas.tiny_atlas import DEAD, DENSE, ONE_TOKEN, ONE_WINDOW, Tiny, tiny_atlas
from tests.atlas.tiny_atlas import tiny as made_up
from tests.cli.conftest import Ran, Run
from tests.cli.test_usage import ROOT, said

SOME = 17
TEXT = "the sea is warm in early autumn"
AGAINST = "the train was late this morning"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A finished atlas whose tokens are words."""
    return tiny_atlas(tmp_path / "tiny.db")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Some 20,000 tokens: a few seconds for the tiny model."""
    draw = np.random.default_rng(0)
    words = ("sea", "river", "book", "warm", "wide", "early", "walk", "talk", "the", "a", "in", "when")
    rows = [" ".join(draw.choice(words, 30)) for _ in range(300)]
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8")
    return path


def strict(ran: Ran) -> Any:
    """The one document on stdout; NaN and infinity are no JSON."""
    assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 1), ran.err
    return json.loads(ran.out, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


def described(read: Tiny, index: int) -> dict[str, Any]:
    """What `show --json` has to print, from the brute-force rows."""
    latent = read.expected.latents[index]
    windows = {row["id"]: row for row in read.expected.windows}
    contexts = [
        {
            "band": BANDS[row["band"]],
            "max": row["max"],
            "peak": row["peak"],
            "token_ids": windows[row["window"]]["token_ids"],
            "tokens": [read.pieces[token] for token in windows[row["window"]]["token_ids"]],
            "activations": dense(row, len(windows[row["window"]]["token_ids"])),
            "document": windows[row["window"]]["document"],
            "offset": windows[row["window"]]["offset"],
        }
        for row in read.expected.contexts
        if row["latent"] == index
    ]
    up, down = (
        [[read.pieces[token], value] for token, value in lists[index]]
        for lists in (read.derived.up, read.derived.down)
    )
    return {
        "index": index,
        "label": None,
        "fired": latent["fired"],
        "tokens_seen": read.expected.tokens_seen,
        "density": latent["fired"] / read.expected.tokens_seen,
        "max": latent["max"],
        "mean_nonzero": latent["mean"],
        "histogram": {"edges": list(EDGES), "counts": latent["histogram"]},
        "contexts": contexts,
        "logits": {"positive": up, "negative": down},
        "neighbours": [list(pair) for pair in read.derived.near[index]],
    }


def dense(row: dict[str, Any], length: int) -> list[float]:
    values = [0.0] * length
    for position, activation in zip(row["positions"], row["activations"], strict=True):
        values[position] = activation
    return values


@pytest.mark.parametrize("index", [DEAD, DENSE, ONE_TOKEN, ONE_WINDOW, SOME])
def test_show_prints_everything_the_atlas_has_to_say(cli: Run, path: Path, index: int) -> None:
    document = strict(cli("atlas", "show", index, "--cache", path, "--json"))
    wanted = described(made_up(), index)
    assert document == wanted and list(document) == list(wanted)
    assert bool(document["contexts"]) == (index != DEAD)


def test_a_latent_that_never_fired_has_no_mean_and_an_atlas_may_lack_what_is_derived(
    cli: Run, tmp_path: Path
) -> None:
    bare = tiny_atlas(tmp_path / "bare.db", derived=False)
    document = strict(cli("atlas", "show", DEAD, "--cache", bare, "--json"))
    assert document["mean_nonzero"] is None and document["density"] == 0
    assert document["logits"] == {"positive": [], "negative": []} and document["neighbours"] == []
    card = cli("atlas", "show", DEAD, "--cache", bare)
    assert card.code == 0 and "not in this atlas" in card.out and "«" not in card.out
    assert f"never fired in {made_up().expected.tokens_seen} tokens: at most" in card.out


def test_the_card_marks_the_peak_draws_the_histogram_and_names_the_neighbours(cli: Run, path: Path) -> None:
    assert cli("atlas", "label", SOME, "ships at sea", "--note", "see row 4", "--cache", path).code == 0
    read = described(made_up(), SOME)
    card = cli("atlas", "show", SOME, "--cache", path)
    assert (card.code, card.err) == (0, "")
    assert "ships at sea" in card.out and "see row 4" in card.out
    strongest = read["contexts"][0]
    assert f"«{strongest['tokens'][strongest['peak']].strip(' ')}»" in card.out
    assert f"{strongest['max']:.2f}" in card.out and "0-25 %" in card.out
    longest = max(read["histogram"]["counts"])
    assert any(line.split()[-2:] == [str(longest), "#" * 40] for line in card.out.splitlines())
    assert str(read["neighbours"][0][0]) in card.out and repr(read["logits"]["positive"][0][0]) in card.out


def test_nothing_of_a_corpus_is_read_as_markup_or_obeyed_by_the_terminal(cli: Run, tmp_path: Path) -> None:
    odd = tiny_atlas(tmp_path / "odd.db", ["a [red]b[/red] <img onerror> ![](http://x) $x$ \x1b[31m c"])
    for index in range(4, 48):
        card = cli("atlas", "show", index, "--cache", odd)
        assert card.code == 0 and "\x1b" not in card.out
    assert "[/" in cli("atlas", "show", DENSE, "--cache", odd).out.replace("«", "").replace("»", "")


def test_reading_an_atlas_needs_no_torch(path: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from sas_core.cli import app
path = ["--cache", {str(path)!r}]
for arguments in (["show", "5"], ["show", "5", "--json"], ["info"], ["search", "--words", "sea"],
                  ["search", "--like", "5"], ["label", "5", "sea"], ["labels", "export"]):
    assert CliRunner().invoke(app, ["atlas", *arguments, *path]).exit_code == 0, arguments
print(*sorted({{"torch", "transformers", "sae_lens", "datasets"}} & set(sys.modules)))
"""
    environment = {**os.environ, "STEERSCOPE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == ""


def test_words_are_found_in_labels_first_and_then_around_the_peaks(cli: Run, path: Path) -> None:
    cli("atlas", "label", DEAD, "the sea, silent", "--cache", path)
    hits = strict(cli("atlas", "search", "--words", "sea", "--limit", "6", "--cache", path, "--json"))
    first, *rest = hits
    assert (first["index"], first["how"], first["label"]) == (DEAD, "label", "the sea, silent")
    assert len(rest) == 5 and all(hit["how"] == "words" for hit in rest)
    for hit in rest:
        start, end = hit["matched"]
        assert "sea" in "".join(hit["context"]["tokens"][start:end])
        assert hit["context"] in described(made_up(), hit["index"])["contexts"]
    scores = [hit["score"] for hit in rest]
    assert scores == sorted(scores, reverse=True) and scores[-1] > 0
    table = cli("atlas", "search", "--words", "sea", "--limit", "6", "--cache", path)
    assert table.code == 0 and "the sea, silent" in table.out and table.out.count("words (BM25)") == 5


def test_words_that_stand_nowhere_give_an_empty_list(cli: Run, path: Path) -> None:
    command = ["atlas", "search", "--words", "zeppelin", "--cache", path]
    assert strict(cli(*command, "--json")) == []
    ran = cli(*command)
    assert (ran.code, ran.out) == (0, "") and "No latent was found" in ran.err


def test_like_lists_the_neighbours_and_then_what_fires_together(cli: Run, path: Path) -> None:
    near = described(made_up(), SOME)["neighbours"]
    hits = strict(cli("atlas", "search", "--like", SOME, "--limit", "14", "--cache", path, "--json"))
    assert [[hit["index"], hit["score"]] for hit in hits[: len(near)]] == near
    assert [hit["how"] for hit in hits] == ["cosine"] * len(near) + ["together"] * (14 - len(near))
    assert SOME not in {hit["index"] for hit in hits} and len({hit["index"] for hit in hits}) == 14
    assert "Jaccard" in cli("atlas", "search", "--like", SOME, "--cache", path).out


def strongest(engine: Engine, text: str, *, mean: bool = False) -> np.ndarray:
    """Each latent's value on a text, by the engine's own dense codes."""
    with engine.turn() as ticket:
        assert ticket.wait(5)
        latents, excluded = engine.latents_of(engine.turns.encode(text, chat=False).ids)
    counted = latents[~excluded].numpy()
    return counted.mean(axis=0) if mean else counted.max(axis=0)


@pytest.mark.parametrize("mean", [False, True])
def test_fires_on_ranks_the_latents_by_what_the_model_does_with_the_text(
    cli: Run, tiny: list[object], engine: Engine, tmp_path: Path, mean: bool
) -> None:
    of_engine = tiny_atlas(tmp_path / "engine.db", engine=engine)
    by = ["--by", "mean"] if mean else []
    ran = cli("atlas", "search", "--fires-on", "-", *by, "--cache", of_engine, "--limit", "5", "--json",
              *tiny, stdin=TEXT)  # fmt: skip
    values = strongest(engine, TEXT, mean=mean)
    hits = strict(ran)
    assert [hit["index"] for hit in hits] == np.argsort(-values, kind="stable")[:5].tolist()
    np.testing.assert_allclose([hit["value"] for hit in hits], np.sort(values)[::-1][:5], rtol=1e-4)
    assert [hit["against_value"] for hit in hits] == [None] * 5
    pieces = engine.turns.pieces(engine.turns.encode(TEXT, chat=False).ids)
    assert [hit["token"] for hit in hits] == [pieces[hit["peak"]] for hit in hits]


def test_against_a_second_text_only_what_fires_more_on_the_first_is_listed(
    cli: Run, tiny: list[object], engine: Engine, tmp_path: Path
) -> None:
    # without --cache: the atlas of this engine in the data folder
    tiny_atlas(tmp_path / "cache" / "atlas" / "engine.db", engine=engine)
    command = ["atlas", "search", "--fires-on", TEXT, "--against", AGAINST, "--limit", "48", *tiny]
    hits = strict(cli(*command, "--json"))
    more = strongest(engine, TEXT) - strongest(engine, AGAINST)
    assert {hit["index"] for hit in hits} == set(np.flatnonzero(more > 0).tolist()) != set()
    for hit in hits:
        assert hit["score"] == pytest.approx(hit["value"] - hit["against_value"])
        assert hit["score"] == pytest.approx(more[hit["index"]], rel=1e-3, abs=1e-4)
    ran = cli(*command)
    assert ran.code == 0 and "against" in ran.out and "Ran on cpu" in ran.err


def test_fires_on_refuses_the_atlas_of_another_sae(
    cli: Run, tiny: list[object], engine: Engine, tmp_path: Path
) -> None:
    other = tiny_atlas(tmp_path / "other.db", engine=engine, sae_sha256="b" * 64)
    command = ["atlas", "search", "--fires-on", TEXT, *tiny]
    assert "another SAE" in said(cli, *command, "--cache", other)
    assert "There is no atlas of" in said(cli, *command)


def test_info_prints_what_the_atlas_is_made_of_and_how_much_is_in_it(cli: Run, path: Path) -> None:
    document = strict(cli("atlas", "info", "--cache", path, "--json"))
    expected = made_up().expected
    assert {field.name for field in fields(MadeOf)} < set(document)
    assert document["sae_sha256"] == "a" * 64 and document["tokens_seen"] == expected.tokens_seen
    assert (document["path"], document["bytes"]) == (str(path), path.stat().st_size)
    assert document["contexts"] == len(expected.contexts)
    assert document["windows_kept"] == len(expected.windows)
    classes = [row["density_class"] for row in expected.latents]
    dead = classes.count("dead")
    kinds = {kind: classes.count(kind) for kind in ("dead", "rare", "normal", "dense")}
    assert document["latents"] == {"live": 48 - dead, **kinds} and dead == 1
    table = cli("atlas", "info", "--cache", path)
    assert table.code == 0 and f"{expected.tokens_seen} tokens" in table.out


def test_info_of_an_unfinished_atlas_says_how_far_it_is_and_the_others_how_to_go_on(
    cli: Run, tmp_path: Path
) -> None:
    unfinished = tiny_atlas(tmp_path / "unfinished.db", finished=None)
    document = strict(cli("atlas", "info", "--cache", unfinished, "--json"))
    assert document["finished"] is None and document["tokens_read"] == made_up().expected.tokens_read
    assert "--resume goes on" in cli("atlas", "info", "--cache", unfinished).out
    assert "--resume" in said(cli, "atlas", "show", 1, "--cache", unfinished)


def test_a_label_is_shown_keeps_its_note_when_renamed_and_can_be_removed(cli: Run, path: Path) -> None:
    def label() -> str | None:
        return strict(cli("atlas", "show", SOME, "--cache", path, "--json"))["label"]

    cli("atlas", "label", SOME, "ships", "--note", "a longer note", "--cache", path)
    assert label() == "ships"
    ran = cli("atlas", "label", SOME, "boats", "--cache", path)
    assert (ran.code, ran.out) == (0, "") and "'boats'" in ran.err and label() == "boats"
    assert "a longer note" in cli("atlas", "show", SOME, "--cache", path).out
    assert "no label now" in cli("atlas", "label", SOME, "--remove", "--cache", path).err
    assert label() is None
    assert "had no label" in cli("atlas", "label", SOME, "--remove", "--cache", path).err


def test_labels_go_to_another_data_folder_by_export_and_import(
    cli: Run, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("atlas", "label", SOME, "caf\u00e9", "--note", "in row 4", "--cache", path)
    cli("atlas", "label", DENSE, "everything", "--cache", path)
    (tmp_path / "labels.jsonl").write_text(
        cli("atlas", "labels", "export", "--cache", path).out, encoding="utf-8"
    )
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path / "elsewhere"))
    assert cli("atlas", "labels", "export", "--cache", path).out == ""
    ran = cli("atlas", "labels", "import", tmp_path / "labels.jsonl", "--cache", path)
    assert ran.code == 0 and "added: 2" in ran.err
    shown = cli("atlas", "show", SOME, "--cache", path).out
    assert "caf\u00e9" in shown and "in row 4" in shown
    (tmp_path / "bad.jsonl").write_text('{"latent": -1, "label": "x"}', encoding="utf-8")
    assert "Row 1" in said(cli, "atlas", "labels", "import", tmp_path / "bad.jsonl", "--cache", path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["atlas"], "Missing command"),
        (["atlas", "show"], "Missing argument"),
        (["atlas", "show", "x"], "'INDEX'"),
        (["atlas", "show", "48", "--cache", "tiny.db"], "numbered 0 to 47"),
        (["atlas", "show", "1", "--cache", "nowhere.db"], "no atlas at nowhere.db"),
        (["atlas", "show", "1", "--cache", "text.db"], "text.db"),
        (["atlas", "show", "1", "--cache", "."], "no atlas at ."),
        (["atlas", "info", "--cache", "nowhere.db"], "no atlas at nowhere.db"),
        (["atlas", "info", "--cache", "text.db"], "text.db"),
        (["atlas", "search", "--cache", "tiny.db"], "one of the three"),
        (["atlas", "search", "--cache", "tiny.db", "--words", "a", "--like", "1"], "one of the three"),
        (["atlas", "search", "--cache", "tiny.db", "--words", " "], "no word"),
        (["atlas", "search", "--cache", "tiny.db", "--like", "48"], "no latent 48"),
        (["atlas", "search", "--cache", "tiny.db", "--words", "a", "--by", "max"], "of --fires-on"),
        (["atlas", "search", "--cache", "tiny.db", "--like", "1", "--against", "a"], "of --fires-on"),
        (["atlas", "search", "--cache", "tiny.db", "--fires-on", " "], "The text is empty"),
        (["atlas", "search", "--cache", "nowhere.db", "--fires-on", "a"], "no atlas at nowhere.db"),
        (["atlas", "label", "1", "--cache", "tiny.db"], "There is no label"),
        (["atlas", "label", "1", "a", "--remove", "--cache", "tiny.db"], "leave out TEXT"),
        (["atlas", "label", "1", " ", "--cache", "tiny.db"], "no words"),
        (["atlas", "label", "48", "a", "--cache", "tiny.db"], "no latent 48"),
        (
            ["atlas", "labels", "import", "nowhere.jsonl", "--cache", "tiny.db"],
            "nowhere.jsonl cannot be read",
        ),
        (["atlas", "build", "--corpus", "text.db"], "Missing option '--cache'"),
        (["atlas", "build", "--cache", "new.db"], "Missing option '--corpus'"),
        (["atlas", "build", "--corpus", "nowhere.txt", "--cache", "new.db"], "no file nowhere.txt"),
        (["atlas", "build", "--corpus", "empty.txt", "--cache", "new.db"], "holds no text"),
        (["atlas", "build", "--corpus", "rows.csv", "--cache", "new.db"], "title"),
        (["atlas", "build", "--corpus", "rows.csv", "--field", "body", "--cache", "new.db"], "body"),
        (["atlas", "build", "--corpus", "text.db", "--cache", "nowhere/new.db"], "folder does not exist"),
        (["atlas", "build", "--corpus", "text.db", "--cache", "."], "it is not a file"),
        (["atlas", "build", "--corpus", "text.db", "--cache", "new.db", "--window", "4"], "window 4"),
        (["atlas", "build", "--corpus", "text.db", "--cache", "new.db", "--top-k", "9999"], "9,999"),
        (["atlas", "build", "--corpus", "text.db", "--cache", "new.db", "--seed", "-1"], "seed -1"),
        (["atlas", "build", "--corpus", "text.db", "--cache", "tiny.db"], "finished atlas"),
        (["atlas", "build", "--corpus", "text.db", "--cache", "begun.db"], "--resume"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_no_model_is_loaded(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_atlas(tmp_path / "tiny.db")
    tiny_atlas(tmp_path / "begun.db", finished=None)
    (tmp_path / "text.db").write_text("This is some text and no database at all.", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n\n", encoding="utf-8")
    (tmp_path / "rows.csv").write_text("title,author\na,b\n", encoding="utf-8")
    before = (tmp_path / "tiny.db").read_bytes()
    # were a model loaded, this SAE would be what is complained of
    engine = ["--model", "nowhere", "--sae-path", "nowhere"]
    takes_engine = {"build", "search"} & set(arguments)
    assert words in said(cli, *arguments, *(engine if takes_engine else ()))
    assert not (tmp_path / "new.db").exists() and (tmp_path / "tiny.db").read_bytes() == before


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table an atlas is read from, and what it is made of but for the times."""
    with closing(sqlite3.connect(path)) as db:
        names = ("latents", "contexts", "windows", "cofiring", "vocabulary")
        tables = {name: db.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall() for name in names[:3]}
        tables |= {name: db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in names[3:]}
        tables["made_of"] = db.execute(
            "SELECT * FROM made_of WHERE key NOT IN ('started', 'finished') ORDER BY key"
        ).fetchall()
    return tables


def build(corpus: Path, path: Path, tiny: list[object]) -> list[object]:
    return ["atlas", "build", "--corpus", corpus, "--cache", path, "--top-k", 4, "--window", 32, *tiny]


def test_build_writes_an_atlas_that_the_other_commands_read(
    cli: Run, tiny: list[object], engine: Engine, tmp_path: Path
) -> None:
    texts = [TEXT, AGAINST]
    (tmp_path / "two.jsonl").write_text("\n".join(json.dumps({"note": t}) for t in texts), encoding="utf-8")
    ran = cli(*build(tmp_path / "two.jsonl", tmp_path / "a.db", tiny), "--field", "note", "--json")
    assert ran.code == 0 and "tokens a second" in ran.err
    document = json.loads(ran.out)
    assert document == strict(cli("atlas", "info", "--cache", tmp_path / "a.db", "--json"))
    assert (document["corpus"], document["text_field"], document["documents"]) == ("two.jsonl", "note", 2)
    values = np.maximum(strongest(engine, TEXT), strongest(engine, AGAINST))
    best = int(values.argmax())
    shown = strict(cli("atlas", "show", best, "--cache", tmp_path / "a.db", "--json"))
    assert shown["max"] == pytest.approx(values[best], rel=1e-4)
    for context in shown["contexts"]:
        assert "".join(context["tokens"]) in texts[context["document"]]
    hits = strict(cli("atlas", "search", "--fires-on", TEXT, "--cache", tmp_path / "a.db", "--json", *tiny))
    assert hits[0]["index"] == int(strongest(engine, TEXT).argmax())


@contextmanager
def signalled(which: signal.Signals, path: Path) -> Iterator[None]:
    """Send this process a signal as soon as the build has made its file."""

    def send() -> None:
        while not path.exists() and not done.is_set():
            time.sleep(0.005)
        if not done.is_set():
            os.kill(os.getpid(), which)

    done = threading.Event()
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_build_says_how_to_go_on_and_ends_as_if_it_had_not_been_stopped(
    cli: Run, tiny: list[object], corpus: Path, tmp_path: Path, which: signal.Signals
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    path, whole = tmp_path / "stopped.db", tmp_path / "whole.db"
    with signalled(which, path):
        ran = cli(*build(corpus, path, tiny))
    assert (ran.code, ran.out) == (130, "") and "the same command with --resume goes on" in ran.err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    state = strict(cli("atlas", "info", "--cache", path, "--json"))
    assert state["finished"] is None
    assert "go on with --resume" in said(cli, *build(corpus, path, tiny))
    assert "another seed" in said(cli, *build(corpus, path, tiny), "--resume", "--seed", 7)
    assert cli(*build(corpus, path, tiny), "--resume").code == 0
    assert cli(*build(corpus, whole, tiny)).code == 0
    assert contents(path) == contents(whole)
    assert 0 < state["tokens_read"] < strict(cli("atlas", "info", "--cache", whole, "--json"))["tokens_read"]


def test_who_cannot_wait_for_the_end_of_a_step_presses_again() -> None:
    with Stopping() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        stop.patient = True
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
