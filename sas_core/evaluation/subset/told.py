"""The smallest subset with the scores of its latents, as a document, in a sentence and as a vector file."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sas_core.errors import NoEffect
from sas_core.vectors.fields import MAX_NAME_CHARS, VectorFile

if TYPE_CHECKING:
    from sas_core.atlas.store import Atlas
    from sas_core.evaluation.subset.search import SubsetReport
    from sas_core.steering.engine import Engine

Scores = dict[int, float | None]


@dataclass(frozen=True)
class ScoredSubset:
    """`outputs`, `inputs`: latent -> its scores of arXiv 2505.20063, 0 to 1, None where not known.

    `remark`: why no latent has an output score.
    """

    report: "SubsetReport"
    outputs: Scores
    inputs: Scores
    remark: str | None = None

    def document(self) -> dict[str, Any]:
        """What `evaluate subset --json` prints, without what ran."""
        report = self.report
        latents = [
            {**asdict(latent), "output_score": self.outputs[latent.index],
             "input_score": self.inputs[latent.index]}
            for latent in report.latents
        ]  # fmt: skip
        met = {**asdict(report.interference), "matrix": report.interference.matrix()}
        return {**asdict(report), "kept": report.kept, "latents": latents, "interference": met}


def score_subset(engine: "Engine", report: "SubsetReport", atlas: "Atlas | None" = None) -> ScoredSubset:
    """Output scores from the model, input scores from the atlas. Raises QueueFull, Cancelled."""
    from sas_core.atlas.outputs import input_score, output_score

    latents, remark = [latent.index for latent in report.latents], None
    outputs: Scores = dict.fromkeys(latents)
    inputs: Scores = dict.fromkeys(latents)
    try:
        outputs.update({found.latent: found.score for found in output_score(engine, latents)})
    except NoEffect as error:
        remark = str(error)
    if atlas is not None:
        inputs.update({i: input_score(atlas.latent(i), atlas.contexts(i)) for i in latents})
    return ScoredSubset(report, outputs, inputs, remark)


def subset_name(vector: str) -> str:
    """A name to start from, cut to what a name may be."""
    return f"{vector[: MAX_NAME_CHARS - 7].rstrip()} subset"


def subset_sentence(report: "SubsetReport") -> str:
    """How many latents keep how much, on the pairs that chose them and on the others."""
    on, kept = report.subset, report.kept
    share = "" if kept is None else f", {kept:.0%} of the whole vector's effect there"
    return (
        f"{report.vector}, lambda {report.scale:+g}, {report.unit}: {len(report.latents)} of {report.size} "
        f"latents keep {report.subset_dev / report.full_dev:.0%} on the {report.dev} pairs of "
        f"{report.pairs!r} that chose them; on the {report.test} others they do "
        f"{on.value:+.3f} [{on.low:+.3f}, {on.high:+.3f}]{share}."
    )


def pruned_vector(engine: "Engine", file: VectorFile, report: "SubsetReport", name: str) -> VectorFile:
    """The latents of the subset alone, at their values in `file`. Raises BadInput for the name."""
    from sas_core.vectors.build import latents_file

    labels = {f.index: f.label for f in file.features if f.label}
    made = latents_file(engine, name, report.values(), strength=report.scale, labels=labels, verify=False)
    note = (
        f"{len(report.latents)} of the {report.size} latents of {file.name}: the fewest found that keep "
        f"{report.keep:.0%} of its effect at lambda {report.scale:g} on {report.dev} pairs of {report.pairs}."
    )
    return made.model_copy(
        update={"note": note, "nonlinearity": file.nonlinearity, "steered_tokens": file.steered_tokens}
    )
