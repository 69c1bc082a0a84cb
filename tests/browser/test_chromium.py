"""The finder itself, on executables made here; nothing is installed by these tests."""

from pathlib import Path

import pytest

from tests.browser.chromium import NAMED, NoChromium, find_chromium

find_afresh = find_chromium.__wrapped__


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_named_browser_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = executable(tmp_path / "mine", "echo Chromium 1.2")
    executable(tmp_path / "chromium", "echo Chromium 3.4")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv(NAMED, str(named))
    assert find_afresh() == named
    assert "Chromium 1.2" in capsys.readouterr().err


def test_a_named_browser_that_does_not_run_is_refused_without_looking_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAMED, str(executable(tmp_path / "stub", "echo install me first; exit 10")))
    with pytest.raises(NoChromium, match="stub does not run"):
        find_afresh()


def test_one_on_the_path_is_taken_before_anything_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = executable(tmp_path / "google-chrome", "echo Google Chrome 5.6")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("shutil.which", lambda name: str(there) if name == there.name else None)
    monkeypatch.delenv(NAMED, raising=False)
    assert find_afresh() == there
