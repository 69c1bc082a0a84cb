"""Housekeeping of the atlas folder: what a stopped build was reading, deleting, setting damaged files aside.

Imports no torch.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sas_core.atlas.corpora import corpora_folder
from sas_core.atlas.files import atlas_folder, not_writable
from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.store import read_made_of
from sas_core.errors import BadInput, SteerscopeError, Unavailable

# beside the file itself, while a connection is open or after a kill
_LOGS = ("-wal", "-shm")
_NOTE = ".corpus"


@dataclass(frozen=True)
class Stopped:
    """An unfinished build; `corpus` is where it was read from, None where nobody noted that."""

    path: Path
    made_of: MadeOf
    corpus: str | None


def stopped(path: Path) -> Stopped:
    """What is known of an unfinished build. Raises what `read_made_of` raises."""
    return Stopped(path, read_made_of(path), _noted(path))


def note_corpus(path: Path, corpus: str) -> None:
    """Remember where the atlas being built at `path` is read from: the file knows only its name and hash."""
    try:
        _note_of(path).write_text(corpus, encoding="utf-8")
    except OSError as error:
        raise not_writable(error) from error


def delete(path: Path) -> None:
    """Remove an atlas or an unfinished build for good, and its corpus if that was uploaded for it alone.

    Raises BadInput for a file outside the atlas folder, Unavailable when it cannot be removed.
    """
    _require_inside(path)
    try:
        for part in _parts(path):
            part.unlink(missing_ok=True)
        corpus = _noted(path)
        _note_of(path).unlink(missing_ok=True)
        _drop_upload(corpus)
    except OSError as error:
        raise not_writable(error) from error


def set_aside(path: Path) -> Path:
    """Rename a damaged atlas to `<name>.damaged-<date>`, where nothing looks for it; returns the new path."""
    _require_inside(path)
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    try:
        for part in _parts(path):
            with suppress(FileNotFoundError):
                part.rename(aside.with_name(aside.name + part.name.removeprefix(path.name)))
    except OSError as error:
        raise not_writable(error) from error
    return aside


def unreadable() -> list[tuple[Path, str]]:
    """The files of the folder that are no atlas one can read, each with the sentence why."""
    found = []
    for path in sorted(atlas_folder().glob("*.db")):
        try:
            read_made_of(path)
        except Unavailable:
            # held by a build that commits; nothing is wrong with it
            continue
        except SteerscopeError as error:
            found.append((path, str(error)))
    return found


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}{_NOTE}")


def _noted(path: Path) -> str | None:
    note = _note_of(path)
    return note.read_text(encoding="utf-8") if note.is_file() else None


def _drop_upload(corpus: str | None) -> None:
    """Remove an uploaded corpus that no other atlas was built from; what the user named stays."""
    if corpus is None or not Path(corpus).is_relative_to(corpora_folder()):
        return
    others = {note.read_text(encoding="utf-8") for note in atlas_folder().glob(f"*{_NOTE}")}
    if corpus not in others:
        Path(corpus).unlink(missing_ok=True)
        with suppress(OSError):
            Path(corpus).parent.rmdir()


def _parts(path: Path) -> list[Path]:
    # the file last: a log without its file would be taken for that of the next one
    return [*(path.with_name(path.name + log) for log in _LOGS), path]


def _require_inside(path: Path) -> None:
    if path.resolve().parent != atlas_folder().resolve():
        raise BadInput(f"{path} is not in the folder of the atlases, so nothing was done to it.")
