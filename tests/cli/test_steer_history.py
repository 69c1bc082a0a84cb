"""`steer` and the history of runs: what is answered from it, and what is kept in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sas_core.cli.answer import answered
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Event, Request
from tests.cli.conftest import Run
from tests.cli.test_steer import PROMPT
from tests.runs.many_requests import PLAIN


def kept_runs(cli: Run) -> list[dict[str, Any]]:
    return cli("runs", "list", "--json").json


def test_an_identical_request_is_answered_from_the_history_and_says_so(
    cli: Run, tiny: list[object], vector_file: Path
) -> None:
    command = ["steer", "--vector", vector_file, "--prompt", PROMPT, "--max-new-tokens", "4", "--json", *tiny]
    first = cli(*command)
    assert first.err == ""
    (run,) = kept_runs(cli)
    assert (run["status"], run["prompt"], run["id"]) == ("finished", PROMPT, 1)

    again = cli(*command)
    assert again.json == first.json
    assert "Answered from the history" in again.err and "(run 1). --fresh computes it again." in again.err
    assert [line["id"] for line in kept_runs(cli)] == [1]

    fresh = cli(*command, "--fresh")
    assert fresh.json == first.json and fresh.err == ""
    # it stands in the place of its equal
    assert len(kept_runs(cli)) == 1
    assert "Answered" not in cli(*command, "--seed", "1", "--temperature", "1").err
    assert len(kept_runs(cli)) == 2


def test_a_refused_request_is_kept_with_the_reason_and_is_refused_again(cli: Run, tiny: list[object]) -> None:
    command = ["steer", "--latent", "4800:1", "--prompt", PROMPT, *tiny]
    for _ in range(2):
        assert "Latent 4800 does not exist" in cli(*command).err
    (run,) = kept_runs(cli)
    assert run["status"] == "failed" and "Latent 4800 does not exist" in run["problem"]


def test_a_damaged_history_is_told_and_stops_nothing(
    cli: Run, tiny: list[object], vector_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "runs.db").write_bytes(b"no database, but long enough to be looked at" * 20)
    ran = cli("steer", "--vector", vector_file, "--prompt", PROMPT, "--max-new-tokens", "2", "--json", *tiny)
    assert ran.code == 0 and len(ran.json["lanes"]) == 2
    assert ran.err.startswith("Warning: this run is not kept.") and "is damaged" in ran.err


def test_what_was_written_before_a_stop_is_kept(
    cli: Run, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stream = engine.run(PLAIN), engine.stream

    def stopped(request: Request) -> Iterator[Event]:
        for number, event in enumerate(stream(request)):
            if number == 3:
                raise KeyboardInterrupt
            yield event

    monkeypatch.setattr(engine, "stream", stopped)
    with pytest.raises(KeyboardInterrupt):
        answered(engine, PLAIN, fresh=False)
    (line,) = kept_runs(cli)
    run = cli("runs", "show", line["id"], "--json").json
    assert line["status"] == "stopped"
    # the first event had the unsteered lane, known before; two tokens followed
    assert run["results"][1]["token_ids"] == list(whole.lanes[1].token_ids)[:2]
