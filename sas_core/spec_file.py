"""A piece of work declared in YAML: read, changed by FIELD=VALUE, checked; each fault names file and field.

Knows no field of its own: a sweep and a training each have their model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sas_core.errors import BadInput

_Spec = TypeVar("_Spec", bound=BaseModel)


def read_text(path: Path) -> str:
    """The file as text. Raises BadInput."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}). Check the path.") from error


def parse(
    kind: type[_Spec], text: str, source: str, changes: Sequence[str] = (), *, needs: str, example: str
) -> _Spec:
    """YAML (or JSON) as a `kind`, with `changes` such as `axes.tau=[0.5, 0.7]` put in their place.

    `needs` ends the sentence about a text that is no mapping; `example` shows what a change looks like.
    Raises BadInput, naming `source` and the field.
    """
    read = _yaml(text, source)
    if not isinstance(read, dict):
        raise BadInput(f"{source} is {needs}.")
    for change in changes:
        _put(read, change, example)
    try:
        return kind.model_validate(read)
    except ValidationError as error:
        raise BadInput(f"{source} cannot be used. {_sentence(error)}") from error


def _yaml(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}" if place else ""
        what = getattr(error, "problem", error)
        raise BadInput(f"{source} is no YAML{where} ({what}). Mend it there.") from error


def _put(read: dict[str, Any], change: str, example: str) -> None:
    """`axes.tau=[0.5]` in its place; an empty value takes the field away."""
    field, equals, value = change.partition("=")
    *above, last = field.strip().split(".")
    here: Any = read
    for name in above:
        here = here.setdefault(name, {}) if isinstance(here, dict) else None
    if not equals or not last or not isinstance(here, dict):
        raise BadInput(f"--set {change!r} is no FIELD=VALUE, such as {example}.")
    given = _yaml(value, f"--set {field}")
    if given is None:
        here.pop(last, None)
    else:
        here[last] = given


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such field; check its name"
    given = first.get("input")
    shown = f" (given: {given!r})" if place and isinstance(given, str | int | float | bool) else ""
    return f"{place or 'The spec'}: {message[:1].lower()}{message[1:]}{shown}."
