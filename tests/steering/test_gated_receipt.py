"""What the receipt says of gates: counted per token, and never in silence when one stayed shut."""

from typing import Any

import pytest
import torch

from sas_core.errors import NoEffect
from sas_core.model.dictionary import Dictionary
from sas_core.steering.edit import SparseEdit
from sas_core.steering.engine import Engine
from sas_core.steering.gates import AnswerOnly, FirstTokens, WhileAbove
from sas_core.steering.lanes import Done
from sas_core.steering.receipt import GateReceipt, Meter, Receipt, require_effect
from sas_core.steering.spec import Lane, Sampling, Steering, Term
from tests.helpers import D_MODEL, build_dictionary, build_sae
from tests.steering.asking import UP, request_for
from tests.steering.decoding import decoder_for

V = (2, 7), (4.0, 3.0)


def test_tokens_are_counted_shared_and_averaged_where_a_gate_was_open() -> None:
    dictionary, a = build_dictionary("jumprelu"), torch.randn(12, D_MODEL) * 2
    gate = WhileAbove(20, 0.3)
    edit = SparseEdit(dictionary, Steering((Term("v", *V, 1.0, "add", gate),)))
    f = dictionary.sae.encode(a)
    opened = f[:, 20] > 0.3
    assert 0 < int(opened[:5].sum()) < 5 and 0 < int(opened[5:].sum()) < 7
    meter = Meter(edit.latents, edit.gates)

    for part, decoding in ((a[:5], False), (a[5:], True)):
        edited = edit.apply(part)
        meter.record(part, edited, edit.read(edited.residual), decoding=decoding)
    receipt = meter.receipt()

    assert (receipt.steered_in_prefill, receipt.steered_in_decode) == (
        int(opened[:5].sum()), int(opened[5:].sum())
    )  # fmt: skip
    assert receipt.gated_off == int((~opened).sum())
    assert receipt.gates == (
        GateReceipt(
            gate.sentence(), int(opened.sum()), int((~opened).sum()), pytest.approx(float(f[:, 20].max()))
        ),
    )
    after = a + (4.0 * dictionary.sae.W_dec[2] + 3.0 * dictionary.sae.W_dec[7])
    shares = ((after - a).norm(dim=-1) / a.norm(dim=-1))[opened]
    torch.testing.assert_close(torch.tensor(receipt.shares), shares, atol=1e-4, rtol=1e-4)
    assert receipt.mean_share == pytest.approx(float(shares.mean()), rel=1e-4)
    for latent, column in zip(receipt.latents, (2, 7), strict=True):
        assert latent.before == pytest.approx(float(f[opened][:, column].mean()), rel=1e-4)
        assert latent.realised == pytest.approx(
            float(dictionary.sae.encode(after)[opened][:, column].mean()), rel=1e-3
        )


def test_numbers_that_are_not_finite_where_the_gate_was_shut_do_not_spoil_the_means() -> None:
    dictionary = build_dictionary("standard")
    a = torch.randn(3, D_MODEL)
    edit = SparseEdit(dictionary, Steering((Term("v", *V, 1.0, "add", FirstTokens(2)),)))
    edited = edit.apply(a, torch.arange(3))
    meter = Meter(edit.latents, edit.gates)
    realised = edit.read(edited.residual)
    realised[2] = float("nan")

    meter.record(a, edited, realised, decoding=True)

    assert all(torch.tensor(latent.realised).isfinite() for latent in meter.receipt().latents)


def test_the_first_tokens_gate_steers_that_many_tokens_of_a_generation(llama: Any) -> None:
    dictionary = build_dictionary("jumprelu")
    lanes = [Steering((Term("v", *V, 1.0, "add", gate),)) for gate in (FirstTokens(3), AnswerOnly(), None)]

    decoder = decoder_for(llama, dictionary, lanes, tokens="all", count=10)
    list(decoder.steps())

    # nine prompt positions are in the region; the last of them chooses the first token
    found = [(r.steered_in_prefill, r.steered_in_decode, r.gated_off) for r in decoder.receipts()]
    assert found == [(1, 2, 8 + 7), (1, 9, 8), (9, 9, 0)]


