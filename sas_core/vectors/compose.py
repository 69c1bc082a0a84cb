"""Vectors added up with weights: the sum per latent, and how much its parts share or cancel.

A sum of sparse vectors under one sigma is what a steering tray applies, so saving a tray and composing saved
vectors are one thing. Knows files and plain numbers, no model.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from sas_core.errors import BadInput, Mismatch
from sas_core.steering.gates import spell_how
from sas_core.steering.tray import Tray
from sas_core.vectors.fields import MAX_NAME_CHARS, VectorFile


@dataclass(frozen=True)
class Part:
    """One vector and what it is multiplied by."""

    vector: VectorFile
    weight: float


@dataclass(frozen=True)
class Overlap:
    """Two parts compared as weighted: shared latents by sign, Jaccard index, cosine of decoded sums.

    `cosine` is NaN when one of the two decodes to nothing.
    """

    left: str
    right: str
    shared_same: int
    shared_opposite: int
    jaccard: float
    cosine: float

    def sentence(self) -> str:
        shared = self.shared_same + self.shared_opposite
        return (
            f"{self.left} and {self.right} share {shared} {_latents(shared)}: {self.shared_same} pull the "
            f"same way, {self.shared_opposite} against each other (Jaccard {self.jaccard:.2f}, decoder "
            f"cosine {self.cosine:+.2f})."
        )


@dataclass(frozen=True)
class Composition:
    """The sum. `values`: latent -> value at strength 1, largest first, zeros dropped; `norm`: of `dense`."""

    values: dict[int, float]
    labels: dict[int, str]
    cancelled: int
    dense: tuple[float, ...]
    overlaps: tuple[Overlap, ...]

    @property
    def norm(self) -> float:
        return math.hypot(*self.dense)


def compose(parts: Sequence[Part]) -> Composition:
    """`sum_k weight_k v_k` over the parts' latents.

    Raises BadInput for no parts, a weight that is not finite or a sum of zero; Mismatch for different SAEs.
    """
    _check(parts)
    total: dict[int, float] = {}
    for part in parts:
        for index, value in weighted(part).items():
            total[index] = total.get(index, 0.0) + value
    values = {i: v for i, v in sorted(total.items(), key=lambda row: -abs(row[1])) if v}
    if not values:
        raise BadInput("The weighted vectors add up to zero at every latent; change a weight.")
    dense = sum(part.weight * np.asarray(part.vector.dense) for part in parts)
    overlaps = tuple(overlap(left, right) for left, right in combinations(parts, 2))
    return Composition(values, _labels(parts), len(total) - len(values), tuple(dense.tolist()), overlaps)


def overlap(left: Part, right: Part) -> Overlap:
    """How two weighted parts meet. A part of weight 0 has no latents."""
    a, b = weighted(left), weighted(right)
    shared = a.keys() & b.keys()
    same = sum(a[index] * b[index] > 0 for index in shared)
    union = len(a.keys() | b.keys())
    return Overlap(
        left.vector.name, right.vector.name, same, len(shared) - same,
        len(shared) / union if union else 0.0, _cosine(_dense(left), _dense(right)),
    )  # fmt: skip


def weighted(part: Part) -> dict[int, float]:
    """Latent -> weighted value, zeros dropped."""
    values = {feature.index: part.weight * feature.value for feature in part.vector.features}
    return {index: value for index, value in values.items() if value}


def contributions(
    parts: Sequence[Part], values: Mapping[int, float], top: int
) -> list[tuple[int, list[float]]]:
    """The `top` largest latents of a sum and what each part gives to them, in the order of the parts."""
    columns = [weighted(part) for part in parts]
    return [(index, [column.get(index, 0.0) for column in columns]) for index in list(values)[:top]]


def composed_name(names: Sequence[str]) -> str:
    """A name to start from, cut to what a name may be."""
    return " + ".join(names)[:MAX_NAME_CHARS].rstrip()


def recipe(parts: Sequence[Part]) -> str:
    """The composition as a note: `2 x the sea - 0.5 x formal`."""
    terms = [f"{'-' if p.weight < 0 else '+'} {abs(p.weight):g} x {p.vector.name}" for p in parts if p.weight]
    return "Composed: " + " ".join(terms).removeprefix("+ ") + "."


def odd_settings(parts: Sequence[Part]) -> tuple[str, ...]:
    """What a part says about its own use that the composed vector does not keep, one sentence each."""
    return tuple(
        f"{part.vector.name} was made for nonlinearity {part.vector.nonlinearity} on "
        f"{part.vector.steered_tokens} tokens; the sum is applied with relu on generated tokens."
        for part in parts
        if (part.vector.nonlinearity, part.vector.steered_tokens) != ("relu", "generated")
    )


def tray_values(tray: Tray) -> tuple[dict[int, float], dict[int, str]]:
    """A tray's sum per latent at global strength 1, and the labels of its single latents.

    Raises BadInput when nothing in the tray is switched on with a strength other than zero, and for an item
    that does not add or that has a gate: a vector file holds what is added, always.
    """
    for item in tray:
        if item.on and (item.mode != "add" or item.gate is not None):
            how = " ".join(spell_how(item.mode, item.gate))
            raise BadInput(
                f"{item.label} is steered with {how}, which a vector file cannot say; switch it off or set "
                "it to add without a gate."
            )
    values = tray.steering(1.0).added()
    if not values:
        raise BadInput("The tray steers with nothing; put something in it, or give it a strength.")
    labels = {
        item.indices[0]: item.label
        for item in tray
        if item.is_latent and item.label != f"latent {item.indices[0]}"
    }
    return dict(sorted(values.items(), key=lambda row: -abs(row[1]))), labels


def tray_recipe(tray: Tray) -> str:
    """What was in the tray, as a note."""
    terms = [f"{item.label} at {item.strength:g}" for item in tray if item.on and item.strength]
    return f"Saved from the tray: {', '.join(terms)}."[:5000]


def _check(parts: Sequence[Part]) -> None:
    if not parts:
        raise BadInput("Choose at least one vector to compose.")
    for part in parts:
        if not math.isfinite(part.weight):
            raise BadInput(f"The weight of {part.vector.name} is not a finite number.")
    first = parts[0].vector
    for part in parts[1:]:
        if (part.vector.sae.sha256, part.vector.sae.hook_name) != (first.sae.sha256, first.sae.hook_name):
            raise Mismatch(
                f"{first.name} and {part.vector.name} name latents of different SAEs, so their sum means "
                "nothing; choose vectors of one SAE."
            )


def _labels(parts: Sequence[Part]) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in parts:
        found |= {f.index: f.label for f in part.vector.features if f.label and f.index not in found}
    return found


def _dense(part: Part) -> Float[np.ndarray, "d_in"]:
    return part.weight * np.asarray(part.vector.dense, dtype=np.float64)


def _cosine(a: Float[np.ndarray, "d_in"], b: Float[np.ndarray, "d_in"]) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else math.nan


def _latents(count: int) -> str:
    return "latent" if count == 1 else "latents"
