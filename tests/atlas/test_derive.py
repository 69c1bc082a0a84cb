"""Logit lens and neighbours of every latent, against the model's own modules and one cosine at a time."""

from collections.abc import Iterator

import pytest
import torch

from sas_core.atlas import derive as module
from sas_core.atlas.derive import NEAR, WRITTEN, Derived, affordable, derive
from sas_core.steering.engine import Engine
from tests.helpers import D_SAE, build_dictionary


def with_dictionary(engine: Engine, architecture: str = "jumprelu", **options) -> Engine:
    dictionary = build_dictionary(architecture, **options)
    return Engine(engine.model, dictionary, engine.placement, engine.name)


def slow_row(engine: Engine, latent: int) -> torch.Tensor:
    row = engine.dictionary.sae.W_dec[latent]
    return row / row.norm() if getattr(engine.dictionary.sae.cfg, "rescale_acts_by_decoder_norm", 0) else row


def slow_logits(engine: Engine, latent: int) -> torch.Tensor:
    """By the model's own final norm, on a copy of the row so large that its epsilon does not count."""
    row = slow_row(engine, latent)
    with torch.no_grad():
        large = engine.model.ln_final(1e4 * row.reshape(1, 1, -1))
        nothing = engine.model.ln_final(torch.zeros(1, 1, len(row)))
        logits = ((large - nothing) @ engine.model.W_U)[0, 0]
    # the norm's scale is the row's own: put it back
    centred = row - row.mean() if engine.model.cfg.normalization_type.startswith("LN") else row
    return logits * centred.pow(2).mean().sqrt()


def slow_near(engine: Engine, latent: int) -> list[tuple[int, float]]:
    W_dec = engine.dictionary.sae.W_dec
    cosines = [
        (other, float(torch.nn.functional.cosine_similarity(W_dec[latent], W_dec[other], dim=0)))
        for other in range(len(W_dec))
        if other != latent
    ]
    return sorted(cosines, key=lambda pair: -pair[1])[:NEAR]


def check(engine: Engine, latents: range, found: Iterator[Derived]) -> None:
    for latent, got in zip(latents, found, strict=True):
        logits = slow_logits(engine, latent)
        for pairs, sign in ((got.up, 1.0), (got.down, -1.0)):
            expected = (sign * logits).topk(WRITTEN)
            assert [token for token, _ in pairs] == expected.indices.tolist()
            values = [value for _, value in pairs]
            assert values == pytest.approx((sign * expected.values).tolist(), rel=1e-3, abs=1e-5)
        near = slow_near(engine, latent)
        assert [other for other, _ in got.near] == [other for other, _ in near]
        assert [cosine for _, cosine in got.near] == pytest.approx([c for _, c in near], abs=1e-5)


@pytest.mark.parametrize("which", ["engine", "raw_engine"])
def test_all_latents_have_their_extreme_logits_and_nearest_rows(which, request):
    engine = request.getfixturevalue(which)
    check(engine, range(D_SAE), derive(engine, range(D_SAE)))


def test_rows_that_a_topk_sae_divides_by_their_norm_are_divided_here_too(engine):
    other = with_dictionary(engine, "topk", rescale_acts_by_decoder_norm=True)
    check(other, range(D_SAE), derive(other, range(D_SAE)))


def test_some_latents_in_any_order_and_parts_are_the_same_as_all(engine, monkeypatch):
    everything = list(derive(engine, range(D_SAE)))
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    chosen = [40, 3, 3, *range(20, 30)]
    for latent, found in zip(chosen, derive(engine, chosen), strict=True):
        for pairs, whole in zip(
            (found.up, found.down, found.near),
            (everything[latent].up, everything[latent].down, everything[latent].near),
            strict=True,
        ):
            assert [i for i, _ in pairs] == [i for i, _ in whole]
            assert [v for _, v in pairs] == pytest.approx([v for _, v in whole], abs=1e-5)
    assert list(derive(engine, [])) == []


def test_equal_neighbours_come_by_their_number(engine):
    other = with_dictionary(engine, d_sae=6)
    other.dictionary.sae.W_dec.data[:] = 0.0
    other.dictionary.sae.W_dec.data[:, 0] = 1.0
    near = [found.near for found in derive(other, range(6))]
    assert [[i for i, _ in row] for row in near] == [[j for j in range(6) if j != i] for i in range(6)]
    assert all(value == 1.0 for row in near for _, value in row)


@pytest.mark.parametrize("d_sae", [1, 2, NEAR, NEAR + 1])
def test_no_latent_is_its_own_neighbour_however_few_there_are(engine, d_sae):
    other = with_dictionary(engine, d_sae=d_sae)
    for latent, found in enumerate(derive(other, range(d_sae))):
        assert len(found.near) == min(NEAR, d_sae - 1)
        assert latent not in dict(found.near) and all(abs(cosine) <= 1.001 for _, cosine in found.near)


def test_a_dead_row_has_neighbours_at_cosine_zero(engine):
    other = with_dictionary(engine, d_sae=12)
    other.dictionary.sae.W_dec.data[4] = 0.0
    rows = list(derive(other, range(12)))
    assert {cosine for _, cosine in rows[4].near} == {0.0}
    assert all(cosine == cosine for row in rows for _, cosine in row.near), "no NaN"


def test_deriving_all_is_left_out_where_it_would_take_long(engine, monkeypatch):
    assert affordable(engine)
    width, d_in, d_vocab = D_SAE, engine.dictionary.identity.d_in, engine.model.cfg.d_vocab
    monkeypatch.setitem(module._AFFORDABLE, "cpu", width * d_in * (width + d_vocab))
    assert affordable(engine)
    monkeypatch.setitem(module._AFFORDABLE, "cpu", width * d_in * (width + d_vocab) - 1)
    assert not affordable(engine)
