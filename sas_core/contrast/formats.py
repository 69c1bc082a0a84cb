"""Text -> numbered raw rows, one generator a format. What a row must hold is not known here.

A row that cannot be read becomes a Problem in its place, and reading goes on with the next line; a text
that is not of the format at all raises BadInput. A CSV row's number is a spreadsheet's (the header is 1),
JSONL's is the line, a JSON list's the position of the item.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from sas_core.contrast.pairs import Problem
from sas_core.errors import BadInput

Kind = Literal["csv", "jsonl", "caa"]
RawRow = tuple[int, Mapping[str, Any] | Problem]

COLUMNS = ("prompt", "positive", "negative")
_DELIMITERS = (",", ";", "\t")
# below csv's own limit for one field, which raises
_LONGEST_HEADER = 100_000
_CSV_FAULTS = {
    "unexpected end of data": "opens a quote that is never closed",
    "expected after": 'has text after a closing quote; a quote inside a text is written ""',
    "field larger": "holds a text too long to read",
}


def kind_of(text: str, name: str = "") -> Kind:
    """The format, by its first character; only where that says nothing, by the ending of the name."""
    first = text.lstrip()[:1]
    if first == "[":
        return "caa"
    ending = Path(name).suffix.lower()
    return "jsonl" if first == "{" or ending in (".jsonl", ".ndjson", ".json") else "csv"


def jsonl_rows(text: str) -> Iterator[RawRow]:
    """One JSON object a line; blank lines are passed over."""
    # not splitlines(): U+2028 and its like are legal inside a JSON string
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _json_row(number, line)


def _json_row(number: int, line: str) -> Mapping[str, Any] | Problem:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        reason = f"is not valid JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError):
        reason = "is not valid JSON: a number too long or brackets too deep"
    else:
        return _object_or_problem(number, value)
    return Problem(number, "error", f"Row {number} {reason}.")


def _object_or_problem(number: int, value: Any) -> Mapping[str, Any] | Problem:
    if isinstance(value, dict):
        return value
    return Problem(number, "error", f"Row {number} is not a JSON object with named fields.")


def list_rows(text: str, name: str) -> Iterator[RawRow]:
    """The items of one JSON list. Raises BadInput when the text is not a JSON list."""
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadInput(f"{name} is not valid JSON: {error.msg} at {where}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is not valid JSON: a number too long or brackets too deep.") from error
    if not isinstance(items, list):
        raise BadInput(f"{name} must hold one JSON list of questions, as the CAA data sets do.")
    for number, item in enumerate(items, 1):
        yield number, _object_or_problem(number, item)


def csv_rows(text: str, name: str) -> Iterator[RawRow]:
    """Rows under a header that names prompt, positive and negative in any order.

    Commas, semicolons and tabs are taken as separators, whichever makes the header readable.
    Raises BadInput when none does.
    """
    lines = list(io.StringIO(text, newline=""))
    header_at = next((at for at, line in enumerate(lines) if line.strip()), 0)
    header, delimiter = _header(lines[header_at], name)
    yield from _extra_columns(header_at + 1, header)
    for number, fields in _records(lines, header_at + 1, delimiter):
        if isinstance(fields, Problem):
            yield number, fields
        elif any(field.strip() for field in fields):
            yield number, _csv_row(number, header, fields)


def _header(line: str, name: str) -> tuple[list[str], str]:
    line = line[:_LONGEST_HEADER]
    for delimiter in _DELIMITERS:
        header = [field.strip().casefold() for field in next(csv.reader([line], delimiter=delimiter))]
        if all(header.count(column) == 1 for column in COLUMNS):
            return header, delimiter
    raise BadInput(
        f"The first row of {name} is {line.strip()[:80]!r}, but a CSV of pairs needs a header that has "
        "prompt, positive and negative once each."
    )


def _extra_columns(number: int, header: list[str]) -> Iterator[RawRow]:
    extra = [column or "(unnamed)" for column in header if column not in COLUMNS]
    if extra:
        message = f"Only prompt, positive and negative are read; also in the header: {', '.join(extra)}."
        yield number, Problem(number, "warning", message)


def _records(lines: list[str], start: int, delimiter: str) -> Iterator[tuple[int, list[str] | Problem]]:
    """CSV records from line index `start` on; after a broken one, from the line below its first."""
    number = start
    while start < len(lines):
        reader = csv.reader(_from(lines, start), delimiter=delimiter, strict=True)
        done = 0
        try:
            for fields in reader:
                number += 1
                done = reader.line_num
                yield number, fields
            return
        except csv.Error as error:
            # one unclosed quote must not swallow the rest of the file
            number += 1
            yield number, Problem(number, "error", f"Row {number} {_csv_fault(error)}.")
            start += done + 1


def _from(lines: list[str], start: int) -> Iterable[str]:
    return (lines[at] for at in range(start, len(lines)))


def _csv_fault(error: csv.Error) -> str:
    return next((words for key, words in _CSV_FAULTS.items() if key in str(error)), f"is broken: {error}")


def _csv_row(number: int, header: list[str], fields: list[str]) -> Mapping[str, Any] | Problem:
    if any(field.strip() for field in fields[len(header) :]):
        return Problem(
            number,
            "error",
            f"Row {number} has {len(fields)} fields and the header {len(header)}; "
            "put a text that holds the separator in double quotes.",
        )
    return dict(zip(header, fields, strict=False))
