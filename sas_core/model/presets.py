"""Named pairs of model and SAE, and the one way to turn a choice into an engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sas_core.errors import BadInput, Mismatch, Unavailable
from sas_core.paths import PACKAGE

if TYPE_CHECKING:
    from sas_core.model.dictionary import Dictionary
    from sas_core.steering.engine import Engine

DEMO_MODEL = "SmolLM2-135M-Instruct"
DEMO_SAE = PACKAGE / "dictionary" / "demo"


@dataclass(frozen=True)
class Preset:
    """`model` is a hub name or a local folder; the SAE is `release`/`sae_id` or `sae_path`."""

    name: str
    title: str
    model: str
    release: str | None = None
    sae_id: str | None = None
    sae_path: str | None = None
    download_gb: float = 0.0
    note: str = ""


PRESETS = {
    p.name: p
    for p in (
        Preset("demo", "SmolLM2-135M-Instruct, layer 12, 8k latents", DEMO_MODEL, sae_path=str(DEMO_SAE),
               note="needs no hub: weights come through pip, the dictionary is our own"),
        Preset("gpt2-small", "GPT-2 small, layer 8, 24k latents", "gpt2", "gpt2-small-res-jb",
               "blocks.8.hook_resid_pre", download_gb=0.7,
               note="no chat model: prompts are completed as raw text"),
        Preset("gemma-2-2b", "Gemma 2 2B, layer 12, 65k latents", "gemma-2-2b",
               "gemma-scope-2b-pt-res-canonical", "layer_12/width_65k/canonical", download_gb=6.4,
               note="gated on the hub: accept Gemma's licence and log in first"),
        Preset("gemma-2-2b-it", "Gemma 2 2B IT, layer 12, 65k latents", "gemma-2-2b-it",
               "gemma-scope-2b-pt-res-canonical", "layer_12/width_65k/canonical", download_gb=6.4,
               note="the paper's setting: the base model's SAE on the chat model"),
        Preset("gemma-2-9b-it", "Gemma 2 9B IT, layer 20, 131k latents", "gemma-2-9b-it",
               "gemma-scope-9b-pt-res-canonical", "layer_20/width_131k/canonical", download_gb=22.3,
               note="needs about 24 GB of GPU memory in bfloat16"),
    )
}  # fmt: skip


def get_preset(name: str) -> Preset:
    """Raises BadInput with the list for an unknown name."""
    try:
        return PRESETS[name]
    except KeyError:
        raise BadInput(f"Unknown preset {name!r}; choose one of {', '.join(PRESETS)}.") from None


def custom_preset(
    model: str, *, release: str | None = None, sae_id: str | None = None, sae_path: str | None = None
) -> Preset:
    """Any model with any SAE: a registry pair, or a local folder. Raises BadInput when neither is whole."""
    if sae_path is None and not (release and sae_id):
        raise BadInput("Name the SAE: a release with an SAE id from sae-lens's registry, or an SAE folder.")
    return Preset("custom", f"{Path(model).name}", model, release, sae_id, sae_path)


def load_engine(
    preset: Preset, *, device: str = "auto", dtype: str = "auto", sae_path: str | None = None
) -> "Engine":
    """Load model and SAE of a preset (`sae_path` replaces its SAE) and check that they fit.

    Raises BadInput, Unavailable (what is missing, how big it is), Mismatch.
    """
    from sas_core.model.device import choose_placement
    from sas_core.model.hooked import load_hooked
    from sas_core.steering.engine import Engine

    placement = choose_placement(device, dtype)
    try:
        dictionary = _load_dictionary(preset, sae_path or preset.sae_path, placement.device)
        model = load_hooked(
            model_source(preset), device=placement.device, dtype=placement.torch_dtype,
            processing=dictionary.model_kwargs,
        )  # fmt: skip
    except Unavailable as error:
        raise Unavailable(f"{error}{_download(preset)}") from error
    return Engine(model, dictionary, placement, DEMO_MODEL if preset.name == "demo" else preset.model)


def _load_dictionary(preset: Preset, folder: str | None, device: str) -> "Dictionary":
    from sas_core.model.dictionary import load_local, load_release

    if folder is None:
        return load_release(str(preset.release), str(preset.sae_id), device)
    dictionary = load_local(folder, device)
    if preset.name == "demo" and dictionary.model_name not in (None, DEMO_MODEL):
        raise Mismatch(
            f"The SAE in {folder} was trained on {dictionary.model_name}, not on {DEMO_MODEL}; "
            "choose the model it belongs to."
        )
    return dictionary


def _download(preset: Preset) -> str:
    if not preset.download_gb:
        return ""
    return f" {preset.name} downloads {preset.model} and its SAE once, about {preset.download_gb:g} GB."


def model_source(preset: Preset) -> str:
    """Where transformer-lens finds the weights; prepares the demo's on first use."""
    if preset.name != "demo":
        return preset.model
    from sas_core.model.demo import ensure_demo

    return str(ensure_demo())
