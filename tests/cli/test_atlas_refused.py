"""What `atlas` cannot do is one sentence, said before a model is loaded."""

from pathlib import Path

import pytest

from tests.atlas.tiny_atlas import tiny_atlas
from tests.cli.conftest import Run
from tests.cli.test_usage import said


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
        (["atlas", "autolabel", "--cache", "begun.db"], "is not finished"),
        (["atlas", "autolabel", "--cache", "nowhere.db"], "no atlas at nowhere.db"),
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
