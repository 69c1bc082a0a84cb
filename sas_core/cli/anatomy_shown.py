"""How `evaluate anatomy` tells what it found: tables for a person."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from sas_core.cli.output import table

if TYPE_CHECKING:
    from sas_core.evaluation.anatomy.measures import Explained, Meeting, Sparsity
    from sas_core.evaluation.anatomy.pairs import Anatomy, PairsRead

_DENSE = (
    "Against the mean difference of the residuals (CAA) of the same pairs, whose length is 1. Shares of its "
    "squared length: by line, what the decoded sum explains at its best strength; by sum, at strength 1; by "
    "span, what the vector's decoder rows explain with any values; chance, what as many unrelated rows would."
)


def tables(found: "Sequence[Anatomy]", met: "Sequence[Meeting]") -> list[RenderableType]:
    """The vectors with their pairs over tau, every two of them, and each against dense steering."""
    shown: list[RenderableType] = [_sparsity_table(found)]
    if met:
        shown.append(_meetings_table(met))
    held = [(one.vector.name, one.read, one.dense) for one in found if one.read and one.dense]
    if held:
        shown += [_dense_table(held), _DENSE]
    return shown


def _sparsity_table(found: "Sequence[Anatomy]") -> Table:
    rows: list[tuple[str, ...]] = []
    for one in found:
        tau = "" if one.vector.tau is None else f"{one.vector.tau:g}"
        rows.append((one.vector.name, tau, *_counts(one.sparsity)))
        rows += [("  its pairs at", f"{at.tau:g}", *_counts(at.sparsity)) for at in one.by_tau]
    columns = ("vector", "tau", "non-zero", "above 0", "below 0", "participation")
    return table(columns, rows, right=columns[1:])


def _counts(found: "Sparsity") -> tuple[str, ...]:
    return f"{found.nonzero:,}", f"{found.positive:,}", f"{found.negative:,}", f"{found.participation:.1f}"


def _meetings_table(met: "Sequence[Meeting]") -> Table:
    rows = [
        (
            m.left, m.right, m.shared_same, m.shared_opposite, f"{m.jaccard:.3f}", f"{m.signed_jaccard:.3f}",
            _number(m.latent_cosine, "+.3f"), _number(m.decoded_cosine, "+.3f"),
        )
        for m in met
    ]  # fmt: skip
    columns = ("one", "other", "same sign", "opposite", "Jaccard", "signed", "cosine", "decoded cosine")
    return table(columns, rows, right=columns[2:])


def _dense_table(held: "Sequence[tuple[str, PairsRead, Explained]]") -> Table:
    rows = [
        (
            name, read.ranking.pairs.name, _number(d.cosine, "+.3f"), _number(d.length, ".3g"),
            *(_number(share, ".1%") for share in (d.by_line, d.by_sum, d.by_span, d.chance)),
        )
        for name, read, d in held
    ]  # fmt: skip
    columns = ("vector", "dense of", "cosine", "length", "by line", "by sum", "by span", "chance")
    return table(columns, rows, right=columns[2:])


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
