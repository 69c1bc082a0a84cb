"""`presets` and `behaviours`: what can be named in the other commands. Loads nothing."""

from dataclasses import asdict

from sas_core.cli.common import AsJson
from sas_core.cli.output import show, show_json, table
from sas_core.contrast.shipped import Behaviour, behaviour_names, load_behaviour
from sas_core.model.presets import PRESETS, Preset


def presets(as_json: AsJson = False) -> None:
    """List the pairs of model and SAE that --preset takes."""
    if as_json:
        return show_json([asdict(preset) for preset in PRESETS.values()])
    columns = ("preset", "what it is", "SAE", "download", "note")
    rows = [(p.name, p.title, _sae(p), _download(p), p.note) for p in PRESETS.values()]
    return show(table(columns, rows, right=("download",)))


def behaviours(as_json: AsJson = False) -> None:
    """List the shipped contrasts that `vector build --behaviour` takes."""
    found = [load_behaviour(name) for name in behaviour_names()]
    if as_json:
        return show_json([_summary(behaviour) for behaviour in found])
    columns = ("behaviour", "positive", "negative", "form", "pairs", "held out")
    rows = [(b.name, b.positive, b.negative, b.form, len(b.train), len(b.heldout)) for b in found]
    return show(table(columns, rows, right=("pairs", "held out")))


def _sae(preset: Preset) -> str:
    return f"{preset.release} / {preset.sae_id}" if preset.release else "our own"


def _download(preset: Preset) -> str:
    return f"{preset.download_gb:g} GB" if preset.download_gb else ""


def _summary(behaviour: Behaviour) -> dict[str, object]:
    words = {key: getattr(behaviour, key) for key in ("name", "title", "positive", "negative", "form")}
    return {**words, "description": behaviour.description, "pairs": len(behaviour.train),
            "heldout": len(behaviour.heldout), "prompts": list(behaviour.prompts)}  # fmt: skip
