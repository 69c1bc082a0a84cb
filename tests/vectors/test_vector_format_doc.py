"""docs/vector-format.md says everything about the file, and its example is one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sas_core.vectors.schema import VectorFile, dump_vector, parse_vector

DOC = (Path(__file__).resolve().parents[2] / "docs" / "vector-format.md").read_text(encoding="utf-8")


def inner_model(annotation) -> tuple[type[BaseModel] | None, str]:
    """The object type inside `X`, `X | None` or `tuple[X, ...]`, and how the path to its fields goes on."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, "."
    for part in get_args(annotation):
        found, _ = inner_model(part)
        if found:
            return found, "[]." if getattr(annotation, "__origin__", None) is tuple else "."
    return None, ""


def walk(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of the schema with its path as the document writes it."""
    for name, field in model.model_fields.items():
        yield before + name, field
        inner, joint = inner_model(field.annotation)
        if inner:
            yield from walk(inner, before + name + joint)


def documented() -> list[str]:
    return re.findall(r"^\| `([a-z_0-9.\[\]]+)` \| [^|]+ \| [^|]+ \|$", DOC, flags=re.MULTILINE)


def test_every_field_of_the_schema_has_its_row_and_every_row_its_field():
    fields = [path for path, _ in walk(VectorFile)]
    assert len(fields) > 50 and sorted(documented()) == sorted(fields)


def test_a_row_says_required_exactly_where_the_schema_requires():
    for path, field in walk(VectorFile):
        row = next(line for line in DOC.splitlines() if line.startswith(f"| `{path}` |"))
        # these two have a value in Python, and an import still asks for them
        required = field.is_required() or path in ("format", "version")
        assert ("required |" in row) == required, row


def test_the_example_is_a_vector_file_exactly_as_it_would_be_written():
    (example,) = re.findall(r"```json\n(.*?)```", DOC, flags=re.DOTALL)
    assert dump_vector(parse_vector(example)) == example
