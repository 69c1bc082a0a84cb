"""`atlas score`: its table tells what its JSON has; refusals are one sentence; a stop keeps nothing."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from sas_core.cli import atlas_score
from sas_core.model.presets import custom_preset, load_engine
from sas_core.steering.engine import Engine
from tests.atlas.test_detection import planted
from tests.atlas.tiny_atlas import tiny_atlas
from tests.cli.conftest import Run
from tests.cli.test_usage import said


@pytest.fixture(scope="module")
def path(llama_folder: Path, sparse_sae_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planted atlas of the tiny engine. Read-only."""
    engine = load_engine(custom_preset(str(llama_folder), sae_path=str(sparse_sae_folder)), device="cpu")
    return planted(tmp_path_factory.mktemp("planted") / "planted.db", engine)


def test_the_document_says_what_was_done_and_has_every_latent(
    cli: Run, tiny: list[object], engine: Engine, path: Path
) -> None:
    command = ["atlas", "score", "--cache", path, "--sample", 8, "--seed", 3, *tiny]
    ran = cli(*command, "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert document["asked"] == {"sample": 8, "seed": 3} and len(document["latents"]) == 8
    assert document["sae"]["sha256"] == document["atlas"]["sae_sha256"] == engine.dictionary.identity.sha256
    assert document["atlas"]["corpus_sha256"] and document["atlas"]["versions"] is not None
    assert "blocks.2.hook_resid_post" in document["method"]["embedding"]
    assert set(document["summary"]) == {"latents", "contexts of random others", "random directions"}
    for judge in ("embedding", "words"):
        areas = [each["judged"][judge]["top"]["area"] for each in document["latents"]]
        found = document["summary"]["latents"][judge]["top"]
        assert found["mean"] == pytest.approx(sum(area["value"] for area in areas) / 8)
        ones = [area["value"] >= 0.8 and area["low"] > 0.5 for area in areas]
        assert found["one_thing"]["value"] == sum(ones) / 8 and len(found["deciles"]) == 9
        assert ones == [each["one_thing"][judge] for each in document["latents"]]
    both = [all(each["one_thing"].values()) for each in document["latents"]]
    assert document["agreement"]["both"] == sum(both)
    outputs = [each["output_score"] for each in document["latents"]]
    assert document["scores"]["output"]["share_above"]["0.01"] == sum(o > 0.01 for o in outputs) / 8

    table = cli(*command)
    assert table.code == 0 and "Ran on cpu" in table.err
    share = document["summary"]["latents"]["words"]["top"]["one_thing"]
    assert f"{share['value']:.0%} [{share['low']:.0%}, {share['high']:.0%}]" in table.out
    assert "contexts of random others" in table.out and "random directions" in table.out
    assert "were drawn" in table.out and "Chance is 0.5" in table.out


def test_what_cannot_be_scored_is_one_sentence(
    cli: Run, tiny: list[object], engine: Engine, path: Path, tmp_path: Path
) -> None:
    other = tiny_atlas(tmp_path / "other.db", engine=engine, sae_sha256="b" * 64)
    little = tiny_atlas(tmp_path / "little.db", engine=engine)
    assert "another SAE" in said(cli, "atlas", "score", "--cache", other, *tiny)
    assert "an atlas of more text" in said(cli, "atlas", "score", "--cache", little, *tiny)
    assert "smaller --sample" in said(cli, "atlas", "score", "--cache", path, "--sample", 48, *tiny)
    assert "There is no atlas of" in said(cli, "atlas", "score", *tiny)
    assert "'--sample'" in said(cli, "atlas", "score", "--sample", 0)
    # told before a model is loaded: this one is nowhere
    nowhere = ["--model", "nowhere", "--sae-path", "nowhere"]
    assert "no atlas at" in said(cli, "atlas", "score", "--cache", tmp_path / "no.db", *nowhere)


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_with_its_code_and_the_handlers_as_they_were(
    cli: Run, tiny: list[object], path: Path, monkeypatch: pytest.MonkeyPatch, which: signal.Signals
) -> None:
    judging = threading.Event()
    told = atlas_score.show_steps

    def watched(steps):
        judging.set()
        told((step, time.sleep(0.05))[0] for step in steps)

    monkeypatch.setattr(atlas_score, "show_steps", watched)
    sender = threading.Thread(target=lambda: judging.wait(60) and os.kill(os.getpid(), which))
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    sender.start()
    ran = cli("atlas", "score", "--cache", path, "--sample", 20, *tiny)
    sender.join()
    assert (ran.code, ran.out) == (130, "") and "Stopped; nothing is kept." in ran.err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
