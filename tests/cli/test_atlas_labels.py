"""`atlas label`, `labels` and `autolabel`: one's own labels, and the automatic ones beside them."""

import json
from pathlib import Path

import pytest

from sas_core.atlas.autolabel.make import relabel
from tests.atlas.planted import DEAD as GONE
from tests.atlas.planted import NUMBER, SEA, planted_atlas
from tests.atlas.tiny_atlas import DENSE
from tests.cli.atlas import SOME, strict
from tests.cli.conftest import Run
from tests.cli.test_usage import said


def test_a_label_is_shown_keeps_its_note_when_renamed_and_can_be_removed(cli: Run, atlas_path: Path) -> None:
    def label() -> str | None:
        return strict(cli("atlas", "show", SOME, "--cache", atlas_path, "--json"))["label"]

    cli("atlas", "label", SOME, "ships", "--note", "a longer note", "--cache", atlas_path)
    assert label() == "ships"
    ran = cli("atlas", "label", SOME, "boats", "--cache", atlas_path)
    assert (ran.code, ran.out) == (0, "") and "'boats'" in ran.err and label() == "boats"
    assert "a longer note" in cli("atlas", "show", SOME, "--cache", atlas_path).out
    assert "no label now" in cli("atlas", "label", SOME, "--remove", "--cache", atlas_path).err
    assert label() is None
    assert "had no label" in cli("atlas", "label", SOME, "--remove", "--cache", atlas_path).err


def test_labels_go_to_another_data_folder_by_export_and_import(
    cli: Run, atlas_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("atlas", "label", SOME, "caf\u00e9", "--note", "in row 4", "--cache", atlas_path)
    cli("atlas", "label", DENSE, "everything", "--cache", atlas_path)
    (tmp_path / "labels.jsonl").write_text(
        cli("atlas", "labels", "export", "--cache", atlas_path).out, encoding="utf-8"
    )
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path / "elsewhere"))
    assert cli("atlas", "labels", "export", "--cache", atlas_path).out == ""
    ran = cli("atlas", "labels", "import", tmp_path / "labels.jsonl", "--cache", atlas_path)
    assert ran.code == 0 and "added: 2" in ran.err
    shown = cli("atlas", "show", SOME, "--cache", atlas_path).out
    assert "caf\u00e9" in shown and "in row 4" in shown
    (tmp_path / "bad.jsonl").write_text('{"latent": -1, "label": "x"}', encoding="utf-8")
    assert "Row 1" in said(cli, "atlas", "labels", "import", tmp_path / "bad.jsonl", "--cache", atlas_path)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas whose latents do what is known, with its automatic labels."""
    path = planted_atlas(tmp_path_factory.mktemp("planted") / "planted.db")
    for _ in relabel(path):
        pass
    return path


def test_the_automatic_label_stands_under_the_users_with_how_far_to_trust_it(
    cli: Run, labelled: Path
) -> None:
    document = strict(cli("atlas", "show", NUMBER, "--cache", labelled, "--json"))
    auto = document["automatic_label"]
    assert (auto["text"], auto["kind"], auto["clear"], document["label"]) == ("numbers", "class", True, None)
    assert 0.5 < auto["low"] < auto["confidence"] <= 1 and auto["tested"] > 10
    cli("atlas", "label", NUMBER, "my own", "--cache", labelled)
    first, second, *_ = cli("atlas", "show", NUMBER, "--cache", labelled).out.splitlines()
    assert first == f"Latent {NUMBER}: my own"
    assert second.startswith("Automatic label: numbers; right on 1.00 of ") and "chance 0.5" in second
    assert "Automatic label" not in cli("atlas", "show", GONE, "--cache", labelled).out


def test_a_list_marks_the_automatic_label_and_shows_the_users_instead(cli: Run, labelled: Path) -> None:
    search = ["atlas", "search", "--words", "ocean", "--limit", "3", "--cache", labelled]
    first = strict(cli(*search, "--json"))[0]
    assert (first["index"], first["how"], first["label"]) == (SEA, "auto", None)
    assert first["automatic_label"]["clear"] and "auto" not in first
    shown = cli(*search).out
    assert "auto: " in shown and "automatic label" in shown
    cli("atlas", "label", SEA, "big waters", "--cache", labelled)
    assert strict(cli(*search, "--json"))[0]["label"] == "big waters"
    assert f"{SEA} big waters" in cli(*search).out
    assert "no clear pattern" not in cli("atlas", "search", "--like", SEA, "--cache", labelled).out


def test_automatic_labels_are_exported_apart_and_refused_as_the_users(
    cli: Run, labelled: Path, tmp_path: Path
) -> None:
    cli("atlas", "label", SEA, "big waters", "--cache", labelled)
    mine = cli("atlas", "labels", "export", "--cache", labelled).out
    assert "big waters" in mine and "automatic" not in mine
    lines = cli("atlas", "labels", "export", "--automatic", "--cache", labelled).out.splitlines()
    rows = {row["latent"]: row for row in map(json.loads, lines)}
    assert len(rows) == len(lines) and GONE not in rows and all(row["automatic"] for row in rows.values())
    assert rows[NUMBER]["text"] == "numbers" and "big waters" not in str(rows)
    (tmp_path / "auto.jsonl").write_text("\n".join(lines), encoding="utf-8")
    refused = said(cli, "atlas", "labels", "import", tmp_path / "auto.jsonl", "--cache", labelled)
    assert "Row 1" in refused and "automatic label" in refused and "Nothing was imported" in refused


def test_autolabel_gives_an_older_atlas_its_labels_and_says_how_many(cli: Run, tmp_path: Path) -> None:
    path = planted_atlas(tmp_path / "old.db")
    show = ["atlas", "show", NUMBER, "--cache", path, "--json"]
    assert strict(cli(*show))["automatic_label"] is None
    ran = cli("atlas", "autolabel", "--cache", path, "--json")
    document = json.loads(ran.out)
    assert ran.code == 0 and document["kinds"]["class"] >= 1 and document["median_confidence"] > 0.9
    assert strict(cli(*show))["automatic_label"]["text"] == "numbers"
    table = cli("atlas", "autolabel", "--cache", path).out
    assert "median confidence" in table and "unclear" in table
