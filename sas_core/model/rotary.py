"""What the layers of one kind share in a forward pass: the rotation of its positions, and their mask."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class Rotary:
    """Cosines and signed sines of the first positions, from transformer-lens's own formula."""

    def __init__(self, attn: Any, positions: int) -> None:
        cfg = attn.cfg
        sin, cos = attn.calculate_sin_cos_rotary(
            cfg.rotary_dim, positions, base=attn._rotary_base(), dtype=cfg.dtype
        )
        half, self.adjacent = cfg.rotary_dim // 2, cfg.rotary_adjacent_pairs
        self.cos = cos.to(cfg.device)
        # [x1, x2] turns into [x1 cos - x2 sin, x2 cos + x1 sin]: the sign goes with the sine
        sign = torch.ones(cfg.rotary_dim, dtype=cfg.dtype)
        sign[slice(0, None, 2) if self.adjacent else slice(0, half)] = -1
        self.sin = (sin * sign).to(cfg.device)
        self._half, self._width = half, cfg.rotary_dim

    def turn(self, x: Float[Tensor, "row pos head d"], cos: Tensor, sin: Tensor) -> Tensor:
        part = x if self._width == x.shape[-1] else x[..., : self._width]
        if self.adjacent:
            other = part.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
        else:
            other = part.roll(self._half, -1)
        turned = torch.addcmul(part * cos, other, sin)
        return turned if part is x else torch.cat([turned, x[..., self._width :]], dim=-1)


class View:
    """What all layers of one kind share in one forward pass: the rotation, and what may be looked at."""

    def __init__(self, table: Rotary | None, attn: Any, start: int, residual: Tensor) -> None:
        pos = residual.shape[1]
        self._table = table
        if table is not None:
            self._cos, self._sin = (t[start : start + pos, None] for t in (table.cos, table.sin))
        window = attn.cfg.window_size if attn.attn_type == "local" else None
        end = start + pos
        # one position looks back on everything, or on its window: no mask is needed
        self.first = max(0, end - window) if window and pos == 1 else 0
        self.mask = None
        if pos > 1:
            queries = torch.arange(start, end, device=residual.device)[:, None]
            keys = torch.arange(end, device=residual.device)
            self.mask = keys <= queries
            if window:
                self.mask &= keys > queries - window

    def turn(self, x: Float[Tensor, "row pos head d"]) -> Float[Tensor, "row pos head d"]:
        return x if self._table is None else self._table.turn(x, self._cos, self._sin)
