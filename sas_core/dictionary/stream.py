"""Token windows -> a shuffled stream of activation vectors without special tokens and sinks."""

from collections.abc import Iterator, Mapping
from typing import Any

from sae_lens.training.mixing_buffer import mixing_buffer
from torch import Tensor

from sas_core.dictionary.corpus import window_batches
from sas_core.dictionary.replay import Replay
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink


class ActivationStream:
    """Counts what it reads, so that a run can say what it learnt from and can resume after it."""

    def __init__(
        self, model: Any, hook_name: str, windows: Iterator, rows: int = 16, replay: Replay | None = None
    ) -> None:
        self.model, self.hook_name, self.rows, self.replay = model, hook_name, rows, replay
        self._windows = windows
        self.windows_read = 0
        self.positions_kept = 0
        self.sinks_dropped = 0

    @property
    def counts(self) -> dict[str, int]:
        """What has been read so far, as the card tells it and `go_on` takes it."""
        return {
            "windows_read": self.windows_read,
            "positions_kept": self.positions_kept,
            "sinks_dropped": self.sinks_dropped,
        }

    def go_on(self, counts: Mapping[str, int]) -> None:
        """Pass over text that an earlier run has already learnt from, and count on from there."""
        for _ in range(counts["windows_read"]):
            next(self._windows, None)
        self.windows_read = counts["windows_read"]
        self.positions_kept, self.sinks_dropped = counts["positions_kept"], counts["sinks_dropped"]

    def vectors(self) -> Iterator[Tensor]:
        """Kept activations of one batch of windows at a time, `[n, d_in]`."""
        device = self.model.cfg.device
        for ids, keep in window_batches(self._windows, self.rows):
            self.windows_read += len(ids)
            activations = activations_at(self.model, self.hook_name, ids.to(device))
            sink = is_sink(activations).cpu()
            self.sinks_dropped += int((sink & keep).sum())
            kept = activations[(keep & ~sink).to(device)].float().clone()
            self.positions_kept += len(kept)
            yield kept

    def batches(self, batch_size: int, buffer_size: int) -> Iterator[Tensor]:
        """Shuffled batches `[batch_size, d_in]` through sae-lens's mixing buffer, with the replayed ones."""
        fresh = mixing_buffer(
            buffer_size=buffer_size, batch_size=batch_size, activations_loader=self.vectors()
        )
        return fresh if self.replay is None else self.replay.mix(fresh)
