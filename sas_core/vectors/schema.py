"""The JSON file of a sparse steering vector: text -> VectorFile -> text, each fault in one sentence.

Imports neither torch nor numpy. The fields are in `fields`, the comparison with what is loaded in
`compare`; both are offered here too, so that callers need one import.
"""

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sas_core.errors import BadInput
from sas_core.vectors.compare import Difference, LoadedIdentity, differences
from sas_core.vectors.fields import (
    FORMAT,
    MAX_NAME_CHARS,
    VERSION,
    Feature,
    ModelPart,
    PairsPart,
    SaePart,
    VectorFile,
    Verify,
    name_fault,
    now_utc,
)

__all__ = [
    "MAX_NAME_CHARS",
    "MAX_VECTOR_BYTES",
    "Difference",
    "Feature",
    "LoadedIdentity",
    "ModelPart",
    "PairsPart",
    "SaePart",
    "VectorFile",
    "Verify",
    "differences",
    "dump_vector",
    "name_fault",
    "now_utc",
    "parse_vector",
]

MAX_VECTOR_BYTES = 20_000_000

_WRONG = "This vector file cannot be used"


def parse_vector(text: str | bytes) -> VectorFile:
    """Read a vector file; a byte order mark is accepted.

    Raises BadInput with one sentence that names the field (`features[3].index`) and what is wrong.
    """
    data = _read_json(_decode(text))
    _check_format(data)
    try:
        return VectorFile.model_validate(data)
    except ValidationError as error:
        raise BadInput(f"{_WRONG}: {_in_words(error.errors()[0])}.") from None


def dump_vector(vector: VectorFile) -> str:
    """Write a vector file: stable, one key per line, one feature per line, `dense` on one line.

    Raises BadInput when the text would exceed the size that `parse_vector` accepts.
    """
    fields = vector.model_dump(mode="json")
    lines = [f"  {json.dumps(key)}: {_block(value)}" for key, value in fields.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    if len(text.encode()) > MAX_VECTOR_BYTES:
        raise BadInput(
            f"The vector {vector.name!r} has {len(vector.features):,} latents and would fill more than "
            f"{MAX_VECTOR_BYTES // 1_000_000} MB. Raise tau or keep the top latents only."
        )
    return text


def _block(value: Any) -> str:
    if isinstance(value, dict) and value:
        lines = [f"    {json.dumps(key)}: {_line(item)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + "\n  }"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"    {_line(item)}" for item in value) + "\n  ]"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _decode(text: str | bytes) -> str:
    # a str is measured in bytes too, so that both ways in have one limit
    raw = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    if len(raw) > MAX_VECTOR_BYTES:
        raise BadInput(
            f"{_WRONG}: it has {len(raw) / 1e6:.1f} MB and at most "
            f"{MAX_VECTOR_BYTES // 1_000_000} MB are read."
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{_WRONG}: it is not UTF-8 text (byte {error.start}).") from None


def _read_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadInput(
            f"{_WRONG}: it is not JSON ({error.msg[0].lower() + error.msg[1:]} at {place})."
        ) from None
    except RecursionError:
        raise BadInput(f"{_WRONG}: it is nested too deeply.") from None
    except ValueError:
        # Python refuses to read integers of several thousand digits
        raise BadInput(f"{_WRONG}: it holds an integer of too many digits.") from None


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    seen: set[str] = set()
    repeated = next(key for key, _ in pairs if key in seen or seen.add(key))
    raise BadInput(f"{_WRONG}: the key {_shown(repeated)} stands twice in one object.")


def _no_constant(text: str) -> None:
    raise BadInput(f"{_WRONG}: it holds {text}, and only finite numbers may stand in it.")


def _check_format(data: Any) -> None:
    """The faults that mean 'another file', before the fields are looked at."""
    if not isinstance(data, dict):
        raise BadInput(f"{_WRONG}: it holds {_kind(data)} where an object with named fields should be.")
    if data.get("format") != FORMAT:
        found = _shown(data["format"]) if "format" in data else "missing"
        raise BadInput(f"{_WRONG}: format is {found} where it should be {FORMAT!r}.")
    version = data.get("version")
    # bool is an int to Python, and 1.0 equals 1
    if type(version) is not int or version < 1:
        found = _shown(version) if "version" in data else "missing"
        raise BadInput(f"{_WRONG}: version is {found} where it should be {VERSION}.")
    if version > VERSION:
        raise BadInput(
            f"{_WRONG}: it is of format version {_shown(version)} and this Steerscope reads up to version "
            f"{VERSION}, so upgrade Steerscope to open it."
        )


# pydantic's error type -> what to say after the field's path, where its own words would not do
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": f"is not a field of format version {VERSION}",
    "too_short": "is empty",
    "string_too_short": "is empty",
}
_WANTED = {
    "model_type": "should be an object with named fields",
    "dict_type": "should be an object with named fields",
    "tuple_type": "should be a list",
    "string_pattern_mismatch": "should be 64 hexadecimal digits in lower case",
    "string_unicode": "should be Unicode text without lone surrogates",
}


def _in_words(error: ErrorDetails) -> str:
    path, kind, message = _path(error["loc"]), error["type"], error["msg"]
    if kind in _WORDS:
        return f"{path} {_WORDS[kind]}"
    if kind == "value_error":
        return f"{path} {message.removeprefix('Value error, ')}".strip()
    wanted = _WANTED.get(kind) or message.removeprefix("Input ").removeprefix("String ")
    return f"{path} {wanted}, not {_shown(error['input'])}"


def _path(parts: tuple[int | str, ...]) -> str:
    steps = [f".{part}" if str(part).isidentifier() else f"[{part!r}]" for part in parts]
    return _shortened("".join(steps).removeprefix("."), 120)


def _shown(value: Any) -> str:
    """A value from the file, short enough for a sentence and on one line."""
    if isinstance(value, dict | list):
        return _kind(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return _shortened(repr(value), 60)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "one plain value"


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
