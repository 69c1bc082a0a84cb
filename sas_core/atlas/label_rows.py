"""One label as a value, and as a row of the file that labels travel in. Knows no database."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sas_core.atlas.matching import UNWRITABLE
from sas_core.atlas.types import AutoLabel
from sas_core.errors import BadInput

MAX_LABEL_CHARS, MAX_NOTE_CHARS = 200, 10_000


@dataclass(frozen=True)
class Label:
    """A user's words for a latent; `updated_at` in UTC, ISO 8601, its order as text that in time."""

    sae_sha256: str
    latent: int
    label: str
    note: str
    updated_at: str


def made_now(sae_sha256: str, latent: int, label: str, note: str) -> Label:
    """Raises BadInput for a label without words, or too long. White space becomes single spaces."""
    return Label(sae_sha256, latent, *_checked(label, note), _spelt(datetime.now(UTC)))


def line_of(label: Label) -> str:
    """One line of JSON."""
    return json.dumps(asdict(label), ensure_ascii=False) + "\n"


def line_of_automatic(sae_sha256: str, latent: int, label: AutoLabel) -> str:
    """One line of JSON that `parsed` refuses, because no user said so."""
    row = {"sae_sha256": sae_sha256, "latent": latent, "automatic": True, **asdict(label)}
    return json.dumps(row, ensure_ascii=False) + "\n"


def parsed(line: str, number: int, sae_sha256: str) -> Label:
    """A line as a label of this SAE. Raises BadInput naming the row otherwise."""
    try:
        row = json.loads(line)
        if not isinstance(row, Mapping):
            raise BadInput("it is no object with latent and label.")
        if row.get("automatic"):
            raise BadInput(
                "it is an automatic label, which comes with its atlas. To take it over as yours, give it a "
                'field "label" and leave out "automatic".'
            )
        return Label(sae_sha256, *_fields(row, sae_sha256))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"Row {number} of the labels is no JSON ({error}). Nothing was imported.") from error
    except BadInput as error:
        raise BadInput(f"Row {number} of the labels cannot be used: {error} Nothing was imported.") from error


def _fields(row: Mapping[str, Any], sae_sha256: str) -> tuple[int, str, str, str]:
    latent, label, note = row.get("latent"), row.get("label"), row.get("note") or ""
    if row.get("sae_sha256", sae_sha256) != sae_sha256:
        theirs = str(row["sae_sha256"])[:12]
        raise BadInput(f"it is of another SAE ({theirs}, and loaded is {sae_sha256[:12]}).")
    if type(latent) is not int or not 0 <= latent < 2**31:
        raise BadInput(f"its latent is {latent!r}, and an index is a whole number from 0.")
    if not isinstance(label, str) or not isinstance(note, str):
        raise BadInput("its label and note need to be text.")
    return latent, *_checked(label, note), _time(row.get("updated_at"))


def _checked(label: str, note: str) -> tuple[str, str]:
    """Both as they are stored. Raises BadInput."""
    label, note = " ".join(label.split()), note.strip()
    if not label:
        raise BadInput("The label has no words; write some, or remove the label.")
    for what, text, most in (("label", label, MAX_LABEL_CHARS), ("note", note, MAX_NOTE_CHARS)):
        if len(text) > most:
            raise BadInput(f"The {what} has {len(text):,} characters, and {most:,} is the limit; shorten it.")
        if UNWRITABLE.search(text):
            raise BadInput(f"The {what} holds a character that cannot be stored; write it again without.")
    return label, note


def _time(text: object) -> str:
    if text is None:
        return _spelt(datetime.now(UTC))
    try:
        moment = datetime.fromisoformat(str(text))
        return _spelt(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise BadInput(f"its updated_at is {text!r}, and a time looks like 2026-01-31T12:00:00Z.") from None


def _spelt(moment: datetime) -> str:
    """In a form whose order as text is its order in time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
