"""The histogram of a latent: which bins are drawn, where, and what the sentence says of them."""

import math

import numpy as np

from sas_core.atlas.figures import histogram_alt, histogram_figure
from sas_core.atlas.made_of import EDGES, bins_of
from sas_core.atlas.types import Latent


def latent(values: list[float], tokens: int = 1000) -> Latent:
    counts = np.bincount(bins_of(np.array(values)), minlength=len(EDGES) - 1) if values else np.zeros(46, int)
    return Latent(
        index=3, fired=len(values), tokens_seen=tokens, max=max(values, default=0.0),
        mean_nonzero=float(np.mean(values)) if values else None, std_nonzero=None, density_class="normal",
        histogram=tuple(counts.tolist()), peak_token=None, token_share=None, token_phi=None, positive=(),
        negative=(), neighbours=(),
    )  # fmt: skip


def test_every_token_stands_over_its_own_activation() -> None:
    values = [0.3, 0.31, 1.2, 1.25, 1.3, 9.0]
    (bars,) = histogram_figure(latent(values), EDGES).data
    for value in values:
        over = [
            (y, width)
            for x, y, width in zip(bars.x, bars.y, bars.width, strict=True)
            if abs(math.log2(value) - x) <= width / 2
        ]
        same = sum(bins_of(np.array([v])) == bins_of(np.array([value])) for v in values)
        assert [y for y, _ in over] == [same]
    assert sum(bars.y) == len(values)


def test_bins_beyond_the_weakest_and_the_strongest_are_not_drawn() -> None:
    (bars,) = histogram_figure(latent([1.2, 9.0]), EDGES).data
    assert bars.y[0] > 0 and bars.y[-1] > 0 and 0 in bars.y


def test_the_axis_is_named_in_activations() -> None:
    axis = histogram_figure(latent([0.3, 9.0]), EDGES).layout.xaxis
    assert [float(text) for text in axis.ticktext] == [2.0**place for place in axis.tickvals]
    assert "1" in axis.ticktext


def test_the_sentence_names_the_fullest_bin_and_the_largest_value() -> None:
    said = histogram_alt(latent([0.3, 1.2, 1.25, 1.3, 9.0]), EDGES)
    assert "5 activations" in said and "1 to 1.41 (3 tokens)" in said and "largest is 9" in said


def test_a_latent_that_never_fired_has_a_sentence_and_no_fault() -> None:
    silent = latent([])
    assert "never fired" in histogram_alt(silent, EDGES)
    assert sum(histogram_figure(silent, EDGES).data[0].y) == 0