def test_a_receipt_tells_how_many_tokens_were_gated_off_and_which_gate_never_opened() -> None:
    shut = GateReceipt("only while latent 9 is above 3", 0, 30, 1.25)
    receipt = Receipt(1, 20, 2, 0.479, 0.8412, (), (), 9, (GateReceipt("only the answer", 21, 9), shut))

    assert receipt.sentence() == (
        "21 tokens steered (1 of the prompt, 20 generated); added norm 0.48 of the residual on average, 0.84 "
        "at most; 2 attention sinks left alone; 9 tokens left alone because every gate was shut; the gate "
        "“only while latent 9 is above 3” never opened at the 30 tokens of the region (its latent "
        "reached 1.25 at most)."
    )
    assert receipt.gates[0].sentence() == "the gate “only the answer” was open at 21 of 30 tokens"


def _never(latent: int = 20, threshold: float = 1e6) -> Steering:
    return Steering((Term("v", *V, 1.0, "add", WhileAbove(latent, threshold)),))


def test_a_lane_whose_gate_never_opened_is_no_steered_lane(llama: Any) -> None:
    decoder = decoder_for(llama, build_dictionary("jumprelu"), [_never()], count=6)
    list(decoder.steps())
    receipt = decoder.receipts()[0]

    assert (receipt.steered_in_prefill, receipt.steered_in_decode, receipt.gated_off) == (0, 0, 6)
    assert receipt.sentence().startswith("No token was steered; the gate “only while latent 20")
    with pytest.raises(
        NoEffect, match=r"never opened at the 6 tokens .*reached [\d.]+ at most.*Change the gate"
    ):
        require_effect(receipt, Lane("steered", _never()))


def test_the_engine_shows_a_shut_lane_as_a_problem_with_the_unsteered_text(engine: Engine) -> None:
    done = next(e for e in engine.stream(request_for(None, _never(), UP)) if isinstance(e, Done))

    plain, shut, steered = done.lanes
    assert shut.token_ids == plain.token_ids != steered.token_ids
    assert shut.logprobs == plain.logprobs
    assert "never opened" in str(shut.problem) and steered.problem is None
    with pytest.raises(NoEffect, match=r"'steered 1'.*never opened"):
        engine.run(request_for(None, _never()))


def test_a_gate_that_stayed_shut_beside_a_term_that_acted_is_told_in_the_receipt(engine: Engine) -> None:
    both = Steering((*UP.terms, *_never().terms))

    lane = engine.run(request_for(both)).lanes[0]

    assert lane.problem is None and lane.receipt.gated_off == 0
    assert "never opened" in lane.receipt.sentence()
    assert lane.token_ids == engine.run(request_for(UP)).lanes[0].token_ids


@pytest.mark.parametrize(
    ("mode", "strength", "reason"),
    [("ablate", 1.0, "scaling or removing acts only on what is on"),
     ("scale", 2.0, "scaling or removing acts only on what is on"),
     ("ablate", -1.0, "a negative strength removes nothing"),
     ("clamp", -1.0, "suppression can only switch off what is on")],
)  # fmt: skip
def test_a_mode_without_effect_says_why(llama: Any, mode: Any, strength: float, reason: str) -> None:
    sae = build_sae("jumprelu")
    sae.b_enc.data[[2, 7]] = -1e4
    steering = Steering((Term("v", *V, strength, mode),))
    decoder = decoder_for(llama, Dictionary(sae), [steering], count=4)
    list(decoder.steps())

    with pytest.raises(NoEffect, match=reason):
        require_effect(decoder.receipts()[0], Lane("steered", steering))


def test_a_negative_ablation_of_active_latents_says_that_it_removes_nothing(llama: Any) -> None:
    steering = Steering((Term("v", tuple(range(40)), (1.0,) * 40, -1.0, "ablate"),))
    decoder = decoder_for(llama, build_dictionary("standard"), [steering], count=4)
    list(decoder.steps())

    with pytest.raises(NoEffect, match="a negative strength removes nothing"):
        require_effect(decoder.receipts()[0], Lane("steered", steering))


def test_greedy_lanes_at_lambda_zero_are_unsteered_in_every_mode(engine: Engine) -> None:
    lanes = [Steering((Term("v", *V, 1.0, mode, gate),), 0.0)
             for mode in ("add", "clamp", "scale", "ablate") for gate in (None, FirstTokens(2))]  # fmt: skip

    done = engine.run(request_for(None, *lanes, sampling=Sampling(6)))

    assert len({lane.logprobs for lane in done.lanes}) == 1
    assert all(lane.receipt.sentence() == "No token was steered." for lane in done.lanes[1:])
