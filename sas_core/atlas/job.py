"""An atlas built in the background: one thread a process, asked for by any session, seen by all.

The thread survives every fault of a build and says what it was; nothing of the dashboard is known here.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sas_core.atlas.build import BuildSpec, Progress, build
from sas_core.errors import BadInput, SteerscopeError

if TYPE_CHECKING:
    from sas_core.steering.engine import Engine

State = Literal["idle", "running", "stopping", "stopped", "done", "failed"]
Builder = Callable[..., Generator[Progress, None, None]]


class BuildJob:
    """Make one per process. `progress`, `error`, `path` and `spec` are those of the last build started."""

    def __init__(self, builder: Builder = build) -> None:
        self._builder = builder
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None
        self.state: State = "idle"
        self.progress: Progress | None = None
        self.error: str | None = None
        self.path: Path | None = None
        self.spec: BuildSpec | None = None

    @property
    def active(self) -> bool:
        """Whether a build runs or is about to stop."""
        return self.state in ("running", "stopping")

    def start(self, engine: "Engine", spec: BuildSpec, path: Path, resume: bool = False) -> None:
        """Begin to build, or with `resume` go on with, the atlas at `path`; returns at once.

        What goes wrong later is in `state` and `error`. Raises BadInput while another build runs.
        """
        with self._lock:
            if self.active:
                raise BadInput(
                    f"An atlas is being built already ({self.path}); wait until it is done, or stop it."
                )
            self.progress, self.error = None, None
            self.path, self.spec = path, spec
            self._asked.clear()
            steps = self._builder(engine, spec, path, resume=resume)
            # a daemon: the server must be able to end, and what is committed survives that
            self._thread = threading.Thread(
                target=self._run, args=(steps,), name=f"atlas {path.name}", daemon=True
            )
            self._thread.start()
            self.state = "running"

    def stop(self) -> None:
        """Ask the build to keep what is done and end, which takes until its next step; see `state`."""
        with self._lock:
            if self.state == "running":
                self.state = "stopping"
                self._asked.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the build to end, at most so long; True when none runs."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return not self.active

    def _run(self, steps: Generator[Progress, None, None]) -> None:
        try:
            ended = self._follow(steps)
        except SteerscopeError as error:
            self._end("failed", str(error))
        except BaseException as fault:
            self._end(
                "failed",
                f"The build ended on a fault of the program ({type(fault).__name__}). What was read "
                "before is kept and can be resumed; the log of the server has the details.",
            )
            # the thread's own last words: the traceback, in the log
            raise
        else:
            self._end(ended)

    def _follow(self, steps: Generator[Progress, None, None]) -> State:
        with closing(steps):
            for at in steps:
                self.progress = at
                if self._asked.is_set():
                    return "stopped"
        return "done"

    def _end(self, state: State, error: str | None = None) -> None:
        with self._lock:
            self.error, self.state = error, state
