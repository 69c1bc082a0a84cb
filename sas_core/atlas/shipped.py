"""The atlas that comes with the demo: packed in the repository, unpacked into the cache on first need.

The facts beside the packed file say what is in it, so that nothing is unpacked for another SAE, and an
unpacked one of an older release is seen as such. Imports no torch.
"""

import fcntl
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

from sas_core.atlas.files import atlas_folder, not_writable
from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.store import read_made_of
from sas_core.errors import BadInput, SteerscopeError
from sas_core.model.packed import Damaged, unpacked
from sas_core.paths import PACKAGE

DEMO_FOLDER = PACKAGE / "atlas" / "demo"
ATLAS, CORPUS, FACTS = "atlas.db.zst", "corpus.jsonl.zst", "made_of.json"

_RESTORE = "Restore it from the repository, or build an atlas of your own."


def shipped_facts() -> MadeOf | None:
    """What the packed atlas is made of, or None where none is shipped. Raises BadInput when damaged."""
    if not (DEMO_FOLDER / ATLAS).is_file():
        return None
    try:
        facts: dict[str, Any] = json.loads((DEMO_FOLDER / FACTS).read_text(encoding="utf-8"))
        return MadeOf(**{**facts, "edges": tuple(facts["edges"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"The shipped {FACTS} cannot be read ({error}). {_RESTORE}") from error


def shipped_atlas() -> Path | None:
    """The demo's atlas, unpacked; None where none is shipped.

    Whatever interrupts the unpacking leaves no file under the atlas's name, or a whole one. Raises BadInput
    when the packed file is damaged, Unavailable when the cache cannot be written to.
    """
    facts = shipped_facts()
    if facts is None:
        return None
    path = atlas_folder() / f"demo-{facts.sae_sha256[:12]}.db"
    try:
        with (path.parent / ".demo.lock").open("w") as lock:
            # of two processes that start together one unpacks and the other waits a second
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _holds(path, facts):
                _unpack(DEMO_FOLDER / ATLAS, path)
    except (Damaged, EOFError, zlib.error) as error:
        raise BadInput(f"The shipped {ATLAS} is damaged: {error}. {_RESTORE}") from error
    except OSError as error:
        raise not_writable(error) from error
    return path


def _unpack(packed: Path, path: Path) -> None:
    part = path.with_suffix(".part")
    try:
        with unpacked(packed) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _holds(path: Path, facts: MadeOf) -> bool:
    try:
        return read_made_of(path) == facts
    except SteerscopeError:
        return False
