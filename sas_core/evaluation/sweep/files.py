"""The results of a sweep as files: spec, JSON, tables and the report; read again to make the report anew."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from sas_core.errors import BadInput
from sas_core.evaluation.sweep.book import SweepBook
from sas_core.evaluation.sweep.cells import Setting
from sas_core.evaluation.sweep.outcome import Chosen, Outcome, SweepResult, Written
from sas_core.evaluation.sweep.report.html import page
from sas_core.evaluation.sweep.report.tables import cells_table
from sas_core.evaluation.sweep.spec import parse_settled
from sas_core.text_file import write_file

FORMAT, VERSION = "steerscope-sweep", 1


def write_files(folder: Path, book: SweepBook, result: SweepResult) -> None:
    """spec.yaml, result.json, cells.csv, units.csv, texts.csv (where texts were written) and report.html.

    Raises BadInput when the folder cannot be written to.
    """
    texts = written_by(book, result)
    parts = {
        "spec.yaml": result.spec.dump(),
        "result.json": result_json(result),
        "cells.csv": cells_table(result).to_csv(index=False),
        "units.csv": units_table(book, result.key).to_csv(index=False),
    }
    if texts:
        parts["texts.csv"] = texts_table(texts).to_csv(index=False)
    for name, text in parts.items():
        write_file(folder / name, text)
    write_report(folder, result, texts)


def write_report(folder: Path, result: SweepResult, texts: Sequence[Written]) -> None:
    """report.html alone."""
    write_file(folder / "report.html", page(result, texts))


def read_files(folder: Path) -> tuple[SweepResult, tuple[Written, ...]]:
    """What `write_files` wrote. Raises BadInput, naming the file, when it is not there or damaged."""
    path = folder / "result.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        if read["format"] != FORMAT or read["version"] != VERSION:
            raise ValueError(f"it is {read['format']} {read['version']}, not {FORMAT} {VERSION}")
        return _result(read), tuple(_texts(folder / "texts.csv"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} holds no results of a sweep ({error}). Run `evaluate run` again.") from error


def result_json(result: SweepResult) -> str:
    """The whole result as JSON; numbers in full, what is not a number as null."""
    value = {
        "format": FORMAT, "version": VERSION, "key": result.key, "spec": result.spec.dump(),
        "provenance": result.provenance, "done": result.done, "total": result.total,
        "notes": list(result.notes), "outcomes": [_plain(asdict(o)) for o in result.outcomes],
        "chosen": [_plain(asdict(c)) for c in result.chosen],
    }  # fmt: skip
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def units_table(book: SweepBook, key: str) -> pd.DataFrame:
    """One row a unit, cell and figure: the number itself and the unit's number at lambda 0."""
    rows: list[dict[str, Any]] = []
    for placing, matrices in book.found(key).parts:
        for cell, column, _, _ in placing.rows:
            if column is None:
                continue
            flat = cell.as_dict()
            for matrix in matrices:
                rows += [
                    {"figure": matrix.figure, "unit": unit, **flat, "value": numbers[column],
                     "unsteered": numbers[placing.base[column]]}
                    for unit, numbers in zip(matrix.units, matrix.numbers, strict=True)
                ]  # fmt: skip
    return pd.DataFrame(rows)


def written_by(book: SweepBook, result: SweepResult) -> tuple[Written, ...]:
    """Everything a sweep wrote, cell by cell."""
    if "text" not in result.spec.measures:
        return ()
    return tuple(book.every_text(result.key))


def texts_table(texts: Sequence[Written]) -> pd.DataFrame:
    """One row a text: where it comes from, the text, and a column for each of its scores."""
    return pd.DataFrame(
        {"prompt": t.prompt, "text": t.text, "arm": t.arm, "scale": t.scale, "seed": t.seed,
         **asdict(t.setting), **t.scores}
        for t in texts
    )  # fmt: skip


def _texts(path: Path) -> Iterator[Written]:
    if not path.is_file():
        return
    for row in pd.read_csv(path, keep_default_na=False, na_values={}).to_dict("records"):
        yield _written(row)


def _written(row: dict[str, Any]) -> Written:
    known = {"prompt", "text", "arm", "scale", "seed", *(f.name for f in fields(Setting))}
    scores = {name: float(value) for name, value in row.items() if name not in known and value != ""}
    seed = None if row["seed"] == "" else int(float(row["seed"]))
    flat = {f.name: row[f.name] for f in fields(Setting)}
    flat["top_k"] = None if flat["top_k"] == "" else int(float(flat["top_k"]))
    flat["sae"] = flat["sae"] or None
    flat |= {name: str(flat[name]) == "True" for name in ("drop_shared", "error_term")}
    return Written(
        str(row["prompt"]), row["arm"], float(row["scale"]), seed, Setting(**flat), str(row["text"]), scores
    )


def _result(read: dict[str, Any]) -> SweepResult:
    return SweepResult(
        read["key"], parse_settled(read["spec"]), read["provenance"], tuple(map(_outcome, read["outcomes"])),
        tuple(map(_chosen, read["chosen"])), read["done"], read["total"], tuple(read["notes"]),
    )  # fmt: skip


def _outcome(flat: dict[str, Any]) -> Outcome:
    numbers = ("mean", "low", "high", "change", "change_low", "change_high", "share")
    there = {name: float("nan") if flat[name] is None else flat[name] for name in numbers}
    return Outcome(**{**flat, **there, "setting": Setting(**flat["setting"])})


def _chosen(flat: dict[str, Any]) -> Chosen:
    made = {
        "setting": Setting(**flat["setting"]),
        "dev": _outcome(flat["dev"]),
        "test": _outcome(flat["test"]),
    }
    return Chosen(**{**flat, **made})


def _plain(value: Any) -> Any:
    """Ready for JSON: numbers of numpy as Python's, NaN as null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, float):
        return None if value != value else float(value)
    return value
