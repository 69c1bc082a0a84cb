"""What a sparse vector is made of: how sparse it is, how it meets others, what of a dense direction it holds.

Numbers only: knows vector files, counts and arrays, no model and no text. Nothing here says whether a vector
steers. Formulas, units and sources are in docs/evaluation.md. None stands for what is not defined, or too
large for a float64.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from sas_core.contrast.choice import Choice
from sas_core.contrast.ranking import Ranking
from sas_core.errors import Mismatch
from sas_core.vectors.compose import Part, overlap, weighted
from sas_core.vectors.fields import VectorFile


@dataclass(frozen=True)
class Sparsity:
    """Non-zero values by sign, and how many latents carry the weight.

    `participation`: (sum |v|)^2 / sum v^2, from 1 (one latent) to the number of non-zeros (all of one size);
    0 for a vector of zeros. arXiv 1204.4227 calls it the numerical sparsity, a sharp lower bound on the
    number of non-zeros. It does not change when the vector is multiplied.
    """

    positive: int
    negative: int
    participation: float

    @property
    def nonzero(self) -> int:
        return self.positive + self.negative


@dataclass(frozen=True)
class AtTau:
    """What the rule leaves at one threshold; an empty vector has a participation of 0."""

    tau: float
    sparsity: Sparsity


@dataclass(frozen=True)
class Meeting:
    """Two vectors compared at strength 1.

    `jaccard`: shared latents / latents of either. `signed_jaccard`: the same of (latent, sign), so that a
    latent pulled both ways counts as two that are not shared. `latent_cosine` is of the values, with the
    dictionary's latents as axes; `decoded_cosine` of the sums of decoder rows, where latents that are not
    shared can still be alike. A cosine is None when one of the two is zero.
    """

    left: str
    right: str
    shared_same: int
    shared_opposite: int
    jaccard: float
    signed_jaccard: float
    latent_cosine: float | None
    decoded_cosine: float | None


@dataclass(frozen=True)
class Shared:
    """A latent of two vectors or more: its value in each (0 where it is not in it), and its label."""

    index: int
    values: tuple[float, ...]
    label: str | None

    @property
    def opposite(self) -> bool:
        """Whether two of the vectors pull it in different directions."""
        return min(self.values) < 0 < max(self.values)


@dataclass(frozen=True)
class Explained:
    """How much of a dense direction d a vector holds, by its decoded sum s and by its decoder rows.

    `cosine` of s and d; `length` = |s| / |d|; `by_line` = cosine^2, the share of |d|^2 that s explains at the
    best strength of either sign; `by_sum` = 1 - |d - s|^2 / |d|^2, what it explains at strength 1, below 0
    when d - s is longer than d; `by_span`: the share that the `rank` independent decoder rows explain with
    any values and signs (least squares). `chance` = rank / d_in is what rows without any relation to d
    explain on average, to be held beside `by_span`. All but `rank` and `chance` are None when d is zero.
    """

    cosine: float | None
    length: float | None
    by_line: float | None
    by_sum: float | None
    by_span: float | None
    rank: int
    chance: float


def sparsity(values: Iterable[float]) -> Sparsity:
    """Of the values of one vector; zeros are not counted."""
    v = np.array([value for value in values if value], dtype=np.float64)
    above = int((v > 0).sum())
    if not len(v):
        return Sparsity(0, 0, 0.0)
    size = np.abs(v) / np.abs(v).max()
    return Sparsity(above, len(v) - above, float(size.sum() ** 2 / (size**2).sum()))


def sparsity_of(vector: VectorFile) -> Sparsity:
    return sparsity(feature.value for feature in vector.features)


def over_taus(ranking: Ranking, taus: Sequence[float], choice: Choice) -> tuple[AtTau, ...]:
    """The SAS vector of a ranking at each tau, the other switches as in `choice`.

    Raises BadInput for a tau outside 0..1.
    """
    vectors = (ranking.vector(replace(choice, tau=tau))[0] for tau in taus)
    return tuple(AtTau(tau, sparsity(vector.values)) for tau, vector in zip(taus, vectors, strict=True))


def meetings(vectors: Sequence[VectorFile]) -> tuple[Meeting, ...]:
    """Every two of the vectors. Raises Mismatch when they do not name latents of one SAE."""
    for vector in vectors[1:]:
        first = vectors[0]
        if (vector.sae.sha256, vector.sae.hook_name) != (first.sae.sha256, first.sae.hook_name):
            raise Mismatch(
                f"{first.name} and {vector.name} name latents of different SAEs, so what they share means "
                "nothing; compare vectors of one SAE."
            )
    return tuple(_meeting(left, right) for left, right in combinations(vectors, 2))


def matrix(
    names: Sequence[str], met: Sequence[Meeting], figure: str
) -> tuple[tuple[float | None, ...], ...]:  # fmt: skip
    """One figure of every two vectors, a field of `Meeting`, symmetric in the order of `names`; 1 on the
    diagonal, None where it is not defined.
    """
    found = {frozenset((m.left, m.right)): getattr(m, figure) for m in met}
    return tuple(tuple(1.0 if a == b else found[frozenset((a, b))] for b in names) for a in names)


def shared_latents(vectors: Sequence[VectorFile]) -> tuple[Shared, ...]:
    """The latents of two vectors or more: those of most vectors first, then by their second largest value."""
    columns = [weighted(Part(vector, 1.0)) for vector in vectors]
    labels = {f.index: f.label for vector in reversed(vectors) for f in vector.features if f.label}
    rows = (
        Shared(index, tuple(column.get(index, 0.0) for column in columns), labels.get(index))
        for index in set().union(*columns)
    )
    shared = [row for row in rows if sum(map(bool, row.values)) > 1]
    return tuple(sorted(shared, key=_shared_order))


def explained(
    dense: Float[np.ndarray, " d_in"], total: Float[np.ndarray, " d_in"], rows: Float[np.ndarray, "k d_in"]
) -> Explained:
    """How the decoded sum `total` and the decoder `rows` of a vector explain the direction `dense`."""
    d, s, basis = (np.asarray(array, dtype=np.float64) for array in (dense, total, rows))
    fitted, _, rank, _ = np.linalg.lstsq(basis.T, d, rcond=None)
    cosine = _cosine(d, s)
    return Explained(
        cosine=cosine,
        length=_ratio(s, d),
        by_line=None if cosine is None else cosine**2,
        by_sum=_share(d, s),
        by_span=_share(d, fitted @ basis),
        rank=int(rank),
        chance=int(rank) / len(d),
    )


def _meeting(left: VectorFile, right: VectorFile) -> Meeting:
    found = overlap(Part(left, 1.0), Part(right, 1.0))
    a, b = weighted(Part(left, 1.0)), weighted(Part(right, 1.0))
    signed = len(a) + len(b) - found.shared_same
    union = sorted(a.keys() | b.keys())
    return Meeting(
        found.left, found.right, found.shared_same, found.shared_opposite, found.jaccard,
        found.shared_same / signed if signed else 0.0,
        _cosine(*(np.array([side.get(latent, 0.0) for latent in union]) for side in (a, b))),
        found.cosine if math.isfinite(found.cosine) else None,
    )  # fmt: skip


def _shared_order(row: Shared) -> tuple[int, float, int]:
    return -sum(map(bool, row.values)), -sorted(map(abs, row.values))[-2], row.index


def _cosine(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float | None:
    """None when one of the two is zero. Divided by the largest entry first: squares must not overflow."""
    if not a.any() or not b.any():
        return None
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _share(dense: Float[np.ndarray, " d_in"], part: Float[np.ndarray, " d_in"]) -> float | None:
    """1 - |dense - part|^2 / |dense|^2."""
    missed = _ratio(dense - part, dense)
    return None if missed is None else 1.0 - missed * missed


def _ratio(part: Float[np.ndarray, " d_in"], whole: Float[np.ndarray, " d_in"]) -> float | None:
    """Of the lengths. None when its square is no float64; `hypot` has no overflow on the way there."""
    length = math.hypot(*whole)
    found = math.hypot(*part) / length if length else math.inf
    return found if math.isfinite(found * found) else None
