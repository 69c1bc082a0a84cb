"""Find a Chromium that runs here, or install one: the system's, else playwright's own, else through apt.

`python tests/browser/chromium.py` does it ahead of the tests and says which one they will drive.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMED = "STEERSCOPE_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Chromium refuses its sandbox as root; the rest keeps it from talking to anything but the app.
LAUNCH_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoChromium(RuntimeError):
    """None found and none could be installed."""


@functools.cache
def find_chromium() -> Path:
    """The executable to pass to playwright; may download or install one. Raises NoChromium."""
    tried = []
    for origin, path in _candidates():
        if path is None:
            tried.append(f"{origin}: none")
        elif version := _version(path):
            print(f"Browser tests use {version} ({origin}, {path})", file=sys.stderr, flush=True)
            return path
        else:
            tried.append(f"{origin}: {path} does not run")
        if origin == NAMED:  # who names one wants that one or none
            break
    raise NoChromium(
        f"The browser tests need a Chromium and none could be had ({'; '.join(tried)}). "
        "Install one and put it on PATH, or name it in STEERSCOPE_CHROMIUM."
    )


def _candidates() -> Iterator[tuple[str, Path | None]]:
    """From the cheapest on; what comes later is only tried, or installed, when it is asked for."""
    if named := os.environ.get(NAMED):
        yield NAMED, Path(named)
    yield "on PATH", _on_path()
    yield "playwright's", _playwrights()
    yield "apt", _from_apt()


def _on_path() -> Path | None:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


def _playwrights() -> Path | None:
    place = _playwright_place()
    if not place.exists():
        print("No Chromium on PATH; asking playwright for its own", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "playwright", "install", "chromium"])
    return place if place.exists() else None


def _playwright_place() -> Path:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path)


def _from_apt() -> Path | None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    print("Installing Chromium with apt-get", file=sys.stderr, flush=True)
    os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
    if _run(["apt-get", "update", "--quiet"]):
        _run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"])
    return _on_path()


def _run(command: list[str]) -> bool:
    """Whether it succeeded; what it said is shown only when it did not."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        print(f"{' '.join(command)} failed: {_last_line(done.stdout)}", file=sys.stderr, flush=True)
    return done.returncode == 0


def _last_line(text: str) -> str:
    """The line that names the cause: the last one with an error in it, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e:"))]
    return (errors or lines or ["no output"])[-1]


def _version(path: Path) -> str | None:
    """What `--version` says; None for a stub, a missing library or a file that is not there."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() if said.returncode == 0 else None


if __name__ == "__main__":
    try:
        find_chromium()
    except NoChromium as error:
        sys.exit(str(error))
