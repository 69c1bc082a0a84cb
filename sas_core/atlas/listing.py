"""From a filter and an order to SQL over the table of latents. Knows no connection."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from sas_core.atlas.types import DENSITY_CLASSES, Filter, Order
from sas_core.errors import BadInput

_COLUMN_OF = {
    "index": '"index"',
    "max": "max",
    "density": "fired",
    "mean": "mean",
    "token_share": "token_share",
}


@dataclass(frozen=True)
class Condition:
    """A WHERE clause with its values."""

    sql: str
    values: tuple[object, ...]


def condition(filter: Filter, tokens_seen: int, labelled: Sequence[int]) -> Condition:
    """The latents that pass; `labelled` are those the filter's label conditions are about.

    Raises BadInput for a density class that does not exist.
    """
    parts = list(_parts(filter, tokens_seen, labelled))
    return Condition(" AND ".join(sql for sql, _ in parts) or "1", tuple(value for _, value in parts))


def _parts(filter: Filter, tokens_seen: int, labelled: Sequence[int]) -> Iterator[tuple[str, object]]:
    if filter.density_class is not None:
        if filter.density_class not in DENSITY_CLASSES:
            raise BadInput(
                f"There is no density class {filter.density_class!r}; choose {', '.join(DENSITY_CLASSES)}."
            )
        yield "density_class = ?", filter.density_class
    for sql, bound in (("max >= ?", filter.min_max), ("max <= ?", filter.max_max)):
        if bound is not None:
            yield sql, bound
    # divided as `Latent.density` is, so that a bound read off a row includes that row
    density = f"fired / {float(max(tokens_seen, 1))!r}"
    for sign, bound in ((">=", filter.min_density), ("<=", filter.max_density)):
        if bound is not None:
            yield f"{density} {sign} ?", bound
    if filter.only is not None:
        yield _among(), json.dumps(filter.only)
    if filter.label_text is not None or filter.label == "labelled":
        yield _among(), json.dumps(labelled)
    if filter.label == "unlabelled":
        yield _among("NOT "), json.dumps(labelled)


def _among(negation: str = "") -> str:
    return f'"index" {negation}IN (SELECT value FROM json_each(?))'


def ordering(order: Order, descending: bool) -> str:
    """ORDER BY; equal ones by index, in the same direction, so that an index of the table gives the order."""
    if order not in get_args(Order):
        raise BadInput(f"There is no order {order!r}; choose {', '.join(get_args(Order))}.")
    way = "DESC" if descending else "ASC"
    first = "" if order == "index" else f"{_COLUMN_OF[order]} {way}, "
    return f'{first}"index" {way}'
