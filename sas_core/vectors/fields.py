"""The fields of a vector file, format version 1, and their limits. docs/vector-format.md describes each.

Knows no tensor, no model and no text: `dense` is a row of numbers here, and reading and writing the JSON
(with faults in words) is `schema`'s.
"""

import math
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, StringConstraints, model_validator
from pydantic.functional_validators import AfterValidator

FORMAT = "sparse-steering-vector"
VERSION = 1
MAX_NAME_CHARS = 80

# what a name may not hold: controls, surrogates, and the line breaks that are not controls
_NOT_IN_NAMES = {"Cc", "Cs", "Zl", "Zp"}


def name_fault(name: str) -> str | None:
    """Why `name` cannot be a vector's name, as the end of a sentence; None when it can."""
    if not name.strip():
        return "is empty"
    if name != name.strip():
        return "starts or ends with a space"
    if len(name) > MAX_NAME_CHARS:
        return f"has {len(name)} characters, and at most {MAX_NAME_CHARS} are kept"
    if any(unicodedata.category(char) in _NOT_IN_NAMES for char in name):
        return "holds a control character or a line break"
    return None


def now_utc() -> str:
    """The present as `created_at` wants it: `2026-01-31T12:00:00Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_name(name: str) -> str:
    fault = name_fault(name)
    if fault:
        raise ValueError(fault)
    return name


def _check_utc(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("should be an ISO 8601 time such as 2026-01-31T12:00:00Z") from None
    if moment.utcoffset() != timedelta(0):
        raise ValueError("should be in UTC: end it with Z")
    return text


def _check_processing(values: dict[str, Any]) -> dict[str, Any]:
    for key, value in values.items():
        if value is not None and not isinstance(value, bool | int | float | str):
            raise ValueError(f"holds a {type(value).__name__} at {key!r}, where only plain values may stand")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"holds a number that is not finite at {key!r}")
    return values


Name = Annotated[str, AfterValidator(_check_name)]
Moment = Annotated[str, AfterValidator(_check_utc)]
Processing = Annotated[dict[str, Any], AfterValidator(_check_processing)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
# Strict: "1" and true are not numbers here, although pydantic would read them as such
Real = Annotated[float, Strict()]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Count = Annotated[int, Strict(), Field(ge=0)]
Size = Annotated[int, Strict(), Field(ge=1)]
Flag = Annotated[bool, Strict()]
Dtype = Literal["float32", "bfloat16", "float16", "float64"]
Position = Literal["answer", "last", "completion-mean", "completion-often"]
Nonlinearity = Literal["relu", "jumprelu", "none"]
SteeredTokens = Literal["generated", "after-instruction", "all"]
Sides = Literal["both", "positive", "negative"]


class _Part(BaseModel):
    # an unknown field would be lost on the next export, so it is refused, at every level
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelPart(_Part):
    """The language model the vector was built on. `processing`: transformer-lens weight processing."""

    name: Text
    revision: Text | None = None
    dtype: Dtype
    processing: Processing = {}
    d_model: Size
    chat_template_sha256: Sha256 | None = None


class SaePart(_Part):
    """The sparse autoencoder whose latents the vector names; `sha256` is of its weights file."""

    release: Text | None = None
    sae_id: Text | None = None
    path: Text | None = None
    hook_name: Text
    d_in: Size
    d_sae: Size
    sha256: Sha256
    architecture: Text
    normalize_activations: Text


class Feature(_Part):
    """One latent. `value` in units of its activation; the evidence is absent for hand-picked latents."""

    index: Count
    value: Real
    freq_pos: Share | None = None
    freq_neg: Share | None = None
    mean_pos: Real | None = None
    mean_neg: Real | None = None
    label: str | None = None


class PairsPart(_Part):
    """The contrastive pairs behind the vector; the texts themselves are not in the file."""

    name: Text
    count: Size
    sha256: Sha256


class Verify(_Part):
    """A greedy run to be reproduced after import: the same prompt ids give the same token ids."""

    prompt: str
    prompt_ids: Annotated[tuple[Count, ...], Field(min_length=1)]
    seed: Annotated[int, Strict()]
    scale: Real
    max_new_tokens: Size
    unsteered: tuple[Count, ...]
    steered: tuple[Count, ...]
    dtype: Dtype
    device: Text

    @model_validator(mode="after")
    def _lanes_fit(self) -> "Verify":
        for lane in ("unsteered", "steered"):
            if len(getattr(self, lane)) > self.max_new_tokens:
                raise ValueError(f"has more {lane} ids than max_new_tokens, {self.max_new_tokens}")
        return self


class VectorFile(_Part):
    """A sparse steering vector as exported; method and symbols are those of SAS (arXiv 2503.00177).

    `dense`: `[d_in]` floats, the decoded sum at strength 1 in the space of the hook. `strength`: the
    scale a user should start at. Use `schema.parse_vector` for text from outside: it words the faults.
    """

    format: Literal["sparse-steering-vector"] = FORMAT
    version: Literal[1] = VERSION
    name: Name
    note: Annotated[str, StringConstraints(max_length=5000)] = ""
    created_at: Moment
    model: ModelPart
    sae: SaePart
    method: Literal["sas", "latents"] = "sas"
    tau: Share | None = None
    position: Position | None = None
    nonlinearity: Nonlinearity = "relu"
    steered_tokens: SteeredTokens = "generated"
    sides: Sides = "both"
    drop_shared: Flag = True
    strength: Real = 1.0
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    pairs: PairsPart | None = None
    verify: Verify | None = None
    versions: dict[str, str] = {}
    dense: tuple[Real, ...]

    @model_validator(mode="after")
    def _parts_agree(self) -> "VectorFile":
        fault = _index_fault(self) or _dense_fault(self) or _evidence_fault(self)
        if fault:
            raise ValueError(fault)
        return self


def _index_fault(vector: VectorFile) -> str | None:
    seen: dict[int, int] = {}
    for row, feature in enumerate(vector.features):
        if feature.index >= vector.sae.d_sae:
            return (
                f"features[{row}].index is {feature.index}, and sae.d_sae {vector.sae.d_sae} "
                f"allows 0 to {vector.sae.d_sae - 1}"
            )
        if feature.index in seen:
            return f"features[{row}].index repeats {feature.index} of features[{seen[feature.index]}]"
        seen[feature.index] = row
    return None


def _dense_fault(vector: VectorFile) -> str | None:
    if len(vector.dense) == vector.sae.d_in:
        return None
    return f"dense holds {len(vector.dense)} numbers where sae.d_in is {vector.sae.d_in}"


def _evidence_fault(vector: VectorFile) -> str | None:
    """A SAS vector without its threshold or frequencies cannot be rebuilt or explained."""
    if vector.method != "sas":
        return None
    for field in ("tau", "position"):
        if getattr(vector, field) is None:
            return f"{field} is missing, and method 'sas' needs it"
    for row, feature in enumerate(vector.features):
        for field in ("freq_pos", "freq_neg", "mean_pos", "mean_neg"):
            if getattr(feature, field) is None:
                return f"features[{row}].{field} is missing, and method 'sas' needs it"
    return None
