"""Rows of text, from a file here or a data set on the hub, and what of a row is read as tokens.

A row is a text, `{"text": ...}`, or a chat, `{"messages": [{"role", "content"}, ...]}`, which gets the
model's chat template. Special tokens and the template's fixed preamble are kept as context and marked.
Imports no torch. Knows nothing of windows: the atlas and the training cut their own.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sas_core.errors import BadInput, Unavailable
from sas_core.model.row_files import Placed, Row, has_format, placed_rows

Message = dict[str, Any]

CHAT_FIELDS = ("messages", "m")
TEXT_FIELDS = ("text", "t", "prompt", "content")
# stands for the first message, to find where the template's own words end
_MARK = "\u241e"


@dataclass(frozen=True)
class SourceFacts:
    """A source as an atlas names it: the file's or data set's name, what it held, how many rows if known."""

    name: str
    sha256: str
    rows: int | None


def read_rows(name: str, field: str | None = None) -> Iterator[Row]:
    """Rows of a file (`row_files` says which kinds), else of a hub data set's train split, streamed.

    `field` names what holds the text, or the list of messages; without it messages are taken before text.
    Raises BadInput for a file that is not there, cannot be read or is damaged, and for a row without the
    field or with something else than text in it (empty text and null pass); Unavailable when the hub does
    not answer.
    """
    source = Path(name).name if _is_file(name) else name
    for place, row in _placed(name, field):
        fault = _fault(row, field)
        if fault:
            raise BadInput(f"{source}, {place} {fault}.")
        yield row


def describe(name: str, field: str | None = None) -> SourceFacts:
    """Name, hash and number of rows; of a file every row is checked on the way, as `read_rows` does.

    The hash is of a file's bytes, or of a data set's name and revision. Raises what `read_rows` raises.
    """
    if not _is_file(name):
        said = f"{name}\n{_hub_revision(name)}"
        return SourceFacts(name, hashlib.sha256(said.encode()).hexdigest(), None)
    rows = sum(1 for _ in read_rows(name, field))
    with Path(name).open("rb") as file:
        return SourceFacts(Path(name).name, hashlib.file_digest(file, "sha256").hexdigest(), rows)


def encode_row(row: Row, tokenizer: Any, field: str | None = None) -> tuple[list[int], list[bool]]:
    """Token ids of one row and, for each, whether it counts: no special token, none of the preamble.

    Raises BadInput for a chat that the model has no template for or whose template refuses it.
    """
    content = _content(row, field)
    if isinstance(content, str):
        ids, preamble = tokenizer.encode(content, add_special_tokens=False), 0
    else:
        ids = tokenizer.encode(_render(content, tokenizer), add_special_tokens=False)
        preamble = _preamble_tokens(content, tokenizer)
    special = set(tokenizer.all_special_ids)
    return ids, [i >= preamble and token not in special for i, token in enumerate(ids)]


def _is_file(name: str) -> bool:
    """Whether a name is meant as a file; raises BadInput for one that is not there."""
    path = Path(name)
    if path.is_dir():
        raise BadInput(f"{name} is a folder; name one file in it.")
    if path.exists():
        return True
    if path.is_absolute() or has_format(name):
        raise BadInput(f"There is no file {name}. Check the path.")
    return False


def _placed(name: str, field: str | None) -> Iterator[Placed]:
    if _is_file(name):
        return placed_rows(Path(name), _names(field))
    return ((f"row {number}", row) for number, row in enumerate(_hub_rows(name), 1))


def _hub_rows(name: str) -> Iterator[Row]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        yield from load_dataset(name, split="train", streaming=True)
    except (OSError, ValueError, DatasetsError) as error:
        raise _out_of_reach(name, error) from error


def _hub_revision(name: str) -> str:
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    try:
        return str(load_dataset_builder(name).hash)
    except (OSError, ValueError, DatasetsError) as error:
        raise _out_of_reach(name, error) from error


def _out_of_reach(name: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"{name} is neither a file here nor a data set the hub would give ({type(error).__name__}). Check "
        "the path, or connect and try again."
    )


def _names(field: str | None) -> tuple[str, ...]:
    return (field,) if field else (*CHAT_FIELDS, *TEXT_FIELDS)


def _content(row: Row, field: str | None) -> Any:
    """What a row holds to be read; null, no text and no messages are all an empty text."""
    return next((row[name] for name in _names(field) if row.get(name) not in (None, "", [])), "")


def _fault(row: Row, field: str | None) -> str | None:
    """What is wrong with a row, as the end of a sentence that starts with its place."""
    names = _names(field)
    if not any(name in row for name in names):
        there = ", ".join(map(str, row)) or "nothing"
        return f"has no field {' or '.join(names)}; it has: {there}. Name the field that holds the text"
    content = _content(row, field)
    if not isinstance(content, str | list):
        return f"holds something else than text ({type(content).__name__}); give text or a list of messages"
    if isinstance(content, list) and not all(map(_is_message, content)):
        return "holds a list that is no chat; each message needs a role and a content, both text"
    return _half_character(content)


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and all(isinstance(item.get(part), str) for part in ("role", "content"))


def _half_character(content: str | list[Message]) -> str | None:
    """JSON's escapes can spell half a surrogate pair, which no tokenizer can take."""
    texts = [content] if isinstance(content, str) else [message["content"] for message in content]
    try:
        for text in texts:
            text.encode("utf-8")
    except UnicodeEncodeError:
        return "holds half a character (an unpaired surrogate escape)"
    return None


def _render(messages: Sequence[Message], tokenizer: Any) -> str:
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        raise BadInput("The text has chats in it and this model has no chat template; give plain texts.")
    try:
        return tokenizer.apply_chat_template(list(messages), tokenize=False)
    except (TemplateError, KeyError, TypeError) as error:
        first = messages[0]["content"][:60]
        raise BadInput(
            f"The model's chat template refuses the chat that begins {first!r} ({error}). Leave it out, or "
            "change its roles."
        ) from error


def _preamble_tokens(messages: Sequence[Message], tokenizer: Any) -> int:
    """Tokens before the first message's own text: the template's default system turn."""
    marked = [{**messages[0], "content": _MARK}, *messages[1:]]
    before, found, _ = _render(marked, tokenizer).partition(_MARK)
    return len(tokenizer.encode(before, add_special_tokens=False)) if found else 0
