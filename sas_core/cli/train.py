"""`train-sae`: train a dictionary as a recipe says, with a running curve; stopped, it goes on where it was.

The training itself is `sas_core.dictionary.train`; this adds the folder's rules, the card and the words.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sas_core.cli.common import STOPPED, Device, Dtype, prepare_demo
from sas_core.cli.measure import figures_table
from sas_core.cli.output import note, note_table, quiet, show_steps, working
from sas_core.dictionary.recipe import Training, read_recipe
from sas_core.errors import BadInput
from sas_core.model.presets import get_preset, model_source
from sas_core.text_file import write_file

if TYPE_CHECKING:
    from sas_core.dictionary.corpus import Window
    from sas_core.dictionary.spec import TrainSpec
    from sas_core.dictionary.train import Progress

_SPEC = "spec.json"


def train_sae(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="A recipe as YAML; docs/dictionary.md has all.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the checkpoint and the finished SAE.")],
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Other than SPEC says: tokens=60000."),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Train an SAE (BatchTopK, saved as JumpReLU) for a model, on text.

    Ctrl-C stops it; the same command goes on from the last checkpoint. The finished SAE is in DIR/final, in
    sae-lens's format, with its card: give that folder to --sae-path.
    """
    asked = read_recipe(spec, change or ())
    _check_folder(out, asked.spec)
    with quiet():
        loaded = _load(asked.model, device, dtype)
        _check_fits(loaded, asked.spec)
        held_out = _held_out(loaded, asked)
        write_file(out / _SPEC, json.dumps(asdict(asked.spec), indent=1))
        _train(loaded, asked.spec, out)
        _write_card(loaded, held_out, out / "final")
    print(out / "final")


def _check_folder(out: Path, spec: "TrainSpec") -> None:
    """Make the folder; raise BadInput when it holds something that this run would spoil or mix with."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out} cannot be used: {error.strerror}. Choose another --out.") from error
    if (out / "final").exists():
        raise BadInput(f"{out} holds a finished SAE already; choose another --out, or move it away.")
    if (out / "checkpoint").exists():
        _check_same(out, json.loads(json.dumps(asdict(spec))))


def _check_same(out: Path, asked: dict[str, Any]) -> None:
    try:
        before = json.loads((out / _SPEC).read_text(encoding="utf-8"))
        differ = sorted(key for key in asked.keys() | before.keys() if asked.get(key) != before.get(key))
    except (OSError, ValueError, AttributeError):
        raise BadInput(
            f"{out} holds a checkpoint and no readable {_SPEC} to say of what; choose another --out."
        ) from None
    if differ:
        raise BadInput(
            f"{out} holds the checkpoint of another training, which differs in {', '.join(differ)}; "
            "give the same recipe to go on, or choose another --out."
        )


def _load(model: str, device: str, dtype: str) -> Any:
    from sas_core.model.device import choose_placement
    from sas_core.model.hooked import load_hooked

    placement = choose_placement(device, dtype)
    if model == "demo":
        prepare_demo()
    source = model_source(get_preset("demo")) if model == "demo" else model
    with working(f"Loading {model}"):
        return load_hooked(source, device=placement.device, dtype=placement.torch_dtype)


def _check_fits(model: Any, spec: "TrainSpec") -> None:
    import torch

    from sas_core.model.hooked import activations_at

    if spec.context_size > model.cfg.n_ctx:
        raise BadInput(
            f"{spec.model_name} reads at most {model.cfg.n_ctx:,} tokens at once; make context_size smaller."
        )
    width = activations_at(model, spec.hook_name, torch.zeros(1, 2, dtype=torch.long)).shape[-1]
    if width != model.cfg.d_model:
        raise BadInput(
            f"{spec.hook_name} has {width} numbers where the residual stream has {model.cfg.d_model}; "
            "choose a hook of the residual stream or an output written into it."
        )


def _held_out(model: Any, asked: Training) -> dict[str, "list[Window]"]:
    """Read before the training, so that a wrong file is not found at its end."""
    from sas_core.dictionary.corpus import read_held_out

    return read_held_out(asked.held_out, model.tokenizer, asked.windows, asked.spec.context_size)


def _train(model: Any, spec: "TrainSpec", out: Path) -> None:
    from sas_core.dictionary.train import train

    try:
        show_steps(_curve(train(model, model.tokenizer, spec, out), spec.tokens))
    except KeyboardInterrupt:
        kept = (out / "checkpoint").exists()
        what = f"{out / 'checkpoint'} is kept; repeat the command to go on from there."
        note(f"Stopped. {what}" if kept else "Stopped before the first checkpoint; nothing is kept.")
        raise typer.Exit(STOPPED) from None


def _curve(run: "Iterator[Progress]", tokens: int) -> Iterator[tuple[str, float]]:
    for at in run:
        rate = f"{at.tokens_per_second:,.0f} tokens/s"
        words = f"{at.tokens:,} of {tokens:,} tokens, FVU {at.fvu:.3f}, {at.dead:,} latents dead, {rate}"
        yield words, min(at.tokens / tokens, 1.0)


def _write_card(model: Any, held_out: "dict[str, list[Window]]", final: Path) -> None:
    """Measure the finished SAE as it is on disk, in float16, and write its card."""
    from sas_core.dictionary.card import write_card
    from sas_core.dictionary.measure import measure
    from sas_core.model.dictionary import load_local

    dictionary = load_local(final, str(model.cfg.device))
    found = {}
    try:
        for kind, taken in held_out.items():
            with working(f"Measuring on {kind}"):
                found[kind] = measure(model, dictionary, iter(taken)).as_dict()
    except KeyboardInterrupt:
        note(f"Stopped while measuring. The SAE is finished, in {final}; measure-sae --card measures it.")
        raise typer.Exit(STOPPED) from None
    write_card(final, json.loads((final / "training.json").read_text(encoding="utf-8")), found)
    if found:
        note_table(figures_table(found))
