"""A tiny finished atlas to read, with its labels; and a corpus to build one of. Files are read-only."""

import json
from pathlib import Path

import pytest

from sas_core.atlas.build import BuildSpec
from sas_core.atlas.labels import LabelBook
from sas_core.atlas.store import Atlas
from sas_core.model.presets import custom_preset, load_engine
from tests.atlas.building import SEED, TEXTS, TOP_K, WINDOW, finished
from tests.atlas.table_rows import everything
from tests.atlas.tiny_atlas import tiny, tiny_atlas


@pytest.fixture(scope="session")
def read():
    """What the file at `path` must say, by brute force."""
    return tiny()


@pytest.fixture(scope="session")
def path(tmp_path_factory) -> Path:
    """A finished atlas whose tokens are words."""
    return tiny_atlas(tmp_path_factory.mktemp("atlas") / "tiny.db")


@pytest.fixture
def book(tmp_path):
    opened = LabelBook(tmp_path / "labels.db")
    yield opened
    opened.close()


@pytest.fixture
def atlas(path, book):
    opened = Atlas.open(path, book)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def rows() -> list[dict]:
    """Short and long texts, repeated ones, empty ones and chats."""
    plain = [{"text": " ".join(TEXTS[: 1 + i % 3]) + f" Day {i % 20}."} for i in range(45)]
    chats = [
        {"messages": [{"role": "user", "content": TEXTS[1]}, {"role": "assistant", "content": f"It is {i}."}]}
        for i in range(8)
    ]
    return [{"text": ""}, *plain, {"text": " ".join(TEXTS * 4)}, *chats, {"text": None}, {"text": "a"}]


@pytest.fixture(scope="session")
def corpus(rows, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.fixture(scope="session")
def spec(corpus) -> BuildSpec:
    return BuildSpec(corpus, window=WINDOW, top_k=TOP_K, seed=SEED)


@pytest.fixture(scope="session")
def whole(llama_folder, sae_folder, spec, tmp_path_factory) -> dict:
    """The content of an atlas that was built without any interruption."""
    path = tmp_path_factory.mktemp("whole") / "a.db"
    finished(
        load_engine(custom_preset(str(llama_folder), sae_path=str(sae_folder)), device="cpu"), spec, path
    )
    return everything(path)
