"""What the commands share: errors as one sentence and the options that load a model.

Knows nothing of what a command does. Torch is only imported when an engine is asked for.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from sas_core.cli.output import show_steps, working
from sas_core.errors import BadInput, SteerscopeError
from sas_core.model.presets import Preset, custom_preset, get_preset, load_engine

if TYPE_CHECKING:
    from sas_core.steering.engine import Engine

BAD_INPUT = 2
STOPPED = 130

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Of the model; the SAE always encodes in float32."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class OneSentenceErrors(TyperGroup):
    """A command group whose every refusal is one line on stderr and exit code 2.

    A fault of ours is no refusal: it keeps its traceback and exit code 1.
    """

    def main(self, *args: Any, **options: Any) -> None:
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except SteerscopeError as error:
            _leave(str(error))
        except typer.TyperException as error:
            context = getattr(error, "ctx", None)
            hint = f" See '{context.command_path} --help'." if context else ""
            _leave(error.format_message().rstrip(".") + "." + hint)
        sys.exit(code or 0)


def _leave(message: str) -> None:
    print(" ".join(message.split()), file=sys.stderr)
    sys.exit(BAD_INPUT)


@dataclass(frozen=True)
class Loading:
    """Which model and SAE a command runs on, as asked; nothing is loaded yet."""

    preset: Preset
    device: str
    dtype: str
    sae_path: str | None

    def engine(self) -> "Engine":
        """Load it, preparing the demo's weights first if they are missing, with progress on stderr.

        Raises BadInput, Unavailable or Mismatch.
        """
        if self.preset.name == "demo":
            prepare_demo()
        with working(f"Loading {self.preset.title}"):
            return load_engine(self.preset, device=self.device, dtype=self.dtype, sae_path=self.sae_path)


def placed(engine: "Engine") -> str:
    """Where an engine runs and why, as a sentence."""
    place = engine.placement
    return f"Ran on {place.device} in {place.dtype}: {place.reason}."


def prepare_demo() -> None:
    """Fetch and convert the demo model's weights unless they are there, with progress on stderr."""
    from sas_core.model import demo

    if not demo.demo_ready():
        show_steps((step.sentence, step.done) for step in demo.prepare_demo())


def _loading(
    preset: Annotated[
        str | None, typer.Option(help="A pair of model and SAE; `presets` lists them.", show_default="demo")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Instead of a preset: a hub name or a Hugging Face folder. It needs an SAE too."),
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="With --model: a release of sae-lens's registry.")
    ] = None,
    sae_id: Annotated[str | None, typer.Option(help="With --release: the SAE in it.")] = None,
    sae_path: Annotated[
        str | None, typer.Option(help="A folder saved by sae-lens; replaces the preset's SAE.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> Loading:
    if model is None:
        if release or sae_id:
            raise BadInput("--release and --sae-id say which SAE goes with --model; give --model too.")
        return Loading(get_preset(preset or "demo"), device, dtype, sae_path)
    if preset:
        raise BadInput("--preset and --model both name the model; give one of them.")
    return Loading(
        custom_preset(model, release=release, sae_id=sae_id, sae_path=sae_path), device, dtype, sae_path
    )


def takes_engine(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_loading`; it gets what they say as `loading`.

    typer reads options from a function's signature, so the two signatures are joined into one.
    """
    options = inspect.signature(_loading).parameters
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "loading"]

    @functools.wraps(command)
    def joined(**given: Any) -> None:
        asked = {name: given.pop(name) for name in options}
        command(loading=_loading(**asked), **given)

    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *options.values())]
    joined.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    joined.__annotations__ = {p.name: p.annotation for p in parameters}
    return joined
