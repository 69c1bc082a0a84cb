"""Files and hub data sets of questions with any number of answers, for measures of capability.

`question_rows` says what a row may hold. Imports no torch.
"""

import csv
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from sas_core.errors import BadInput, Unavailable
from sas_core.evaluation.capability.question_rows import FIELDS, NESTED, Form, Question, RowFault, question_of
from sas_core.model.packed import PACKINGS, Damaged, unpacked
from sas_core.model.row_files import Placed, has_format, placed_rows

DEV = "dev"
# the parts of well-known data sets that are reported on
_HUB_PARTS = {"cais/mmlu": ("all", "test"), "truthfulqa/truthful_qa": ("multiple_choice", "validation")}
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class QuestionSet:
    """Questions of one form, and the solved ones (`dev`) that may stand before each as examples."""

    name: str
    questions: tuple[Question, ...]
    dev: tuple[Question, ...] = ()

    @property
    def form(self) -> Form:
        return self.questions[0].form

    @property
    def sha256(self) -> str:
        """Hex digest of the questions and examples: the same for another name or file format."""
        said = [[astuple(q)[1:] for q in some] for some in (self.questions, self.dev)]
        return hashlib.sha256(json.dumps(said).encode("ascii")).hexdigest()


def read_questions(
    name: str, *, subset: str | None = None, split: str | None = None, most: int | None = None, shots: int = 0
) -> QuestionSet:
    """Questions of a file (JSON, JSON lines, CSV, TSV, parquet), else of a hub data set.

    A row has `question`, `choices` (in a table also columns A, B, ...) and `answer` (a letter, or an index
    from 0), perhaps `subject`; or `question` with `mc1_targets` and perhaps `mc2_targets`, each `{"choices",
    "labels"}`; or `prompt` with lettered choices, `correct` and `incorrect`. Rows whose `split` is dev are
    examples. `most`: so many questions, evenly spread, since such files are sorted by subject. `subset`,
    `split`: of a data set; with `shots` its split dev is read too.
    Raises BadInput naming the row and the field, and Unavailable when the hub does not answer.
    """
    if _is_file(name):
        if subset or split:
            raise BadInput(f"{name} is a file; subset and split are parts of a hub data set, leave them out.")
        asked, dev = _parted(_file_rows(Path(name)), Path(name).name)
        return _checked(Path(name).name, _spread(asked, most), dev)
    usual_subset, usual_split = _HUB_PARTS.get(name, (None, "test"))
    part = subset or usual_subset
    asked, _ = _parted(_hub_rows(name, part, split or usual_split), name)
    dev = _parted(_hub_rows(name, part, DEV), f"{name}, split {DEV}")[0] if shots else []
    return _checked(name, _spread(asked, most), dev)


def _parted(rows: Iterable[Placed], source: str) -> tuple[list[Question], list[Question]]:
    """What is asked, and the examples."""
    asked: list[Question] = []
    dev: list[Question] = []
    for place, row in rows:
        try:
            (dev if row.get("split") == DEV else asked).append(question_of(place, row))
        except RowFault as fault:
            raise BadInput(f"{source}, {place}: {fault}.") from None
    return asked, dev


def _spread(questions: list[Question], most: int | None) -> list[Question]:
    if most is None or most >= len(questions):
        return questions
    return [questions[i * len(questions) // most] for i in range(most)]


def _checked(source: str, asked: list[Question], dev: list[Question]) -> QuestionSet:
    if not asked:
        raise BadInput(f"{source} has no question to ask; add a row with a question and its answers.")
    shapes = [(q.form, q.many is None) for q in (*asked, *dev)]
    for question, shape in zip((*asked, *dev), shapes, strict=True):
        if shape != shapes[0]:
            raise BadInput(
                f"{source}, {question.place} has other fields than {asked[0].place}; keep one form a file."
            )
    return QuestionSet(source, tuple(asked), tuple(dev))


def _is_file(name: str) -> bool:
    """Whether a name is meant as a file. Raises BadInput for one that is not there."""
    path = Path(name)
    if path.is_file():
        return True
    if path.exists() or path.is_absolute() or has_format(name):
        raise BadInput(f"There is no file {name}. Check the path.")
    return False


def _file_rows(path: Path) -> Iterator[Placed]:
    kind = (path.with_suffix("") if path.suffix.lower() in PACKINGS else path).suffix.lower()
    if kind in _DELIMITERS:
        return _table_rows(path, _DELIMITERS[kind])
    return placed_rows(path, FIELDS)


def _table_rows(path: Path, delimiter: str) -> Iterator[Placed]:
    """Rows of a CSV or TSV under a header; a spreadsheet counts the header as row 1, and so do we."""
    try:
        with io.TextIOWrapper(unpacked(path), encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, delimiter=delimiter, strict=True)
            for number, row in enumerate(table, 2):
                if None in row or None in row.values():
                    raise BadInput(f"{path.name}, row {number} has more or fewer fields than the header.")
                yield f"row {number}", {k: _cell(v) if k in NESTED else v for k, v in row.items()}
    except (OSError, EOFError, zlib.error, Damaged, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path.name} cannot be read as a table ({error}). Check the file.") from error


def _cell(text: str) -> Any:
    """A cell that holds JSON; one that does not is told by its field later."""
    try:
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError):
        return text


def _hub_rows(name: str, subset: str | None, split: str) -> Iterator[Placed]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        rows = load_dataset(name, subset, split=split, streaming=True)
        yield from ((f"row {number}", row) for number, row in enumerate(rows, 1))
    except (OSError, ValueError, DatasetsError) as error:
        raise Unavailable(
            f"{name} (subset {subset or 'default'}, split {split}) is neither a file here nor a data set the "
            f"hub would give ({type(error).__name__}). Check the names, or connect and try again."
        ) from error
