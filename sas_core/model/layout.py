"""Store each weight as a strided view whose rearranged form is already contiguous.

HookedTransformer keeps attention weights as `[head, d_model, d_head]` and rearranges (copies) them at
every call into what the linear kernel wants; at batch 1 those copies are two thirds of a decode step.
After this pass each of the copies is a no-op. Weights that read the same input lie behind one another, so
that `fast.py` multiplies by all of them at once. Values, shapes and outputs are bit-identical.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# name of the parameter -> order of its dimensions in memory, slowest first
_IN_MEMORY = {
    "W_Q": (0, 2, 1),
    "W_K": (0, 2, 1),
    "W_V": (0, 2, 1),
    "_W_K": (0, 2, 1),
    "_W_V": (0, 2, 1),
    "W_O": (2, 0, 1),
    "W_in": (1, 0),
    "W_gate": (1, 0),
    "W_out": (1, 0),
    "W_U": (1, 0),
}
_TOGETHER = (("W_Q", "W_K", "W_V", "_W_K", "_W_V"), ("W_gate", "W_in"), ("W_O",), ("W_out",), ("W_U",))


def lay_out_for_decoding(model: nn.Module) -> int:
    """Re-store the parameters named above in place; returns how many were re-stored.

    Left as they are: parameters of another rank (mixture-of-experts blocks, quantised weights), and those
    that transformer-lens reads without a copy.
    """
    changed = 0
    for module in model.modules():
        for names in _TOGETHER:
            found = [name for name in names if _is_copied_when_read(module, name)]
            _store(module, found)
            changed += len(found)
    return changed


def _is_copied_when_read(module: nn.Module, name: str) -> bool:
    parameter = module._parameters.get(name)
    right_rank = parameter is not None and parameter.dim() == len(_IN_MEMORY[name])
    return right_rank and not _is_read_as_stored(module, name)


def _store(module: nn.Module, names: Sequence[str]) -> None:
    """One block of memory for all, unless they differ in kind."""
    arranged = {name: getattr(module, name).data.permute(_IN_MEMORY[name]) for name in names}
    if len({(weight.dtype, weight.device) for weight in arranged.values()}) > 1:
        for name in names:
            _store(module, [name])
        return
    if not names:
        return
    block = torch.cat([weight.reshape(-1) for weight in arranged.values()])
    parts = block.split([weight.numel() for weight in arranged.values()])
    for (name, weight), part in zip(arranged.items(), parts, strict=True):
        order = _IN_MEMORY[name]
        back = [order.index(i) for i in range(len(order))]
        getattr(module, name).data = part.view(weight.shape).permute(back)


def joined(weights: Sequence[Tensor]) -> Tensor | None:
    """One view over weights `[out, in]` that are stored behind one another, None if they are not."""
    first = weights[0]
    end = first.storage_offset()
    for weight in weights:
        if not (
            weight.is_contiguous()
            and weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
            and weight.storage_offset() == end
            and weight.shape[1] == first.shape[1]
        ):
            return None
        end += weight.numel()
    rows = sum(weight.shape[0] for weight in weights)
    return first.as_strided((rows, first.shape[1]), first.stride())


def _is_read_as_stored(module: nn.Module, name: str) -> bool:
    """Without a copy to save, another order in memory only picks a kernel that rounds otherwise."""
    if name in ("W_in", "W_out"):
        return not hasattr(module, "W_gate")  # the plain MLP multiplies by the weight as it is
    # with a single head the rearranged form is a view of the stored one; W_O is copied all the same
    return name in ("W_Q", "W_K", "W_V", "_W_K", "_W_V") and getattr(module, name).shape[0] == 1
