"""A build that is killed at any point, and killed again, ends as if nothing had happened."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sas_core.atlas.store import read_made_of
from tests.atlas.killing import WHOLE
from tests.atlas.table_rows import everything
from tests.helpers import build_sae

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20


@pytest.fixture
def wide_sae(tmp_path) -> Path:
    """So many latents that writing the tables takes several steps."""
    build_sae("jumprelu", d_sae=900).save_model(tmp_path / "sae")
    return tmp_path / "sae"


@pytest.fixture
def corpus(tmp_path) -> Path:
    path = tmp_path / "corpus.jsonl"
    texts = (f"The sea was low on day {i}, so we walked along the river." for i in range(200))
    path.write_text("\n".join(json.dumps({"text": "" if i % 9 == 4 else t}) for i, t in enumerate(texts)))
    return path


@pytest.fixture
def killed(llama_folder, wide_sae, corpus, tmp_path) -> tuple[Path, list[dict]]:
    folder = tmp_path / "atlases"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.atlas.killing", llama_folder, wide_sae, corpus, folder, KILLS, 0]
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(900)
def test_killed_at_twenty_points_and_resumed_the_content_is_that_of_an_uninterrupted_build(killed) -> None:
    folder, kills = killed
    assert len(kills) == KILLS
    whole = everything(folder / WHOLE)
    assert len(whole["latents"]) == 900 and len(whole["contexts"]) > 5_000
    files = sorted({kill["file"] for kill in kills})
    assert len(files) > 2
    for name in files:
        assert read_made_of(folder / name).finished
        assert everything(folder / name) == whole, name
    _check_spread(kills, read_made_of(folder / WHOLE).windows)


def _check_spread(kills: list[dict], windows: int) -> None:
    """Else the test would hold for kills that hit nothing."""
    assert {"reading", "finishing"} <= {kill["stage"] for kill in kills}
    partly = [kill for kill in kills if kill["windows"] and kill["windows"] < windows]
    assert len({kill["windows"] for kill in partly}) > 1, "resumed from several states"
    assert any(kill["windows"] == windows and not kill["finished"] for kill in kills), (
        "tables were being written"
    )
