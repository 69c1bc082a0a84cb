"""Store each weight as a strided view whose rearranged form is already contiguous.

HookedTransformer keeps attention weights as `[head, d_model, d_head]` and rearranges (copies) them at
every call into what the linear kernel wants; at batch 1 those copies are two thirds of a decode step.
After this pass each of the copies is a no-op. Values, shapes and outputs are bit-identical.
"""

from torch import nn

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


def lay_out_for_decoding(model: nn.Module) -> int:
    """Re-store the parameters named above in place; returns how many were re-stored.

    Left as they are: parameters of another rank (mixture-of-experts blocks, quantised weights), and those
    that transformer-lens reads without a copy.
    """
    changed = 0
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            order = _IN_MEMORY.get(name)
            if order is None or parameter.dim() != len(order) or _is_read_as_stored(module, name):
                continue
            back = [order.index(i) for i in range(len(order))]
            parameter.data = parameter.data.permute(order).contiguous().permute(back)
            changed += 1
    return changed


def _is_read_as_stored(module: nn.Module, name: str) -> bool:
    """Without a copy to save, another order in memory only picks a kernel that rounds otherwise."""
    if name in ("W_in", "W_out"):
        return not hasattr(module, "W_gate")  # the plain MLP multiplies by the weight as it is
    # with a single head the rearranged form is a view of the stored one; W_O is copied all the same
    return name in ("W_Q", "W_K", "W_V", "_W_K", "_W_V") and getattr(module, name).shape[0] == 1
