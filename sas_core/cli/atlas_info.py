"""`atlas info`: what an atlas is made of and holds, and of an unfinished one how far its build is.

Knows no torch and no model.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from sas_core.atlas.readers import Readers
from sas_core.atlas.store import read_made_of
from sas_core.atlas.types import DENSITY_CLASSES
from sas_core.cli.atlas_open import AtlasPath, found
from sas_core.cli.common import AsJson
from sas_core.cli.output import show, show_json, table


def info(cache: AtlasPath = None, as_json: AsJson = False) -> None:
    """Print what an atlas is made of and holds; of an unfinished one how far it is."""
    facts = document(found(cache))
    return show_json(facts) if as_json else show(summary(facts))


def document(path: Path) -> dict[str, Any]:
    """Everything of `MadeOf`, the path and size of the file, and how much is in it.

    `finished` is None and what the file holds is 0 while it is being built. Raises BadInput when the file
    is no atlas or damaged, Unavailable when it is out of reach.
    """
    made = read_made_of(path)
    with closing(Readers(path)) as readers, readers.reading() as db:
        classes = dict(db.execute("SELECT density_class, count(*) FROM latents GROUP BY 1").fetchall())
        contexts, windows = (
            db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("contexts", "windows")
        )
    latents = {name: classes.get(name, 0) for name in DENSITY_CLASSES}
    live = sum(latents.values()) - latents["dead"]
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        **asdict(made),
        "contexts": contexts,
        "windows_kept": windows,
        "latents": {"live": live, **latents},
    }


def summary(facts: dict[str, Any]) -> Table:
    """The facts of `document` for a person."""
    rows = [(name, line.format_map(facts)) for name, line in _lines(facts)]
    return table(("", ""), rows, header=False)


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    done = facts["finished"] is not None
    yield "file", "{path}, {bytes:,} bytes"
    yield "finished", "{finished}" if done else "no; `atlas build` with --resume goes on"
    yield "model", "{model}, {dtype}"
    yield "SAE", "{sae_name}: {d_sae:,} latents at {hook_name} (sha256 {sae_sha256:.12})"
    yield "corpus", "{corpus} (sha256 {corpus_sha256:.12})"
    if facts["limit_tokens"]:
        yield "limit", "{limit_tokens:,} tokens"
    yield "read", "{tokens_read:,} tokens of {documents:,} documents in windows of {window}"
    yield "counted", "{tokens_seen:,} tokens"
    yield "left out", "{special_excluded:,} special tokens, {sinks_excluded:,} attention sinks"
    if done:
        yield "live latents", "{latents[live]:,}, of them {latents[rare]:,} rare and {latents[dense]:,} dense"
        yield "dead latents", "{latents[dead]:,}"
        yield "contexts", "{contexts:,} in {windows_kept:,} windows"
