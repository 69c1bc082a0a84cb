"""A small, complete vector file as plain JSON values, which each test changes; an empty shelf."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sas_core.vectors.schema import VectorFile
from sas_core.vectors.shelf import Shelf

_FEATURES = [
    {"index": 3, "value": 2.5, "freq_pos": 0.9, "freq_neg": 0.1, "mean_pos": 2.5, "mean_neg": 0.4},
    {"index": 0, "value": -1.25, "freq_pos": 0.2, "freq_neg": 0.8, "mean_pos": 0.3, "mean_neg": 1.25},
    {"index": 7, "value": 0.5, "freq_pos": 1.0, "freq_neg": 0.0, "mean_pos": 0.5, "mean_neg": 0.0},
]

_FILE: dict[str, Any] = {
    "format": "sparse-steering-vector",
    "version": 1,
    "name": "the sea",
    "note": "Pairs about ships and coasts against offices.",
    "created_at": "2026-01-31T12:00:00Z",
    "model": {
        "name": "tiny-llama",
        "revision": "abc123",
        "dtype": "float32",
        "processing": {"center_writing_weights": False},
        "d_model": 4,
        "chat_template_sha256": "c" * 64,
    },
    "sae": {
        "release": None,
        "sae_id": None,
        "path": "trial_sae",
        "hook_name": "blocks.1.hook_resid_post",
        "d_in": 4,
        "d_sae": 8,
        "sha256": "a" * 64,
        "architecture": "jumprelu",
        "normalize_activations": "none",
    },
    "method": "sas",
    "tau": 0.7,
    "position": "completion-mean",
    "nonlinearity": "relu",
    "steered_tokens": "generated",
    "sides": "both",
    "drop_shared": True,
    "strength": 1.5,
    "features": [{**feature, "label": None} for feature in _FEATURES],
    "pairs": {"name": "sea", "count": 60, "sha256": "b" * 64},
    "verify": {
        "prompt": "Tell me about your day.",
        "prompt_ids": [1, 5, 6],
        "seed": 0,
        "scale": 1.5,
        "max_new_tokens": 4,
        "unsteered": [9, 8],
        "steered": [7, 6],
        "dtype": "float32",
        "device": "cpu",
    },
    "versions": {"torch": "2.13.0"},
    "dense": [0.5, -0.25, 0.0, 0.1234567890123456],
}


@pytest.fixture
def fields() -> dict[str, Any]:
    """The file as plain values, fresh for each test."""
    return copy.deepcopy(_FILE)


@pytest.fixture
def make_vector() -> Callable[..., VectorFile]:
    """A valid vector with some top-level fields replaced."""

    def make(**changes: Any) -> VectorFile:
        return VectorFile.model_validate({**copy.deepcopy(_FILE), **changes})

    return make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shelf" / "vectors.db"


@pytest.fixture
def shelf(path: Path) -> Iterator[Shelf]:
    opened = Shelf(path)
    yield opened
    opened.close()
