"""What came of the judging, and its figures. Plain values; knows no file and no model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from sas_core.atlas.intervals import Within, area_within, share_within
from sas_core.contrast.scores import auroc

ONE_THING = 0.8
"""A judge reads one thing in contexts that it tells from others with this AUROC or more."""

INPUT_LEVELS = (0.01, 0.1)
"""Shares of latents above these scores are told."""


@dataclass(frozen=True)
class Step:
    """`done` of `total` tokens were read, to find or to judge, as `sentence` says."""

    sentence: str
    done: int
    total: int


@dataclass(frozen=True)
class Told:
    """How well a judge told `count` places from as many others: an AUROC and its 95 % interval."""

    area: Within
    count: int

    @property
    def one_thing(self) -> bool:
        """Whether it read one thing: `ONE_THING`, and chance is outside of the interval."""
        return self.area.value >= ONE_THING and self.area.low > 0.5


@dataclass(frozen=True)
class Reading:
    """One judge on one task: the strongest contexts, and these with the sampled ones."""

    top: Told
    every: Told


@dataclass(frozen=True)
class Judged:
    """Both judges on one task."""

    embedding: Reading
    words: Reading


@dataclass(frozen=True)
class LatentJudged:
    """One latent of the sample. Scores are None where they cannot be had."""

    latent: int
    density: float
    learnt: int
    judged: Judged
    input_score: float | None
    output_score: float | None


@dataclass(frozen=True)
class Report:
    """`nobody`: places of random others, which mean nothing together. `directions`: random directions."""

    hook_name: str
    own_taken_out: bool
    latents: tuple[LatentJudged, ...]
    nobody: tuple[Judged, ...]
    directions: tuple[Judged, ...]
    remarks: tuple[str, ...] = ()


def told(high: Float64[np.ndarray, " n"], low: Float64[np.ndarray, " n"]) -> Told:
    """The AUROC of likenesses where it fires against those where it does not."""
    area = float(auroc(high[:, None], low[:, None])[0])
    return Told(area_within(area, len(high), len(low)), len(high))


@dataclass(frozen=True)
class Spread:
    """AUROCs over tasks: how many are one thing, and the nine deciles."""

    count: int
    one_thing: Within | None
    mean: float | None
    deciles: tuple[float, ...]

    @property
    def median(self) -> float | None:
        """The fifth decile."""
        return self.deciles[4] if self.deciles else None


def spread(found: Sequence[Told]) -> Spread:
    """Their number, share and deciles; empty of nothing."""
    if not found:
        return Spread(0, None, None, ())
    areas = np.array([each.area.value for each in found])
    share = share_within(sum(each.one_thing for each in found), len(found))
    deciles = np.quantile(areas, np.arange(1, 10) / 10)
    return Spread(len(found), share, float(areas.mean()), tuple(deciles.tolist()))


@dataclass(frozen=True)
class Scores:
    """Quartiles of the scores that could be had, and the share of latents above each of `INPUT_LEVELS`."""

    count: int
    quartiles: tuple[float, ...]
    above: tuple[float, ...]


def scores(found: Sequence[float | None]) -> Scores:
    """Of input scores or output scores; empty of nothing."""
    known = np.array([each for each in found if each is not None])
    if not len(known):
        return Scores(0, (), ())
    quartiles = np.quantile(known, (0.25, 0.5, 0.75))
    above = tuple(float((known > level).mean()) for level in INPUT_LEVELS)
    return Scores(len(known), tuple(quartiles.tolist()), above)
