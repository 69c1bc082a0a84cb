"""docs/cli.md shows every command's real help. To bring it up to date: python -m tests.cli.reference"""

from tests.cli.reference import PAGE, commands, documented, help_of, with_fresh_help


def test_every_command_is_in_the_documentation_with_its_present_help() -> None:
    shown = documented(PAGE.read_text(encoding="utf-8"))
    names = [" ".join(path) for path, _ in commands()]
    assert set(names) <= set(shown)
    # words, not layout: another version of typer may wrap lines elsewhere
    stale = [
        name for name in names if help_of(name).split() != shown[name].split("--help\n", 1)[1].split()[:-1]
    ]
    assert stale == []


def test_a_stale_block_is_made_anew_and_the_prose_is_kept() -> None:
    page = "Before.\n```text\n$ python -m sas_core vector show --help\nSTALE\n```\nAfter.\n"
    fresh = with_fresh_help(page)
    assert fresh.startswith("Before.\n") and fresh.endswith("```\nAfter.\n") and "STALE" not in fresh
    assert help_of("vector show") in fresh and with_fresh_help(fresh) == fresh
