"""A steering as operations on latents: what is set, multiplied and added to which, under which gate.

Torch-free. At every steered position, with `f` the latents and only the terms whose gate is open there,

    z_i = base_i * (product of the factors) + (sum of what is added)
    base_i = the sum of the clamps' targets if there is a clamp, else f_i

so the order of the terms does not matter. docs/steering.md has the formulas and their sources.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sas_core.steering.gates import Gate, WhileAbove
from sas_core.steering.spec import Steering, Term


@dataclass(frozen=True)
class Operations:
    """Everything that one gate lets through: latent -> amount. `gate=None`: always open."""

    gate: Gate | None
    shifts: dict[int, float] = field(default_factory=dict)
    targets: dict[int, float] = field(default_factory=dict)
    factors: dict[int, float] = field(default_factory=dict)

    @property
    def latents(self) -> set[int]:
        return {*self.shifts, *self.targets, *self.factors}


def operations_of(steering: Steering) -> tuple[Operations, ...]:
    """One entry per gate that has something to do, the ungated first.

    A term of strength 0 does nothing in any mode, and additions that cancel are left out.
    """
    found: dict[Gate | None, Operations] = {None: Operations(None)}
    for term in steering.terms:
        amount = steering.scale * term.strength
        if amount != 0.0:
            _note(found.setdefault(term.gate, Operations(term.gate)), term, amount)
    whole = (Operations(o.gate, _without_zeros(o.shifts), o.targets, o.factors) for o in found.values())
    return tuple(o for o in whole if o.latents)


def acts(steering: Steering | None) -> bool:
    """Whether there is anything to do at all; if not, the lane is the unsteered one."""
    return steering is not None and bool(operations_of(steering))


def written_latents(operations: Iterable[Operations]) -> tuple[int, ...]:
    """All latents that may be changed, in ascending order."""
    return tuple(sorted(set().union(*(o.latents for o in operations))))


def gate_latents(operations: Iterable[Operations]) -> tuple[int, ...]:
    """All latents that a gate reads, in ascending order."""
    return tuple(sorted({o.gate.latent for o in operations if isinstance(o.gate, WhileAbove)}))


def _note(into: Operations, term: Term, amount: float) -> None:
    for index, value in zip(term.indices, term.values, strict=True):
        if term.mode == "add":
            into.shifts[index] = into.shifts.get(index, 0.0) + amount * value
        elif value == 0.0:
            continue
        elif term.mode == "clamp":
            into.targets[index] = into.targets.get(index, 0.0) + amount * value
        else:
            into.factors[index] = into.factors.get(index, 1.0) * _factor(term, value, amount)


def _factor(term: Term, value: float, amount: float) -> float:
    """Never below 0: a latent cannot be multiplied away further than to nothing."""
    if term.mode == "ablate":
        return 1.0 - min(max(amount, 0.0), 1.0)
    return max(0.0, 1.0 + (amount if value > 0 else -amount))


def _without_zeros(amounts: dict[int, float]) -> dict[int, float]:
    return {index: amount for index, amount in amounts.items() if amount != 0.0}
