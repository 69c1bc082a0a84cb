"""Output and input score, against the forward pass and the encode, add, decode of the paper's own words."""

from typing import Any

import pytest
import torch

from sas_core.atlas import outputs
from sas_core.atlas.outputs import NEUTRAL, input_score, output_score
from sas_core.atlas.types import BANDS, Context, Latent
from sas_core.errors import BadInput, NoEffect
from sas_core.steering.engine import Engine
from tests.helpers import D_SAE, build_dictionary, decoded, hooks_on, slow_logits

LATENTS = [3, 17, 0, D_SAE - 1, 17]


def raised_by(engine: Engine, latent: int) -> list[int]:
    """Top 20 of the model's own ln_final and unembed on the decoder row, the norm's bias left out."""
    row = engine.dictionary.W_dec_rows(torch.tensor([latent]))[:, None]
    with torch.no_grad():
        # large, so that the norm's epsilon does not count
        norm = engine.model.ln_final(1e4 * row) - engine.model.ln_final(torch.zeros_like(row))
    return (norm @ engine.model.W_U)[0, 0].topk(20).indices.tolist()


def by_the_paper(engine: Engine, latent: int) -> tuple[float, int, int, float]:
    """Score, best token, its rank and probability: the whole text without a cache, the SAE in full."""
    sae, ids = engine.dictionary.sae, engine.turns.encode(NEUTRAL, chat=False).ids

    def amplify(a: torch.Tensor) -> torch.Tensor:
        x = a.float()
        f = sae.encode(x)
        error = x - decoded(sae, x, f)
        f[..., latent] += 10 * f.max()
        return decoded(sae, x, f) + error

    logits = slow_logits(engine.model, engine.hook_name, ids, amplify, [len(ids) - 1])[-1]
    p = logits.softmax(dim=-1)
    order = p.argsort(descending=True).tolist()
    best = min(raised_by(engine, latent), key=order.index)
    rank = order.index(best)
    return (1 - rank / len(p)) * float(p[best]), best, rank, float(p[best])


def check(engine: Engine) -> None:
    found = output_score(engine, LATENTS)
    assert [score.latent for score in found] == LATENTS
    assert found[1] == found[4], "asked twice, answered twice"
    for score in found:
        expected, best, rank, probability = by_the_paper(engine, score.latent)
        assert score.score == pytest.approx(expected, rel=1e-3, abs=1e-7)
        assert score.probability == pytest.approx(probability, rel=1e-3, abs=1e-7)
        assert score.rank == rank and score.best_token == engine.turns.pieces([best])[0]
    assert len({score.score for score in found}) > 2, "scores tell latents apart"


@pytest.mark.parametrize("which", ["engine", "raw_engine"])
def test_the_score_is_that_of_the_paper(which: str, request) -> None:
    check(request.getfixturevalue(which))


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("standard", {}),
        ("standard", {"normalize_activations": "layer_norm"}),
        ("standard", {"normalize_activations": "constant_norm_rescale"}),
        ("gated", {}),
        ("topk", {"rescale_acts_by_decoder_norm": True}),
        ("jumprelu", {"metadata": {"prepend_bos": True}}),
    ],
)
def test_the_score_is_that_of_the_paper_for_every_kind_of_sae(
    engine: Engine, architecture: str, options: dict[str, Any]
) -> None:
    dictionary = build_dictionary(architecture, **options)
    check(Engine(engine.model, dictionary, engine.placement, engine.name))


def test_where_amplifying_moves_little_other_tokens_are_likelier(engine: Engine) -> None:
    dictionary = build_dictionary("jumprelu")
    dictionary.sae.W_dec.data.mul_(0.01)
    faint = Engine(engine.model, dictionary, engine.placement, engine.name)
    check(faint)
    assert any(score.rank > 3 for score in output_score(faint, LATENTS))


def test_many_latents_are_scored_in_parts_and_others_get_their_turn_between(
    engine: Engine, monkeypatch
) -> None:
    whole = output_score(engine, range(D_SAE))
    turns: list[str] = []
    enter = engine.queue.enter
    monkeypatch.setattr(engine.queue, "enter", lambda session="": turns.append(session) or enter(session))
    monkeypatch.setattr(outputs, "_ROWS", 20)
    parts = output_score(engine, range(D_SAE), session="me")

    assert turns == ["me"] * 3
    for one, other in zip(whole, parts, strict=True):
        assert one.latent == other.latent and one.rank == other.rank
        assert one.score == pytest.approx(other.score, rel=1e-4)


def test_nothing_stays_on_the_model(engine: Engine) -> None:
    output_score(engine, [3])
    assert hooks_on(engine.model) == [] and len(engine.queue) == 0


def test_no_latents_have_no_scores(engine: Engine) -> None:
    assert output_score(engine, []) == ()


@pytest.mark.parametrize("latent", [-1, D_SAE])
def test_a_latent_that_does_not_exist_is_refused(engine: Engine, latent: int) -> None:
    with pytest.raises(BadInput, match=r"latents 0 to 47\."):
        output_score(engine, [3, latent])


def test_a_sink_at_the_last_token_is_said_and_not_scored(engine: Engine) -> None:
    engine.typical_norm = 1e-6
    with pytest.raises(NoEffect, match="no output score"):
        output_score(engine, [3])


def test_where_no_latent_fires_there_is_nothing_to_amplify_by(engine: Engine) -> None:
    dictionary = build_dictionary("jumprelu")
    dictionary.sae.threshold.data.fill_(1e6)
    silent = Engine(engine.model, dictionary, engine.placement, engine.name)
    with pytest.raises(NoEffect, match="no latent fires"):
        output_score(silent, [3])


def latent_that_writes(*tokens: str) -> Latent:
    positive = tuple((token, 30.0 - i) for i, token in enumerate(tokens))
    return Latent(3, 40, 900, 5.0, 2.0, 0.5, "normal", (), " sea", 1.0, 0.5, positive, (), ())


def context(peak_token: str, band: str = BANDS[0]) -> Context:
    tokens = ("the", peak_token, ".")
    return Context(band, 5.0, 1, 0, 0, 0, (1, 2, 3), tokens, (0.0, 5.0, 0.0), frozenset())


def test_the_input_score_is_the_share_of_top_contexts_that_peak_at_a_raised_token() -> None:
    latent = latent_that_writes(*(f" w{i}" for i in range(30)))
    top = [context(" w0"), context(" w19"), context(" w20"), context("w0"), *[context(" sea")] * 6]
    sampled = [context(" w0", band) for band in BANDS[1:]]

    assert input_score(latent, [*top, *sampled]) == pytest.approx(2 / 10)
    assert input_score(latent, [context(" w1")] * 12) == 1.0


def test_without_enough_contexts_or_without_the_logit_lens_there_is_no_input_score() -> None:
    latent = latent_that_writes(" sea")
    sampled = [context(" sea", BANDS[1])] * 20

    assert input_score(latent, [context(" sea")] * 9 + sampled) is None
    assert input_score(latent, [context(" sea")] * 10) == 1.0
    assert input_score(latent_that_writes(), [context(" sea")] * 20) is None
