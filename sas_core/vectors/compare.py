"""What differs between a vector file and the model and SAE that are loaded, in one sentence each.

Knows plain values only: the caller fills `LoadedIdentity` from its engine.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sas_core.vectors.fields import VectorFile


@dataclass(frozen=True)
class LoadedIdentity:
    """What is loaded, in the words of the file. `revision` None means: not known."""

    model_name: str
    revision: str | None
    dtype: str
    d_model: int
    processing: dict[str, Any]
    hook_name: str
    d_in: int
    d_sae: int
    sae_sha256: str


@dataclass(frozen=True)
class Difference:
    """One field that differs. A fatal one makes the vector meaningless here, a warning does not."""

    field: str
    file: str
    loaded: str
    severity: Literal["fatal", "warning"]
    sentence: str


def differences(vector: VectorFile, loaded: LoadedIdentity) -> tuple[Difference, ...]:
    """Everything that differs, fatal ones first; empty when the vector belongs to what is loaded."""
    found = [*_of_sizes(vector, loaded), *_of_sae(vector, loaded), *_of_model(vector, loaded)]
    return tuple(sorted(found, key=lambda difference: difference.severity == "warning"))


def _of_sizes(vector: VectorFile, loaded: LoadedIdentity) -> Iterator[Difference]:
    rows = (
        ("model.d_model", vector.model.d_model, loaded.d_model, "a model of residual width {}"),
        ("sae.d_in", vector.sae.d_in, loaded.d_in, "an SAE that reads {} numbers"),
        ("sae.d_sae", vector.sae.d_sae, loaded.d_sae, "an SAE of {} latents"),
    )
    for field, file, here, thing in rows:
        if file != here:
            was, now = thing.format(f"{file:,}"), thing.format(f"{here:,}")
            yield _fatal(field, file, here, f"The vector belongs to {was}, and {now} is loaded.")


def _of_sae(vector: VectorFile, loaded: LoadedIdentity) -> Iterator[Difference]:
    file, here = vector.sae.hook_name, loaded.hook_name
    if file != here:
        yield _fatal(
            "sae.hook_name", file, here, f"The vector acts at {file}, and the loaded SAE reads {here}."
        )
    file, here = vector.sae.sha256, loaded.sae_sha256
    if file != here:
        sentence = (
            f"The vector names latents of other SAE weights (sha256 {file[:12]}) than those loaded "
            f"({here[:12]}): the same index is another latent there."
        )
        yield _fatal("sae.sha256", file, here, sentence)


def _of_model(vector: VectorFile, loaded: LoadedIdentity) -> Iterator[Difference]:
    part = vector.model
    if part.name != loaded.model_name:
        yield _of_name(vector, loaded)
    if part.revision and loaded.revision and part.revision != loaded.revision:
        sentence = (
            f"The vector was built on revision {part.revision} of the model and {loaded.revision} is "
            "loaded: close, but answers may differ from those recorded."
        )
        yield Difference("model.revision", part.revision, loaded.revision, "warning", sentence)
    if part.dtype != loaded.dtype:
        sentence = (
            f"The vector was built in {part.dtype} and the model runs in {loaded.dtype}: steering works, "
            "but greedy answers may part from those recorded after some tokens."
        )
        yield Difference("model.dtype", part.dtype, loaded.dtype, "warning", sentence)
    file, here = _in_force(part.processing), _in_force(loaded.processing)
    if file != here:
        sentence = (
            f"The model's weights were processed as {file} for the vector and are processed as {here} now: "
            "latents may read other values, so the recorded evidence may not hold."
        )
        yield Difference("model.processing", file, here, "warning", sentence)


def _of_name(vector: VectorFile, loaded: LoadedIdentity) -> Difference:
    """A base model's SAE on its chat model is a use the paper itself makes, so it is only a warning."""
    file, here = vector.model.name, loaded.model_name
    if vector.model.d_model != loaded.d_model:
        sentence = f"The vector was built on {file}, and {here}, a model of another width, is loaded."
        return _fatal("model.name", file, here, sentence)
    sentence = (
        f"The vector was built on {file} and {here} is loaded: between a base model and its chat model "
        "this works, but the fitting strength may differ and the recorded answers will not be reproduced; "
        "between unrelated models it means nothing."
    )
    return Difference("model.name", file, here, "warning", sentence)


def _fatal(field: str, file: str | int, here: str | int, sentence: str) -> Difference:
    return Difference(field, str(file), str(here), "fatal", sentence)


def _in_force(processing: dict[str, Any]) -> str:
    """Options that are switched off are the same as options that are not named."""
    on = {key: value for key, value in sorted(processing.items()) if value not in (False, None)}
    return json.dumps(on) if on else "none"
