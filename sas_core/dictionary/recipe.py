"""A training as it is declared in YAML, and the spec it means; docs/dictionary.md explains every field.

File names are read from the folder of the YAML file. Knows files, no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sas_core.dictionary.spec import Source, TrainSpec
from sas_core.errors import BadInput
from sas_core.model.presets import DEMO_MODEL
from sas_core.model.row_files import has_format
from sas_core.spec_file import parse, read_text

_CLOSED = ConfigDict(extra="forbid", frozen=True)
_Count = Annotated[int, Field(ge=1)]


class Text(BaseModel):
    """One text to learn from: a file or a hub data set, and its weight in the mix of documents."""

    model_config = _CLOSED
    path: str
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


class Recipe(BaseModel):
    """One training. `model`: demo, a hub name or a Hugging Face folder; `text`: paths, or paths with weights.

    `held_out` maps a kind of text, such as prose, to the file it is measured on at the end, `windows` windows
    of each. `TrainSpec` has the meaning of the rest, under the names of the field: `width` is its `d_sae`.
    """

    model_config = _CLOSED
    model: str = "demo"
    hook: str
    text: Annotated[tuple[Text, ...], Field(min_length=1)]
    tokens: _Count
    width: _Count = TrainSpec.d_sae
    k: Annotated[float, Field(gt=0, allow_inf_nan=False)] = TrainSpec.k
    lr: Annotated[float, Field(gt=0, lt=1)] = TrainSpec.lr
    batch_size: _Count = TrainSpec.batch_size
    context_size: Annotated[int, Field(ge=2)] = TrainSpec.context_size
    buffer_size: _Count = TrainSpec.buffer_size
    warm_up_steps: Annotated[int, Field(ge=0)] = TrainSpec.warm_up_steps
    decay_share: Annotated[float, Field(ge=0, le=1)] = TrainSpec.decay_share
    dead_after_steps: _Count = TrainSpec.dead_after_steps
    seed: int = TrainSpec.seed
    start_from: str | None = TrainSpec.start_from
    replay: Annotated[int, Field(ge=0)] = TrainSpec.replay
    replay_positions: _Count = TrainSpec.replay_positions
    threshold_scale: Annotated[float, Field(gt=0, le=4)] = TrainSpec.threshold_scale
    held_out: dict[str, str] = {}
    windows: _Count = 64

    @field_validator("text", mode="before")
    @classmethod
    def _paths_alone(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        return tuple({"path": each} if isinstance(each, str) else each for each in given)

    @model_validator(mode="after")
    def _possible(self) -> "Recipe":
        """What would only fail, or divide by zero, far into the run."""
        if self.k > self.width:
            raise ValueError(f"k {self.k:g} of a width of {self.width:,} is not possible; choose a smaller k")
        most = min(self.tokens, self.buffer_size)
        if self.batch_size > most:
            raise ValueError(
                f"batch_size {self.batch_size:,} is more than there is to take it from; choose one up to "
                f"{most:,}, the smaller of tokens and buffer_size"
            )
        return self


# what a recipe and its spec call the same
_NUMBERS = Recipe.model_fields.keys() & {field.name for field in fields(TrainSpec)} - {"start_from"}


@dataclass(frozen=True)
class Training:
    """What a recipe asks for, with whole paths. `model` is what to load: demo, a hub name or a folder."""

    model: str
    spec: TrainSpec
    held_out: dict[str, str]
    windows: int


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Training:
    """A training from a YAML file, with `changes` such as `tokens=60000` put in their place.

    Raises BadInput, naming the file and the field.
    """
    recipe = parse(
        Recipe, read_text(path), str(path), changes, example="tokens=60000 or held_out.prose=books.txt",
        needs="no recipe of a training: it needs fields such as hook, text and tokens",
    )  # fmt: skip
    return _resolved(recipe, path)


def _resolved(recipe: Recipe, path: Path) -> Training:
    def place(field: str, name: str, *, folder: bool = False) -> str:
        return _place(path.parent, name, folder, f"{path} cannot be used. {field}: ")

    model = recipe.model
    if model != "demo" and (path.parent / model).is_dir():
        model = str((path.parent / model).resolve())
    begun = recipe.start_from
    spec = TrainSpec(
        model_name=_named(model),
        hook_name=recipe.hook,
        sources=[Source(place(f"text.{i}", t.path), t.weight) for i, t in enumerate(recipe.text)],
        d_sae=recipe.width,
        start_from=None if begun is None else place("start_from", begun, folder=True),
        **{name: getattr(recipe, name) for name in _NUMBERS},
    )
    held_out = {kind: place(f"held_out.{kind}", name) for kind, name in recipe.held_out.items()}
    return Training(model, spec, held_out, recipe.windows)


def _named(model: str) -> str:
    """What the SAE's files call the model: a folder's path means nothing elsewhere."""
    if model == "demo":
        return DEMO_MODEL
    return Path(model).name if Path(model).is_dir() else model


def _place(base: Path, name: str, folder: bool, fault: str) -> str:
    """A file's or folder's whole path; a name that is neither may be a data set on the hub and stays."""
    there = (base / name).resolve()
    if there.is_dir() == folder and there.exists():
        return str(there)
    if folder:
        raise BadInput(f"{fault}there is no folder {there}; name a finished SAE.")
    if there.is_dir() or Path(name).is_absolute() or has_format(name):
        what = "is a folder; name one file in it" if there.is_dir() else "is not there; check the path"
        raise BadInput(f"{fault}{there} {what}.")
    return name
