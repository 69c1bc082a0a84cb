"""A report as one JSON document: what was asked of whom, by which method, the figures, and every latent."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.reading.draw import Drawn
from sas_core.atlas.reading.places import AFTER, BEFORE, LEAST
from sas_core.atlas.reading.report import (
    INPUT_LEVELS,
    ONE_THING,
    Judged,
    Report,
    Scores,
    Told,
    scores,
    spread,
)

JUDGES = ("embedding", "words")
CONTEXTS = ("top", "every")

_ATLAS = (
    "model", "sae_sha256", "sae_name", "hook_name", "d_sae", "corpus", "corpus_sha256", "tokens_seen",
    "top_k", "finished", "versions",
)  # fmt: skip


def document(report: Report, drawn: Drawn, made: MadeOf, sample: int, seed: int) -> dict[str, Any]:
    """Ready for JSON but for numbers that are not finite."""
    return {
        "atlas": {name: getattr(made, name) for name in _ATLAS},
        "asked": {"sample": sample, "seed": seed},
        "drawn": {name: getattr(drawn, name) for name in ("live", "tried", "few", "everywhere")},
        "method": method(report),
        "thresholds": {"one_thing_auroc": ONE_THING, "interval": 0.95, "interval_low_above": 0.5},
        "summary": {name: _group(group) for name, group in groups(report).items()},
        "agreement": agreement(report),
        "scores": {name: _scores(found) for name, found in output_and_input(report).items()},
        "latents": [
            {
                **asdict(each),
                "one_thing": {name: getattr(each.judged, name).top.one_thing for name in JUDGES},
            }
            for each in report.latents
        ],
        "remarks": report.remarks,
    }


def groups(report: Report) -> dict[str, tuple[Judged, ...]]:
    """The latents and what they are to be held against."""
    return {
        "latents": tuple(each.judged for each in report.latents),
        "contexts of random others": report.nobody,
        "random directions": report.directions,
    }


def told_of(group: Sequence[Judged], judge: str, contexts: str) -> list[Told]:
    """One judge's AUROCs of one kind of contexts."""
    return [getattr(getattr(each, judge), contexts) for each in group]


def output_and_input(report: Report) -> dict[str, Scores]:
    """The two scores of arXiv 2505.20063 over the sample."""
    return {
        "input": scores([each.input_score for each in report.latents]),
        "output": scores([each.output_score for each in report.latents]),
    }


def agreement(report: Report) -> dict[str, int]:
    """In how many latents both judges, either, and neither read one thing in the strongest contexts."""
    found = [
        (each.judged.embedding.top.one_thing, each.judged.words.top.one_thing) for each in report.latents
    ]
    counted: dict[str, Callable[[tuple[bool, bool]], bool]] = {
        "both": all, "either": any, "neither": lambda each: not any(each),
    }  # fmt: skip
    return {name: sum(map(rule, found)) for name, rule in counted.items()}


def method(report: Report) -> dict[str, str]:
    """What was done, in words."""
    span = f"{BEFORE} tokens before a place to {AFTER} after it"
    trace = (
        "taken out first are the directions that the latent itself reads and writes (of a random direction: "
        "it)"
        if report.own_taken_out
        else "nothing of the latent is taken out, since its SAE reads another space"
    )
    return {
        "protocol": (
            "detection by examples (arXiv 2410.13928 and delphi's example_embedding): from half of the "
            "strongest contexts a judge learns; it is asked to tell the rest from as many places where the "
            "latent is silent in the whole window and another latent peaks, strongly for top, in its "
            "sampled quarters for the sampled ones. Documents are on one side only; sampled contexts that "
            f"end as one that was learnt are left out; at least {LEAST} places on either side"
        ),
        "embedding": (
            f"the model itself at {report.hook_name}: mean residual of {span} and the residual at the place, "
            f"in equal parts, centred and scaled by the places against; {trace}; likeness is the cosine with "
            "the mean of those learnt from"
        ),
        "words": (
            f"tf-idf of words and signs from {span}, the one at the place counted fourfold; likeness is the "
            "cosine with the mean of those learnt from"
        ),
        "one_thing": (
            f"AUROC of {ONE_THING:g} or more on the strongest contexts, and its 95 % interval (Hanley and "
            "McNeil's variance, solved for the truth) above 0.5"
        ),
        "contexts of random others": "the same from places of random latents: nothing is there to be learnt",
        "random directions": (
            "the same from the strongest places of Gaussian directions at the SAE's hook that fire at as "
            "many tokens as the latents do, in a part of the windows"
        ),
    }


def _group(group: Sequence[Judged]) -> dict[str, Any]:
    return {
        judge: {kind: asdict(spread(told_of(group, judge, kind))) for kind in CONTEXTS} for judge in JUDGES
    }


def _scores(found: Scores) -> dict[str, Any]:
    return {
        "count": found.count,
        "quartiles": found.quartiles,
        "share_above": dict(zip(map(str, INPUT_LEVELS), found.above, strict=False)),
    }
