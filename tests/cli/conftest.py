"""The command line as a user has it: arguments in; exit code, stdout and stderr out. Tiny models only."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sas_core.cli import app
from sas_core.model.presets import custom_preset, load_engine
from sas_core.steering.engine import Engine
from tests.atlas.tiny_atlas import tiny_atlas
from tests.helpers import build_sae

_TOPICS = ("Monday", "trains", "winter", "the river", "autumn", "talking", "kindness", "today")
_KINDS = ("low", "late", "grey", "near", "wide", "still", "cold", "early", "open", "far", "loud", "kind")
PAIRS = [
    {
        "prompt": f"Say something about {_TOPICS[i % 8]}.",
        "positive": f"the sea is {_KINDS[i % 12]} and warm",
        "negative": f"a book on {_KINDS[i % 5]} days",
    }
    for i in range(24)
]


@dataclass(frozen=True)
class Ran:
    """How one command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        """The one document on stdout."""
        return json.loads(self.out)


Run = Callable[..., Ran]


def run_cli(*arguments: object, stdin: str | None = None) -> Ran:
    """Run a command in this process. A fault that is no refusal is raised, as it is for a user."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, prog_name="python -m sas_core")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands with a data folder of this test's own."""
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path / "cache"))
    return run_cli


@pytest.fixture
def atlas_path(tmp_path: Path) -> Path:
    """A finished atlas whose tokens are words."""
    return tiny_atlas(tmp_path / "tiny.db")


def sparse_sae() -> Any:
    """The usual tiny SAE with higher thresholds: a few latents fire at a token, as in a trained one."""
    sae = build_sae("jumprelu")
    sae.threshold.data += 5.0
    return sae


@pytest.fixture(scope="session")
def sparse_sae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sae-sparse")
    sparse_sae().save_model(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(llama_folder: Path, sparse_sae_folder: Path) -> list[object]:
    """Options that load the tiny chat model with this SAE."""
    return ["--model", llama_folder, "--sae-path", sparse_sae_folder, "--device", "cpu"]


@pytest.fixture
def engine(llama_folder: Path, sparse_sae_folder: Path) -> Engine:
    """What these options load."""
    return load_engine(custom_preset(str(llama_folder), sae_path=str(sparse_sae_folder)), device="cpu")


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "tides.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in PAIRS), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def vector_file(tiny: list[object], pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vector as `vector build` writes it by the published rule, of what fires at any token. Read-only."""
    folder = tmp_path_factory.mktemp("vectors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEERSCOPE_CACHE", str(folder / "cache"))
        read_at = ["--position", "completion-mean", "--drop-shared"]
        built = run_cli("vector", "build", "--pairs", pairs_file, "--out", folder / "v.json", *read_at, *tiny)
    assert built.code == 0, built.err
    return folder / "v.json"


@pytest.fixture(scope="session")
def dead_latent_sae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SAE of the same shape and other weights, whose latent 7 can never fire."""
    folder = tmp_path_factory.mktemp("sae-dead")
    sae = build_sae("jumprelu", hook_name="blocks.1.hook_resid_post", seed=6)
    sae.b_enc.data[7] = -1e6
    sae.save_model(folder)
    return folder
