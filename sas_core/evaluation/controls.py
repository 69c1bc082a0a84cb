"""What a vector is compared with: random directions of equal norm and its own dense equivalent.

A control is one more row of the batch. Knows nothing about pairs, prompts or tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from sas_core.errors import BadInput
from sas_core.evaluation.margin_report import Row
from sas_core.evaluation.plan import Plan
from sas_core.steering.controls import MatchedEdit, dense_sum, random_direction
from sas_core.steering.edit import DenseEdit, Edit, Edited
from sas_core.steering.engine import Engine
from sas_core.vectors.build import steering_of
from sas_core.vectors.fields import VectorFile


class Metered:
    """Any edit, with the added norm / residual norm of the tokens it touched, averaged."""

    def __init__(self, edit: Edit) -> None:
        self.edit, self.latents, self.gates = edit, edit.latents, edit.gates
        self.tokens, self._total = 0, 0.0

    def apply(self, residual: Float[Tensor, "n d_in"], places: Int[Tensor, " n"] | None = None) -> Edited:
        edited = self.edit.apply(residual, places)
        shares = edited.added.norm(dim=-1) / residual.float().norm(dim=-1)
        self.tokens += len(residual)
        self._total += float(shares.sum())
        return edited

    def read(self, residual: Float[Tensor, "n d_in"]) -> Float[Tensor, "n k"]:
        return self.edit.read(residual)

    @property
    def mean_share(self) -> float:
        """Mean added norm / residual norm over all edited tokens so far; 0 before the first."""
        return self._total / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, eq=False)
class Arm:
    """One steered row of the batch: what the report calls it, and its edit."""

    row: Row
    edit: Edit


def arms(engine: Engine, vector: VectorFile, plan: Plan) -> list[Arm]:
    """The vector and its controls at every non-zero scale; the unsteered row is not among them.

    A random direction changes sign with the scale, as the vector does. Raises BadInput for a vector of zeros.
    """
    dense = dense_sum(engine.dictionary, engine.typical_norm, {f.index: f.value for f in vector.features})
    directions = [random_direction(len(dense), seed).to(dense.device) for seed in range(plan.seeds)]
    return [
        arm
        for scale in plan.scales
        if scale != 0.0
        for arm in _arms_at(engine, vector, scale, plan.controls, dense, directions)
    ]


def _arms_at(
    engine: Engine, vector: VectorFile, scale: float, controls: Sequence[str], dense: Tensor,
    directions: Sequence[Tensor],
) -> Iterator[Arm]:  # fmt: skip
    own = engine.edit_for(steering_of(vector, scale))
    if own is None:
        raise BadInput(f"Every value of {vector.name!r} is zero, so there is nothing to evaluate.")
    yield Arm(Row("vector", scale), own)
    if "dense" in controls:
        yield Arm(Row("dense", scale), DenseEdit(scale * dense))
    for seed, direction in enumerate(directions):
        if "random" in controls:
            yield Arm(Row("random", scale, seed), DenseEdit(scale * dense.norm() * direction))
        if "random-matched" in controls:
            signed = direction if scale > 0 else -direction
            yield Arm(Row("random-matched", scale, seed), MatchedEdit(own, signed))
