"""The help of every command, and docs/cli.md with that help in it.

`python -m tests.cli.reference`, run in the root of the repository, brings docs/cli.md up to date.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from sas_core.cli import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
PROGRAM = "python -m sas_core"
_BLOCK = re.compile(rf"(```text\n\$ {PROGRAM} (?P<path>[a-z -]*?) ?--help\n).*?(```)", re.DOTALL)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, command) of every command that does something, groups left out."""
    yield from _below((), get_command(app))


def _below(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _below((*path, name), child)


def help_of(path: str) -> str:
    """What `--help` prints, 80 columns wide."""
    result = CliRunner().invoke(app, [*path.split(), "--help"], prog_name=PROGRAM, terminal_width=80)
    return result.stdout.strip() + "\n"


def with_fresh_help(page: str) -> str:
    """The page with each help block made anew; the prose is kept."""
    return _BLOCK.sub(lambda found: found[1] + help_of(found["path"]) + found[3], page)


def documented(page: str) -> dict[str, str]:
    """Command -> the help the page shows for it."""
    return {found["path"]: found[0] for found in _BLOCK.finditer(page)}


if __name__ == "__main__":
    PAGE.write_text(with_fresh_help(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
