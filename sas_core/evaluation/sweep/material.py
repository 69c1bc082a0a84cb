"""From the names in a spec to the pairs and vectors they mean. Knows files, no model."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sas_core.contrast.dense import shipped_pairs
from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.parse import read_pairs
from sas_core.contrast.shipped import Behaviour, behaviour_names, load_behaviour
from sas_core.errors import BadInput
from sas_core.evaluation.choices import answer_texts
from sas_core.evaluation.scorers.choose import prompts_of
from sas_core.evaluation.scorers.given import written_prompt
from sas_core.evaluation.sweep.spec import SweepSpec, TextPart
from sas_core.steering.spec import Prompt
from sas_core.vectors.fields import VectorFile


@dataclass(frozen=True)
class Material:
    """What a sweep works on: `training` builds vectors unless `vector` is finished; `heldout` is scored.

    `text`: the spec's, its file names made whole; `prompts`: what is written to, without the measure none.
    """

    training: PairSet | None
    vector: VectorFile | None
    heldout: PairSet
    behaviour: Behaviour | None
    text: TextPart
    prompts: tuple[Prompt, ...]

    @property
    def behind(self) -> PairSet | None:
        """The pairs the vector is or was built from; None where they are not at hand."""
        if self.training is not None or self.vector is None or self.vector.pairs is None:
            return self.training
        return shipped_pairs(self.vector.pairs.sha256)

    def settle(self, spec: SweepSpec) -> SweepSpec:
        """The spec with what its `auto` means for these pairs."""
        return spec if self.training is None else spec.settled(self.training.form)

    @property
    def identity(self) -> list[object]:
        """What decides the figures, apart from the spec: pairs and files by content."""
        return [
            self.training.sha256 if self.training else None,
            self.heldout.sha256,
            [(f.index, f.value) for f in self.vector.features] if self.vector else None,
            [written_prompt(prompt) for prompt in self.prompts],
            [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in self.text.scores.values()],
        ]


def material_of(spec: SweepSpec, find_vector: Callable[[str], VectorFile], folder: Path = Path()) -> Material:
    """Read what the spec names; its file names are taken from `folder`, where the spec lies.

    Raises BadInput for what is not there or cannot be read, and when too few pairs are held out.
    """
    vector = None if spec.vector is None else find_vector(_path_or_name(spec.vector, folder))
    behaviour = _behaviour(spec, vector)
    training = read_file(folder / spec.pairs, "pairs") if spec.pairs is not None else None
    if training is None and behaviour is not None and vector is None:
        training = behaviour.train
    heldout = usable(_first(_as_asked(spec, _heldout(spec, behaviour, folder)), spec.limit))
    if training is not None:
        training = usable(_first(_as_asked(spec, training), spec.training_limit))
    if len(heldout) < 2:
        raise BadInput(
            f"{len(heldout)} usable pairs are held out; two at least are needed, one to choose by and one "
            "to report on."
        )
    if "mcq" in spec.measures and heldout.form != "multiple-choice":
        raise BadInput(
            f"measures: mcq asks questions with answers (A) and (B), and {heldout.name!r} holds free text; "
            "take it off, or give multiple-choice pairs as heldout."
        )
    text = _whole(spec.text, folder)
    prompts = prompts_of(text, behaviour) if "text" in spec.measures else ()
    return Material(None if training is None else usable(training), vector, heldout, behaviour, text, prompts)


def read_file(path: Path, field: str) -> PairSet:
    """The pairs of a file. Raises BadInput, naming the spec's field, when it has none that can be used."""
    try:
        parsed = read_pairs(path)
    except BadInput as error:
        raise BadInput(f"{field}: {error}") from error
    errors = [problem.message for problem in parsed.problems if problem.severity == "error"]
    if not len(parsed.pairs):
        raise BadInput(f"{field}: {path} holds no usable pairs. {errors[0] if errors else ''}".rstrip())
    return parsed.pairs


def _whole(text: TextPart, folder: Path) -> TextPart:
    """File names that stand beside the spec, from here."""
    scores = {name: str(folder / path) for name, path in text.scores.items()}
    prompts = str(folder / text.prompts) if isinstance(text.prompts, str) else text.prompts
    for name, path in scores.items():
        if not Path(path).is_file():
            raise BadInput(f"text.scores.{name}: there is no file {path}. Check the path.")
    return text.model_copy(update={"scores": scores, "prompts": prompts})


def _path_or_name(text: str, folder: Path) -> str:
    beside = folder / text
    return str(beside) if beside.is_file() else text


def _behaviour(spec: SweepSpec, vector: VectorFile | None) -> Behaviour | None:
    """The shipped contrast that is named, or that a vector was built from."""
    if spec.behaviour is not None:
        return load_behaviour(spec.behaviour)
    if vector is not None and vector.pairs and vector.pairs.name in behaviour_names():
        return load_behaviour(vector.pairs.name)
    return None


def _heldout(spec: SweepSpec, behaviour: Behaviour | None, folder: Path) -> PairSet:
    if spec.heldout is not None:
        return read_file(folder / spec.heldout, "heldout")
    if behaviour is None:
        raise BadInput(
            f"The vector {spec.vector!r} was not built from a shipped contrast; give heldout: a file of "
            "pairs."
        )
    return behaviour.heldout


def _as_asked(spec: SweepSpec, pairs: PairSet) -> PairSet:
    return answer_texts(pairs) if spec.answers == "texts" and pairs.form == "multiple-choice" else pairs


def _first(pairs: PairSet, most: int | None) -> PairSet:
    return pairs if most is None else PairSet(pairs.name, pairs.pairs[:most], pairs.form)
