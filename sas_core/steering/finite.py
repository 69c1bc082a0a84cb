"""Where a lane's numbers stopped being finite: its tokens are run once more with every layer watched.

Only done for a lane that has already failed, so that generation itself pays nothing for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from sas_core.model.chat import PromptTokens
from sas_core.model.hooked import layer_of
from sas_core.steering.edit import Edit, Edited
from sas_core.steering.score import completion_logits
from sas_core.steering.spec import Lane, SteeredTokens

_WATCHED = ("hook_embed", "hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")


@dataclass(frozen=True)
class Fault:
    """`hook_name`: the first place with NaN or infinity, None if a second run met none.

    `latent`: the latent whose change was not finite or, failing that, the largest; None without an edit.
    """

    hook_name: str | None
    latent: int | None = None
    change: float = 0.0

    def sentence(self, lane: Lane, written: int, edited_at: str, dtype: str) -> str:
        """What happened in this lane after `written` tokens, and what to do."""
        head = f"Lane {lane.name!r} was stopped after {written} tokens: "
        if self.hook_name is None:
            return f"{head}its logits were not finite numbers, and a second run did not show why; try again."
        layer = layer_of(self.hook_name)
        where = self.hook_name if layer is None else f"layer {layer} ({self.hook_name})"
        what = f"{head}activations stopped being finite numbers at {where}"
        if lane.steering is None:
            return f"{what}, unsteered. The model's format ({dtype}) may be too small for it; choose another."
        cause = "" if self.latent is None else f" after latent {self.latent} was changed by {self.change:.3g}"
        place = "" if self.hook_name == edited_at or not cause else f" at {edited_at}"
        return f"{what}{cause}{place}. Lower the strength."


def find_fault(
    model: Any,
    hook_name: str,
    prompt: PromptTokens,
    written: Sequence[int],
    edit: Edit | None,
    *,
    tokens: SteeredTokens,
    typical_norm: float,
) -> Fault:
    """Run prompt and tokens again as one lane and say what stopped being finite first.

    The caller holds the turn.
    """
    watched = None if edit is None else _Watched(edit)
    seen: list[str] = []

    def watch(value: Tensor, hook: Any) -> None:
        if not seen and not bool(value.isfinite().all()):
            seen.append(hook.name)

    names = [name for name in model.hook_dict if name.endswith(_WATCHED) or name == hook_name]
    # set before the steering hook, so at its place these see what came in; `_Watched` sees what went out
    with model.hooks(fwd_hooks=[(name, watch) for name in names]):
        completion_logits(
            model, hook_name, prompt, [[*written, 0]], [watched], tokens=tokens, typical_norm=typical_norm
        )
    first = seen[0] if seen else None
    if watched is None:
        return Fault(first)
    change, latent = watched.largest
    return Fault(hook_name if watched.broke else first, latent, change)


class _Watched:
    """An edit that remembers the first token it made infinite, and which of its latents changed most."""

    def __init__(self, edit: Edit) -> None:
        self._edit, self.latents, self.gates = edit, edit.latents, edit.gates
        self.broke = False
        self.largest: tuple[float, int | None] = (0.0, None)

    def apply(self, residual: Float[Tensor, "n d_in"], places: Int[Tensor, " n"] | None = None) -> Edited:
        edited = self._edit.apply(residual, places)
        came_finite = bool(residual.isfinite().all())
        if came_finite and not self.broke:
            self._note(edited)
            self.broke = not bool(edited.residual.isfinite().all())
        return edited

    def read(self, residual: Float[Tensor, "n d_in"]) -> Float[Tensor, "n k"]:
        return self._edit.read(residual)

    def _note(self, edited: Edited) -> None:
        change = edited.requested - edited.before
        if not change.numel():
            return
        size = change.abs().nan_to_num(nan=float("inf"), posinf=float("inf")).max(dim=0).values
        column = int(size.argmax())
        if float(size[column]) > self.largest[0]:
            self.largest = (float(size[column]), self.latents[column])
