"""`evaluate anatomy`: how sparse vectors are, how they meet, and what of dense steering they hold.

The model is only loaded when pairs are known for a vector: what the files alone say needs none.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sas_core.cli.anatomy_shown import tables
from sas_core.cli.common import AsJson, Loading, takes_engine
from sas_core.cli.output import finish, note, quiet, show, show_json
from sas_core.cli.terms import find_vector
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.positions import Position, resolve_position
from sas_core.contrast.shipped import load_behaviour
from sas_core.errors import BadInput
from sas_core.evaluation.anatomy.told import anatomy_document
from sas_core.vectors.fields import VectorFile

if TYPE_CHECKING:
    from sas_core.evaluation.anatomy.pairs import Anatomy, PairsRead
    from sas_core.steering.engine import Engine


@takes_engine
def anatomy(
    loading: Loading,
    vector: Annotated[
        list[str], typer.Option(metavar="FILE|NAME", help="A vector file or a saved vector; may be repeated.")
    ],
    behaviour: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A shipped contrast whose pairs are read for tau and dense steering.",
            show_default="the one each vector was built from",
        ),
    ] = None,
    taus: Annotated[str, typer.Option(help="Thresholds to try the pairs at.")] = "0.5,0.6,0.7,0.8,0.9",
    as_json: AsJson = False,
) -> None:
    """Show how sparse vectors are, what they share, and how much of dense steering (CAA) they hold.

    Tau and dense steering need the pairs, and so the model. A vector whose pairs are not shipped is shown
    without them.
    """
    thresholds = _taus(taus)
    given = load_behaviour(behaviour).train if behaviour is not None else None
    vectors = [find_vector(text) for text in vector]
    with quiet():
        from sas_core.evaluation.anatomy.measures import meetings

        met = meetings(vectors)
        found = _examined(loading, vectors, [given or _own_pairs(one) for one in vectors], thresholds)
    if as_json:
        return show_json(anatomy_document(found, met))
    return show(*tables(found, met))


def _taus(text: str) -> tuple[float, ...]:
    try:
        found = tuple(dict.fromkeys(float(part) for part in text.split(",") if part.strip()))
    except ValueError:
        found = ()
    # written so that NaN is refused too
    if not found or not all(0 <= tau <= 1 for tau in found):
        raise BadInput(f"--taus {text[:60]!r} is not a list of shares from 0 to 1 like 0.5,0.7,0.9.")
    return found


def _own_pairs(vector: VectorFile) -> PairSet | None:
    from sas_core.contrast.dense import shipped_pairs

    pairs = shipped_pairs(vector.pairs.sha256) if vector.pairs else None
    if pairs is None:
        note(
            f"{vector.name} names no shipped pairs, so tau and dense steering are left out; "
            "give --behaviour NAME for them."
        )
    return pairs


def _examined(
    loading: Loading,
    vectors: Sequence[VectorFile],
    behind: Sequence[PairSet | None],
    taus: tuple[float, ...],
) -> "list[Anatomy]":
    from sas_core.evaluation.anatomy.measures import sparsity_of
    from sas_core.evaluation.anatomy.pairs import Anatomy, anatomy_of
    from sas_core.vectors.build import check_belongs

    if not any(behind):
        return [Anatomy(vector, sparsity_of(vector)) for vector in vectors]
    engine = loading.engine()
    for vector in vectors:
        check_belongs(vector, engine)
    already: dict[tuple[str, Position], PairsRead] = {}
    return [
        Anatomy(vector, sparsity_of(vector))
        if pairs is None
        else anatomy_of(engine, vector, _read(engine, vector, pairs, already), taus)
        for vector, pairs in zip(vectors, behind, strict=True)
    ]


def _read(
    engine: "Engine", vector: VectorFile, pairs: PairSet, already: "dict[tuple[str, Position], PairsRead]"
) -> "PairsRead":
    """`already` holds what was read and takes in the new: several vectors may have the same pairs."""
    from sas_core.contrast.collect import Progress
    from sas_core.evaluation.anatomy.pairs import read_both_ways

    position = vector.position or resolve_position("auto", pairs.form)
    key = (pairs.sha256, position)
    if key not in already:
        events = read_both_ways(engine, pairs, position)
        already[key] = finish(events, Progress, f"{pairs.name}: reading the pairs")
    return already[key]
