"""Corpora that came through the page, kept so that a stopped build can go on with the same bytes.

Knows names and bytes, nothing of what is in them: `model.rows` reads them.
"""

import hashlib
import os
import re
from pathlib import Path

from sas_core.errors import BadInput, Unavailable
from sas_core.paths import cache_dir
from sas_core.settings import limit

KINDS = ("jsonl", "json", "txt", "csv", "tsv", "parquet")
_PACKED = ("", ".gz", ".zst")
_MOST_NAME_CHARS = 80


def corpora_folder() -> Path:
    """Where uploaded corpora are kept, until the last atlas built from one is deleted."""
    return cache_dir() / "atlas" / "corpora"


def keep_corpus(name: str, data: bytes) -> Path:
    """Write an uploaded corpus under its own name and the hash of its bytes; the same bytes once only.

    Raises BadInput for an empty or too large one and for a kind that is not read, Unavailable when the
    folder cannot be written to.
    """
    _check(name, data)
    path = corpora_folder() / hashlib.sha256(data).hexdigest()[:12] / _file_name(name)
    if path.is_file() and path.stat().st_size == len(data):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part{os.getpid()}")
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise Unavailable(
            f"The corpus cannot be kept in {path.parent} ({error.strerror}). Free some space or set "
            "STEERSCOPE_CACHE to another folder, and try again."
        ) from error
    return path


def _check(name: str, data: bytes) -> None:
    most = limit("max_corpus_bytes")
    if not data:
        raise BadInput(f"{name} is empty. Choose a file with texts in it.")
    if len(data) > most:
        raise BadInput(
            f"{name} has {len(data) / 1e6:.1f} MB, and at most {most / 1e6:g} MB are uploaded. Give the path "
            "of a file on the machine that runs Steerscope instead, or raise STEERSCOPE_MAX_CORPUS_BYTES."
        )
    if not name.lower().endswith(tuple(f".{kind}{packed}" for kind in KINDS for packed in _PACKED)):
        raise BadInput(
            f"{name} is of no kind that is read. A corpus is a file of {', '.join(KINDS)}, plain or packed "
            "as .gz or .zst."
        )


def _file_name(name: str) -> str:
    """The name without its folders and without what is special to a file system."""
    bare = re.split(r"[\\/]", name)[-1]
    return re.sub(r"[^\w.\- ]", "_", bare).lstrip(".")[-_MOST_NAME_CHARS:]
