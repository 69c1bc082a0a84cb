"""Ctrl-C and SIGTERM for work that should end at a whole step. Knows nothing of the work."""

import signal
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """While entered, SIGTERM does what Ctrl-C does; and once `patient`, the first of either only asks.

    The work looks at `asked` between its steps. Who cannot wait presses again.
    """

    def __init__(self) -> None:
        self.patient = False
        self.asked = False

    def __enter__(self) -> Self:
        self._before = [signal.signal(each, self._received) for each in _SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in zip(_SIGNALS, self._before, strict=True):
            signal.signal(each, handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        # nothing is printed here: the signal may have come in the middle of a write to the same stream
        if self.asked or not self.patient:
            raise KeyboardInterrupt
        self.asked = True
