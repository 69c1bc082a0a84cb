"""The one seam of all pages: the tiny engine as what they load, with empty stores; an atlas, a sweep."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from pages.shared import loaded
from sas_core.atlas.files import atlas_folder
from sas_core.atlas.store import Atlas
from sas_core.steering.engine import Engine
from tests.atlas.tiny_atlas import TEXTS, tiny_atlas
from tests.pages.evaluate import HELDOUT, TINY, TRAIN, pair_file
from tests.pages.latent import CALLBACKS
from tests.pages.test_tokens import NASTY

_MARKUP = "the <img src=x onerror=alert(1)> sea ![](http://x) and $x$"


@pytest.fixture
def tiny(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The tiny engine as what every page loads, whatever is chosen; what pages keep is in `tmp_path`.

    No work of the test goes on in the background after it.
    """
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(loaded, "_load", lambda choice: engine)
    monkeypatch.setattr(loaded, "PACKAGE", tmp_path)  # no shipped vectors
    _forget()
    yield engine
    for job in (loaded.get_build_job(), loaded.get_sweep_job(), loaded.get_tool_job()):
        job.stop()
        assert job.wait(60)
    _forget()


@pytest.fixture
def tables(monkeypatch) -> None:
    """Keep the callbacks of the tables that are drawn: AppTest has no click on a row."""
    draw = st.dataframe

    def dataframe(*args: Any, **options: Any) -> Any:
        if callable(options.get("on_select")):
            CALLBACKS[options["key"]] = options["on_select"]
        return draw(*args, **options)

    monkeypatch.setattr(st, "dataframe", dataframe)


@pytest.fixture
def atlas(engine: Engine, tmp_path: Path) -> Atlas:
    """An atlas of the tiny engine, of a corpus in which texts look like markup."""
    texts = [*TEXTS, *(f"See {nasty} here" for nasty in NASTY)]
    return Atlas.open(
        tiny_atlas(tmp_path / "atlas" / "tiny.db", texts, engine=engine, corpus="/some/tiny.jsonl")
    )


@pytest.fixture
def atlas_path(tiny: Engine) -> Path:
    """The file of an atlas where the pages look for it."""
    return tiny_atlas(atlas_folder() / "tiny.db", (_MARKUP, *TEXTS), engine=tiny)


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., str]:
    """A spec of two strengths that runs in a second, as text; fields can be changed."""
    pairs = pair_file(tmp_path / "train.jsonl", TRAIN)
    heldout = pair_file(tmp_path / "held.jsonl", HELDOUT)

    def made(**fields: object) -> str:
        return json.dumps(
            {"name": "warm", "preset": "custom", "measures": ["margin"], "axes": TINY, "seeds": 1,
             "controls": ["dense"], "pairs": pairs, "heldout": heldout, **fields}
        )  # fmt: skip

    return made


def _forget() -> None:
    st.cache_resource.clear()
    st.cache_data.clear()
