"""Two or more vectors at once: what each combination of strengths does to every behaviour.

`m(s) - m(0)` on the held-out pairs of each behaviour, m being the completion margin with
`sigma(f + sum_k s_k v_k)`. All combinations are rows of one batch. What a vector does to behaviours that are
not its own stands in the off-target matrix, what two do together beyond their sum in `extra`.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.errors import BadInput, Mismatch
from sas_core.evaluation.bootstrap import Estimate, estimate
from sas_core.evaluation.completions import Progress, changes_under, sides, unit_of
from sas_core.evaluation.plan import plan
from sas_core.steering.engine import Engine
from sas_core.steering.spec import Steering
from sas_core.vectors.build import check_belongs, term_of
from sas_core.vectors.fields import VectorFile

MOST_POINTS = 500

Strengths = tuple[float, ...]


@dataclass(frozen=True)
class Scored:
    """A behaviour: the name and number of its held-out pairs, and the unit of its margin."""

    name: str
    count: int
    unit: str


@dataclass(frozen=True)
class GridPoint:
    """One combination. `changes[b]`: by how much the margin of behaviour b rises over the unsteered one.

    `extra[b]`: that, less the sum of the changes under each vector alone at its strength; 0 where effects
    add. None where fewer than two vectors act.
    """

    strengths: Strengths
    changes: tuple[Estimate, ...]
    extra: tuple[Estimate, ...] | None


@dataclass(frozen=True)
class CompositionReport:
    """`points`: every combination of strengths, those of `vectors[v]` being `grid[v]`, ascending, with 0."""

    vectors: tuple[str, ...]
    grid: tuple[Strengths, ...]
    behaviours: tuple[Scored, ...]
    points: tuple[GridPoint, ...]

    def at(self, strengths: Sequence[float]) -> GridPoint:
        """The point of these strengths, one per vector. Raises KeyError when it was not measured."""
        for point in self.points:
            if point.strengths == tuple(strengths):
                return point
        raise KeyError(tuple(strengths))

    def surface(self, behaviour: int) -> tuple[tuple[Estimate, ...], ...]:
        """For two vectors: the change of one behaviour, a row per strength of the first vector."""
        one, other = self.grid
        return tuple(tuple(self.at((a, b)).changes[behaviour] for b in other) for a in one)

    def off_target(self, strengths: Sequence[float]) -> tuple[tuple[Estimate, ...], ...]:
        """A row per vector, alone at its strength of `strengths`: the change of every behaviour.

        Raises KeyError for a strength that is not in the vector's grid.
        """
        return tuple(self.at(_alone(tuple(strengths), v)).changes for v in range(len(self.vectors)))


def evaluate_composition(
    engine: Engine,
    vectors: Sequence[VectorFile],
    heldout: Mapping[str, PairSet],
    grid: Sequence[Sequence[float]],
    *,
    session: str = "",
) -> Iterator[Progress | CompositionReport]:
    """Yield Progress after each pair, and the CompositionReport last. Close the generator to stop.

    `heldout`: behaviour -> the pairs it is scored on; `grid[v]`: strengths of vector v, 0 always measured.
    The vectors share one sigma, so they must agree in nonlinearity and steered tokens. The engine is held for
    one pair at a time. Raises BadInput, Mismatch (a vector of another model), Cancelled.
    """
    strengths = check_composition(vectors, grid)
    for vector in vectors:
        check_belongs(vector, engine)
    behaviours = {name: usable(pairs) for name, pairs in heldout.items()}
    empty = [name for name, pairs in behaviours.items() if not len(pairs)]
    if empty or not behaviours:
        raise BadInput(f"There are no usable pairs{f' of {empty[0]!r}' if empty else ''} to score; add some.")
    combinations = tuple(itertools.product(*strengths))
    tasks = [sides(engine.turns, pair, pairs.form) for pairs in behaviours.values() for pair in pairs.pairs]
    steerings = [_together(vectors, point) for point in combinations]
    changes = yield from changes_under(engine, tasks, steerings, vectors[0].steered_tokens, session)
    # a row that is not steered rounds otherwise than the one it is compared with, if at all
    changes[:, [not any(point) for point in combinations]] = 0.0
    yield _report(vectors, strengths, behaviours, combinations, changes)


def check_composition(
    vectors: Sequence[VectorFile], grid: Sequence[Sequence[float]]
) -> tuple[Strengths, ...]:  # fmt: skip
    """`check_grid`, and whether the vectors can act at once. Raises BadInput, Mismatch."""
    strengths = check_grid([vector.name for vector in vectors], grid)
    _check_together(vectors)
    return strengths


def check_grid(names: Sequence[str], grid: Sequence[Sequence[float]]) -> tuple[Strengths, ...]:
    """The strengths of each vector in ascending order, with 0. Raises BadInput for what cannot be run."""
    if len(names) < 2:
        raise BadInput("One vector is no composition; give two or more.")
    if len(set(names)) < len(names):
        raise BadInput(
            "Two of the vectors have the same name; rename one, so that the results can be told apart."
        )
    strengths = tuple(plan(one, (), 1).scales for one in grid)
    points = math.prod(map(len, strengths))
    if points > MOST_POINTS:
        raise BadInput(
            f"The grid has {points:,} combinations, 0 counted, and at most {MOST_POINTS} are run; give fewer "
            "strengths."
        )
    return strengths


def _check_together(vectors: Sequence[VectorFile]) -> None:
    for field, words in (("nonlinearity", "nonlinearity"), ("steered_tokens", "steered tokens")):
        said = {getattr(vector, field): vector.name for vector in vectors}
        if len(said) > 1:
            (a, one), (b, other), *_ = said.items()
            raise Mismatch(
                f"{one!r} and {other!r} differ in {words} ({a} and {b}), and vectors that act together share "
                "one; build them alike."
            )


def _together(vectors: Sequence[VectorFile], strengths: Strengths) -> Steering | None:
    terms = tuple(term_of(vector, s) for vector, s in zip(vectors, strengths, strict=True) if s)
    first = vectors[0]
    return Steering(terms, 1.0, first.nonlinearity, first.steered_tokens) if terms else None


def _alone(strengths: Strengths, vector: int) -> Strengths:
    return tuple(s if v == vector else 0.0 for v, s in enumerate(strengths))


def _report(
    vectors: Sequence[VectorFile],
    grid: tuple[Strengths, ...],
    behaviours: Mapping[str, PairSet],
    combinations: Sequence[Strengths],
    changes: Float[np.ndarray, "pair point"],
) -> CompositionReport:
    ends = np.cumsum([len(pairs) for pairs in behaviours.values()])[:-1]
    column = {point: n for n, point in enumerate(combinations)}
    of_behaviour = np.split(changes, ends)

    def point(strengths: Strengths) -> GridPoint:
        acting = [v for v, s in enumerate(strengths) if s]
        own = [rows[:, column[strengths]] for rows in of_behaviour]
        alone = [column[_alone(strengths, v)] for v in acting]
        extra = [
            each - rows[:, alone].sum(axis=1) for each, rows in zip(own, of_behaviour, strict=True)
        ]  # fmt: skip
        return GridPoint(
            strengths,
            tuple(map(estimate, own)),
            tuple(map(estimate, extra)) if len(acting) > 1 else None,
        )

    return CompositionReport(
        tuple(vector.name for vector in vectors),
        grid,
        tuple(Scored(name, len(pairs), unit_of(pairs.form)) for name, pairs in behaviours.items()),
        tuple(map(point, combinations)),
    )
