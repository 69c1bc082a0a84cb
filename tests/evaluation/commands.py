"""What every command of `evaluate` must do with what it cannot use."""

from typer.testing import Result


def check_refused(done: Result, sentence: str) -> None:
    """Exit code 2, one line with this in it, nothing on stdout."""
    assert done.exit_code == 2, done.stdout
    assert done.stdout == ""
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
