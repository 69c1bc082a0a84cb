"""SQLite's complaints about a file of ours in the words of our own errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sas_core.errors import BadInput, Unavailable


@contextmanager
def faults_in_words(what: str, path: Path, remedy: str) -> Iterator[None]:
    """Raise BadInput for a damaged file, with its `remedy`, and Unavailable for one out of reach now.

    `what` names the file's kind in front of its path: "The atlas".
    """
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise Unavailable(
            f"{what} {path} cannot be used now ({error}). Another process may hold it, or the disk may be "
            "full or not readable; try again."
        ) from error
    except sqlite3.DatabaseError as error:
        # SQLite's "malformed" and "not a database" come as the base class; its children are our faults
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise BadInput(f"{what} {path} is damaged ({error}). {remedy}") from error
