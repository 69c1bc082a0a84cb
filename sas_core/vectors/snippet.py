"""A vector as a Python program for people without Steerscope: torch and transformers, nothing of ours.

Two levels. The file carries no encoder columns, so the plain program adds the decoded sum (`dense`), which
is the SAS edit itself only under the conditions it states; the exact program loads the SAE with sae-lens
and applies the edit. This module writes text: it imports neither torch nor transformers.
"""

import json
import re
import textwrap

from sas_core.errors import BadInput
from sas_core.vectors.fields import VectorFile
from sas_core.vectors.program_text import DENSE, EXACT, PROGRAM

_SITES = ("hook_resid_pre", "hook_resid_post", "hook_mlp_out")
_PROMPT = "Tell me about your day."

# transformer-lens and our presets have short names that the hub does not know
_ON_THE_HUB = {
    "SmolLM2-135M-Instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "gpt2-small": "gpt2",
    "gemma-2-2b": "google/gemma-2-2b",
    "gemma-2-2b-it": "google/gemma-2-2b-it",
    "gemma-2-9b": "google/gemma-2-9b",
    "gemma-2-9b-it": "google/gemma-2-9b-it",
}


def snippet(vector: VectorFile, *, filename: str, exact: bool = False) -> str:
    """The source of a program that loads `filename` (the exported JSON) and steers with it.

    `exact`: apply `sigma(f + scale * v) - f` with the SAE itself (needs sae-lens and the SAE) instead of
    the dense sum. Raises BadInput for a hook that has no counterpart in transformers' modules, or for
    `exact` when the file does not say where its SAE is.
    """
    _check_hook(vector.sae.hook_name)
    if exact and not (vector.sae.path or (vector.sae.release and vector.sae.sae_id)):
        raise BadInput(
            f"The vector {vector.name!r} names neither a folder nor a release of its SAE, which the exact "
            "program must load; take the plain program instead."
        )
    parts = {
        "NEEDS": "torch, transformers and sae-lens" if exact else "torch and transformers",
        "SETTINGS": _settings(vector, filename, exact),
        "HONEST": _comment(_exact_words() if exact else _dense_words(vector)),
        "EDIT": (EXACT if exact else DENSE).rstrip("\n"),
        "MAKE_EDIT": "exact_edit" if exact else "dense_edit",
    }
    # one pass, so that text from the file is never taken for a placeholder
    return re.sub("@([A-Z_]+)@", lambda found: parts[found.group(1)], PROGRAM)


def _check_hook(hook_name: str) -> None:
    found = re.fullmatch(r"blocks\.\d+\.(\w+)", hook_name)
    if not found or found.group(1) not in _SITES:
        raise BadInput(
            f"The hook {hook_name!r} has no counterpart in a plain transformers model; a program can be "
            f"written for {', '.join(_SITES)} of a block."
        )


def _settings(vector: VectorFile, filename: str, exact: bool) -> str:
    model = vector.model
    rows = [
        ("VECTOR_FILE", filename, "the exported vector, beside this program"),
        ("MODEL", _ON_THE_HUB.get(model.name, model.name), "hub name or local folder of the same weights"),
        ("DTYPE", model.dtype, "what the vector was built in"),
        ("PROMPT", vector.verify.prompt if vector.verify else _PROMPT, ""),
        ("SCALE", vector.strength, "multiplies the vector; 0 is unsteered, negative suppresses"),
        ("MAX_NEW_TOKENS", 40, ""),
    ]
    if exact:
        rows.append(("SAE_PATH", vector.sae.path, "folder saved by sae-lens; None loads from its registry"))
    return "\n".join(f"{name} = {_literal(value)}{f'  # {why}' if why else ''}" for name, value, why in rows)


def _literal(value: str | float | None) -> str:
    # JSON's string is also Python's as long as nothing outside the plane becomes two surrogates
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _comment(words: str) -> str:
    return "\n".join(f"# {line}" for line in textwrap.wrap(words, 96))


def _dense_words(vector: VectorFile) -> str:
    negative = sum(feature.value < 0 for feature in vector.features)
    positive = len(vector.features) - negative
    if vector.sae.normalize_activations in ("layer_norm", "constant_norm_rescale"):
        return (
            "An approximation: this SAE normalises each input, so the exact edit has another length at "
            "every token; the file's sum is right for a residual of typical norm. The exact program does it."
        )
    if vector.nonlinearity == "none":
        return "This is the vector's own edit: with nonlinearity none the same sum is added at every token."
    if vector.nonlinearity == "jumprelu":
        return (
            "An approximation: under jumprelu a latent that stays below its threshold is not steered at "
            "all, and adding the decoded sum ignores that. The exact program does not."
        )
    words = (
        "Sparse activation steering adds relu(f + SCALE * value) - f to each latent f. Where SCALE * value "
        "is positive that is the constant SCALE * value, and adding the decoded sum is the same edit."
    )
    if not negative:
        return f"{words} All {positive} values here are positive: exact for SCALE >= 0, approximate below."
    if not positive:
        return f"{words} All {negative} values here are negative: exact for SCALE <= 0, approximate above."
    return (
        f"{words} Where it is negative (for SCALE > 0: {negative} of {negative + positive} latents) the "
        "exact edit only switches off what is on, and this sum subtracts what is not there too: approximate."
    )


def _exact_words() -> str:
    return (
        "Sparse activation steering (arXiv 2503.00177): add sigma(f + SCALE * value) - f to the latents of "
        "the vector. Reconstruction error and decoder bias cancel, so only their decoder rows are needed."
    )
