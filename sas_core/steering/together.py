"""Lanes of one vector edited in one go: a filmstrip of strengths costs about what one lane costs.

Knows plain additions only (SAS as published); every other edit is applied lane by lane in `hook.py`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sas_core.steering.edit import Edit, SparseEdit, sigma
from sas_core.steering.receipt import Meter


class Together:
    """Lanes whose plain edits touch the same latents of the same SAE through the same sigma.

    `rows`: where they are in the batch. Nothing here waits for the device.
    """

    def __init__(self, rows: Sequence[int], edits: Sequence[SparseEdit], meters: Sequence[Meter]) -> None:
        first = edits[0]
        self._support, self._nonlinearity = first.support, first.nonlinearity
        self.rows: Int[Tensor, " lane"] = torch.tensor(list(rows), device=first.shift.device)
        self._shifts: Float[Tensor, "lane 1 k"] = torch.stack([edit.shift for edit in edits])[:, None]
        self._meters = list(meters)

    def apply(
        self, residual: Float[Tensor, "lane pos d_in"], sinks: Bool[Tensor, "lane pos"], *, decoding: bool
    ) -> Float[Tensor, "lane pos d_in"]:
        """As `SparseEdit.apply` in every lane and position that is no sink; sinks come back bit for bit."""
        x = residual.float()
        lanes, pos, _ = x.shape
        before = self._support.encode(x.flatten(0, 1))
        asked = (before.view(lanes, pos, -1) + self._shifts).flatten(0, 1)
        requested = sigma(asked, self._nonlinearity, self._support.thresholds)
        added = self._support.write(requested - before).view_as(x)
        edited = torch.where(sinks[..., None], residual, (x + added).to(residual.dtype))
        realised = self._support.encode(edited.flatten(0, 1))
        self._note(x, edited, torch.stack([before, requested, realised]), sinks, decoding)
        return edited

    def _note(
        self, x: Tensor, edited: Tensor, values: Float[Tensor, "3 n k"], sinks: Tensor, decoding: bool
    ) -> None:
        lanes, pos = sinks.shape
        shares = (edited.float() - x).norm(dim=-1) / x.norm(dim=-1).clamp_min(1e-12)
        values = values.unflatten(1, (lanes, pos))
        sums = torch.where(sinks[None, :, :, None], 0.0, values).sum(dim=2).unbind(dim=1)
        for meter, share, sum_, sink in zip(self._meters, shares, sums, sinks, strict=True):
            meter.note(share, sum_, sink, decoding=decoding)


def gather(edits: Sequence[Edit | None], meters: Sequence[Meter | None]) -> tuple[list[Together], list[int]]:
    """The groups that can be edited in one go, and the rows of the edits that cannot."""
    groups: dict[tuple[object, ...], list[int]] = {}
    alone: list[int] = []
    for row, edit in enumerate(edits):
        # a subclass may do something else in `apply`
        if type(edit) is SparseEdit and edit.plain:
            key = (id(edit.dictionary), edit.latents, edit.nonlinearity)
            groups.setdefault(key, []).append(row)
        elif edit is not None:
            alone.append(row)
    together = [
        Together(rows, [edits[i] for i in rows], [meters[i] for i in rows]) for rows in groups.values()
    ]
    return together, alone
