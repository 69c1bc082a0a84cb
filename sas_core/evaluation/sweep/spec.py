"""What a sweep is, as a value read from YAML: what is built, what varies, what is measured."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sas_core.contrast.choice import begin_with
from sas_core.contrast.pairs import Form
from sas_core.contrast.select import Sides
from sas_core.spec_file import parse, read_text
from sas_core.steering.spec import LARGEST_STRENGTH, Nonlinearity, SteeredTokens

Measure = Literal["margin", "mcq", "price", "text"]
ControlName = Literal[
    "random", "random-matched", "random-latents", "shuffled", "dense", "caa", "system", "high-output"
]
MEASURES: tuple[Measure, ...] = get_args(Measure)
CONTROLS: tuple[ControlName, ...] = get_args(ControlName)
MOST_CELLS = 5_000

AUTO = "auto"
_Auto = Literal["auto"]
_Share = Annotated[float, Field(ge=0, le=1)]
_CLOSED = ConfigDict(extra="forbid", frozen=True, strict=False)


class Axes(BaseModel):
    """The values of each axis; the sweep is their product. An axis that is left out has its one default.

    `scale`: lambda, 0 always among them. `tau`, `top_k` (None: all), `sides`, `drop_shared`, `position`: how
    the vector is built (`contrast.select`); `auto` is what pairs of that form begin with, and for `top_k` all
    where `drop_shared` is given. `nonlinearity`, `error_term` (False: without Delta), `tokens`: how it is
    applied. `sae`: dictionaries as `release/sae_id` or folders (None: the one loaded); with those of several
    layers it is the axis of layers.
    """

    model_config = _CLOSED
    scale: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)
    tau: tuple[_Share, ...] = (0.7,)
    top_k: tuple[Annotated[int, Field(ge=1)] | _Auto | None, ...] = (AUTO,)
    sides: tuple[Sides, ...] = ("both",)
    drop_shared: tuple[bool | _Auto, ...] = (AUTO,)
    position: tuple[Literal["auto", "answer", "last", "completion-mean", "completion-often"], ...] = ("auto",)
    nonlinearity: tuple[Nonlinearity, ...] = ("relu",)
    error_term: tuple[bool, ...] = (True,)
    tokens: tuple[SteeredTokens, ...] = ("generated",)
    sae: tuple[str | None, ...] = (None,)

    @field_validator("*")
    @classmethod
    def _something(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values:
            raise ValueError("needs at least one value; leave the axis out for its default")
        return tuple(dict.fromkeys(values))

    @field_validator("scale")
    @classmethod
    def _usable(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if not any(scales) or not all(math.isfinite(s) and abs(s) <= LARGEST_STRENGTH for s in scales):
            raise ValueError(f"needs a strength other than 0, all of them within ±{LARGEST_STRENGTH:g}")
        # a minus zero becomes a plain one
        return tuple(sorted({s + 0.0 for s in scales} | {0.0}))

    def settled(self, form: Form) -> "Axes":
        """With the values that `auto` means for pairs of this form, but for `position`."""
        begun = begin_with(form)
        top_k = begun.top_k if self.drop_shared == (AUTO,) else None
        return Axes.model_validate(
            {
                **self.model_dump(),
                "top_k": tuple(top_k if each == AUTO else each for each in self.top_k),
                "drop_shared": tuple(
                    begun.drop_shared if each == AUTO else each for each in self.drop_shared
                ),
            }
        )


class Words(BaseModel):
    """Words counted in a text: share of its words in `plus`, less the share in `minus`."""

    model_config = _CLOSED
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()


class TextPart(BaseModel):
    """What is written and how it is scored, for the measure `text`.

    `prompts`: the prompts themselves, or a file of them; without any, the contrast's own or neutral ones.
    `probe`: a probe trained on the training pairs' activations. `words`: word lists by name. `judge`: a model
    behind an OpenAI-compatible endpoint, with `concept` in words. `scores`: name -> file of a classifier's
    scores for texts of an earlier run.
    """

    model_config = _CLOSED
    prompts: tuple[str, ...] | str | None = None
    max_new_tokens: Annotated[int, Field(ge=1)] = 40
    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    seed: int = 0
    probe: bool = True
    words: dict[str, Words] = {}
    judge: bool = False
    concept: str | None = None
    scores: dict[str, str] = {}


class System(BaseModel):
    """System prompts that ask for the behaviour, and for its opposite: the control `system`."""

    model_config = _CLOSED
    positive: str
    negative: str


class SweepSpec(BaseModel):
    """One sweep. `behaviour` (a shipped contrast), `pairs` (a file) or `vector` (a file or a saved one) says
    what steers; `heldout` is the file of what is scored, by default the shipped contrast's own.

    `answers: texts` takes multiple-choice pairs as their question with the answers' words for the letters.
    `limit` and `training_limit`: so many of the held-out and training pairs at most.

    Half of the held-out pairs (`dev_share`) is for choosing, the other for reporting; a strength that costs
    neutral text more than `most_price` nats per token is not chosen, where the price is measured.
    """

    model_config = _CLOSED
    name: str
    preset: str = "demo"
    behaviour: str | None = None
    pairs: str | None = None
    vector: str | None = None
    heldout: str | None = None
    measures: tuple[Measure, ...] = ("margin", "price")
    axes: Axes = Axes()
    controls: tuple[ControlName, ...] = ("random-matched", "dense")
    seeds: Annotated[int, Field(ge=1, le=20)] = 3
    answers: Literal["letters", "texts"] = "letters"
    limit: Annotated[int, Field(ge=2)] | None = None
    training_limit: Annotated[int, Field(ge=2)] | None = None
    dev_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    split_seed: int = 0
    most_price: Annotated[float, Field(gt=0)] | None = 0.5
    text: TextPart = TextPart()
    system: System | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "SweepSpec":
        given = [n for n in ("behaviour", "pairs", "vector") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError("give one of behaviour, pairs or vector, and only one")
        if self.pairs is not None and self.heldout is None:
            raise ValueError("pairs of your own need heldout: the file of pairs that are scored")
        if "system" in self.controls and self.system is None:
            raise ValueError("the control system needs system: with positive and negative")
        if not self.measures:
            raise ValueError("measures needs at least one of " + ", ".join(MEASURES))
        return self

    @model_validator(mode="after")
    def _axes_of_a_vector(self) -> "SweepSpec":
        if self.vector is None:
            return self
        built = ("tau", "top_k", "sides", "drop_shared", "position", "sae")
        given, plain = (axes.settled("multiple-choice") for axes in (self.axes, Axes()))
        varied = [n for n in built if getattr(given, n) != getattr(plain, n)]
        if varied:
            raise ValueError(
                f"a finished vector cannot vary {', '.join(varied)}: give the behaviour or the pairs instead"
            )
        return self

    def settled(self, form: Form) -> "SweepSpec":
        """With what `auto` means for training pairs of this form; a finished vector has nothing to settle."""
        return self if self.vector else self.model_copy(update={"axes": self.axes.settled(form)})

    def dump(self) -> str:
        """The spec as YAML, without what stands at its default."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_defaults=True), sort_keys=False, width=100)


def read_spec(path: Path, changes: Sequence[str] = ()) -> SweepSpec:
    """A spec from a YAML (or JSON) file, with `changes` such as `axes.tau=[0.5, 0.7]` put in its place.

    Raises BadInput, naming the file and the field.
    """
    return parse_spec(read_text(path), str(path), changes)


def parse_spec(text: str, source: str = "The spec", changes: Sequence[str] = ()) -> SweepSpec:
    """A spec from YAML. Raises BadInput, naming the field and what it may be."""
    return parse(
        SweepSpec, text, source, changes, example="axes.tau=[0.5,0.7] or limit=10",
        needs="no sweep: it needs fields such as name, behaviour and axes",
    )  # fmt: skip


def parse_settled(text: str) -> SweepSpec:
    """The spec of a sweep that was run. Raises BadInput.

    Where one says nothing of shared latents it was written before free text began with them kept.
    """
    spec = parse_spec(text)
    return spec if spec.axes.drop_shared != (AUTO,) else spec.settled("multiple-choice")
