"""The folder of the atlases, and what a file in it is made of. Imports no torch."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlite_utils.db import Database

from sas_core.atlas import made_of
from sas_core.atlas.faults import faults_in_words
from sas_core.atlas.made_of import MadeOf
from sas_core.errors import BadInput, Unavailable
from sas_core.paths import cache_dir


def atlas_folder() -> Path:
    """Where atlases are kept; made if missing. Raises Unavailable when it cannot be."""
    try:
        folder = cache_dir() / "atlas"
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise not_writable(error) from error
    return folder


def facts_of(path: Path) -> MadeOf:
    """What a file is made of, finished or not.

    Raises BadInput when there is no such file, it is damaged or no atlas; Unavailable when out of reach.
    """
    if not path.is_file():
        raise BadInput(f"There is no atlas at {path}. Check the path, or build one.")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with (
        faults_in_words("The atlas", path, "Set it aside and build it again."),
        closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection,
    ):
        return made_of.read(Database(connection))


def not_writable(error: OSError) -> Unavailable:
    """The refusal for a fault of the disk."""
    return Unavailable(
        f"The folder of the atlases cannot be written to ({error.strerror or error}). Free some space, or "
        "set STEERSCOPE_CACHE to a writable folder."
    )
