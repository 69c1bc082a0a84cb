"""Files of rows in any of our formats and packings -> each row and the words that say where it stands.

JSON lines, a JSON list, plain lines, CSV and TSV under a header, parquet; plain, .gz or .zst. Read as a
stream, except a JSON list. Knows nothing of what a row means; `rows` does.
"""

import csv
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from sas_core.errors import BadInput
from sas_core.model.packed import PACKINGS, Damaged, unpacked

Row = dict[str, Any]
Placed = tuple[str, Row]
"""Where a row stands in its file ("line 3", "row 12") and what it holds."""

FORMATS = (".jsonl", ".ndjson", ".json", ".txt", ".csv", ".tsv", ".parquet")
_DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}


def has_format(name: str) -> bool:
    """Whether a name ends as our files do, packed or not."""
    return _kind(Path(name)) in FORMATS


def placed_rows(path: Path, wanted: Sequence[str]) -> Iterator[Placed]:
    """Every row of a file, blank lines left out; a name of no known format is read as plain lines.

    Of tables only columns named in `wanted` are read: of CSV and TSV the first that is there, of parquet all.
    Raises BadInput for a file that is damaged or cannot be read, saying after which row, and for a table
    without any such column.
    """
    after = ""
    try:
        for place, row in _reader(path, wanted):
            after = f" after {place}"
            yield place, row
    except (Damaged, EOFError, zlib.error, OSError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".")
        raise BadInput(
            f"{path.name} cannot be read{after}: {why}. Check the file, or save or copy it again."
        ) from error


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() in PACKINGS else path
    return name.suffix.lower()


def _reader(path: Path, wanted: Sequence[str]) -> Iterator[Placed]:
    kind = _kind(path)
    if kind == ".parquet":
        return _parquet_rows(path, wanted)
    if kind in _DELIMITERS:
        return _table_rows(path, wanted, _DELIMITERS[kind])
    if kind in (".jsonl", ".ndjson"):
        return _json_lines(path)
    return _json_rows(path) if kind == ".json" else _plain_lines(path)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends. Decoded one by one, so that a bad byte is told with its line."""
    with unpacked(path) as file:
        for number, line in enumerate(file, 1):
            yield number, _decoded(line, f"line {number}").removeprefix("\ufeff" if number == 1 else "")


def _decoded(data: bytes, place: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged(f"{place} is not UTF-8 text (byte {error.start + 1} of it)") from error


def _plain_lines(path: Path) -> Iterator[Placed]:
    for number, line in _lines(path):
        if line.strip():
            yield f"line {number}", {"text": line.rstrip("\r\n")}


def _json_lines(path: Path) -> Iterator[Placed]:
    for number, line in _lines(path):
        if line.strip():
            place = f"line {number}"
            yield place, _object(_json(line, path, place), path, place)


def _json_rows(path: Path) -> Iterator[Placed]:
    """A list of rows; a file that starts otherwise is taken for JSON lines under another name."""
    with unpacked(path) as file:
        text = _decoded(file.read(), "the text").removeprefix("\ufeff")
    if not text.lstrip().startswith("["):
        yield from _json_lines(path)
        return
    for number, item in enumerate(_json(text, path, "the text"), 1):
        yield f"row {number}", _object(item, path, f"row {number}")


def _json(text: str, path: Path, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"{path.name}, {place} is not JSON: {error.msg}, column {error.colno}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path.name}, {place} is not usable JSON: a number too long or brackets too deep."
        ) from error


def _object(item: Any, path: Path, place: str) -> Row:
    if isinstance(item, dict):
        return item
    raise BadInput(f'{path.name}, {place} is not a JSON object; write it as {{"text": "..."}}.')


def _table_rows(path: Path, wanted: Sequence[str], delimiters: str) -> Iterator[Placed]:
    texts = (line for _, line in _lines(path))
    first = next((line for line in texts if line.strip()), "")
    column, header, delimiter = _column(first, path, wanted, delimiters)
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    for number, cells in enumerate(_records(reader), 1):
        if len(cells) != len(header):
            raise BadInput(
                f"{path.name}, row {number} has {len(cells)} fields and the header {len(header)}; put a text "
                "that holds the separator in double quotes."
            )
        yield f"row {number}", {header[column]: cells[column]}


def _records(reader: Iterable[list[str]]) -> Iterator[list[str]]:
    try:
        yield from (cells for cells in reader if cells)
    except csv.Error as error:
        if "field limit" in str(error):
            raise Damaged(
                f"a field has more than {csv.field_size_limit():,} characters, or a double quote is never "
                "closed; JSON lines take longer texts"
            ) from error
        raise Damaged(f"the row below is broken ({error})") from error


def _column(line: str, path: Path, wanted: Sequence[str], delimiters: str) -> tuple[int, list[str], str]:
    """Number of the text's column, the header, and the separator that makes the header readable."""
    headers = {each: [name.strip() for name in next(csv.reader([line], delimiter=each), [])]
               for each in delimiters}  # fmt: skip
    for name in wanted:
        for delimiter, header in headers.items():
            if name in header:
                return header.index(name), header, delimiter
    raise _no_column(path, wanted, max(headers.values(), key=len))


def _no_column(path: Path, wanted: Sequence[str], there: Sequence[str]) -> BadInput:
    return BadInput(
        f"{path.name} has no column {' or '.join(wanted)}; it has: {', '.join(there) or 'none'}. Name the "
        "field that holds the text."
    )


def _parquet_rows(path: Path, wanted: Sequence[str]) -> Iterator[Placed]:
    from pyarrow.lib import ArrowException
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with _seekable(path) as file, ParquetFile(file) as table:
            names = [name for name in table.schema_arrow.names if name in wanted]
            if not names:
                raise _no_column(path, wanted, table.schema_arrow.names)
            for row in _of_row_groups(table, names):
                number += 1
                yield f"row {number}", row
    except (ArrowException, UnicodeDecodeError) as error:
        raise Damaged(f"the parquet data are broken ({error})") from error


def _of_row_groups(table: Any, names: list[str]) -> Iterator[Row]:
    """One group at a time: asked for all at once, a batch would reach into a damaged one too early."""
    for group in range(table.num_row_groups):
        for batch in table.iter_batches(batch_size=256, row_groups=[group], columns=names):
            yield from batch.to_pylist()


def _seekable(path: Path) -> BinaryIO:
    """Parquet is read from its end, so a packed one is unpacked into a temporary file first."""
    if path.suffix.lower() not in PACKINGS:
        return path.open("rb")
    whole = tempfile.TemporaryFile()  # noqa: SIM115, the caller closes it
    try:
        with unpacked(path) as parts:
            shutil.copyfileobj(parts, whole)
    except BaseException:
        whole.close()
        raise
    whole.seek(0)
    return cast(BinaryIO, whole)
