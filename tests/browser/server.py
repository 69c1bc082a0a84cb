"""A Streamlit server of its own for a test: started, waited for, and ended with the block."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sas_core.paths import ROOT


@contextmanager
def served(script: Path, cache: Path) -> Iterator[str]:
    """The address of a server that runs `script` with `cache` as its cache folder; its log is there too."""
    port = _free_port()
    environment = {**os.environ, "STEERSCOPE_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true",
               f"--server.port={port}", "--browser.gatherUsageStats=false"]  # fmt: skip
    with (cache / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", server, cache / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, f"the server stopped:\n{log.read_text()}"
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"the server did not come up:\n{log.read_text()}")
