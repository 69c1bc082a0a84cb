"""Clamp, scale, ablate and gates, against plain loops over every token and latent of the whole dictionary."""

from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor

from sas_core.errors import BadInput
from sas_core.model.dictionary import Dictionary
from sas_core.steering.edit import SparseEdit
from sas_core.steering.gates import AnswerOnly, FirstTokens, Gate, Mode, WhileAbove
from sas_core.steering.operations import acts
from sas_core.steering.score import completion_logprobs
from sas_core.steering.spec import Nonlinearity, Steering, Term
from tests.helpers import (
    D_MODEL,
    D_SAE,
    build_dictionary,
    build_sae,
    slow_generate,
    slow_moded_edit,
    term,
)
from tests.steering.decoding import COUNT, FIRST, HOOKS, PROMPT, REGIONS, by_lane, decoder_for, tokens_of

GATES: tuple[Gate | None, ...] = (None, WhileAbove(20, 0.4), FirstTokens(4), AnswerOnly())
MODES: tuple[Mode, ...] = ("add", "clamp", "scale", "ablate")
PLACES = list(range(-6, 18))
MIXED = (
    Term("a", (2, 7, 30), (1.5, 0.8, -2.0), 1.0),
    Term("b", (7, 11), (2.5, 3.0), 0.8, "clamp", FirstTokens(6)),
    Term("c", (30, 31, 2), (1.0, -1.0, 1.0), 0.5, "scale", WhileAbove(20, 0.4)),
    Term("d", (11, 47), (1.0, 1.0), 0.6, "ablate", AnswerOnly()),
    Term("e", (7,), (1.2,), -0.5, "add", WhileAbove(7, 0.1)),
    Term("f", (7, 20), (1.0, 2.0), 1.0, "clamp", WhileAbove(20, 1.5)),
)


def _residuals(n: int = len(PLACES)) -> Tensor:
    return torch.randn(n, D_MODEL) * torch.linspace(0.5, 4.0, n)[:, None] + 0.3


def _apply(dictionary: Dictionary, steering: Steering, a: Tensor, places: Any = None) -> Any:
    return SparseEdit(dictionary, steering).apply(a, torch.tensor(places if places else range(len(a))))


@pytest.mark.parametrize("scale", [1.0, -0.7, 2.5])
@pytest.mark.parametrize(
    ("architecture", "nonlinearity"),
    [("standard", "relu"), ("gated", "relu"), ("gated", "none"), ("jumprelu", "relu"),
     ("jumprelu", "jumprelu"), ("jumprelu", "none"), ("topk", "relu")],
)  # fmt: skip
@pytest.mark.parametrize("normalisation", ["none", "layer_norm"])
def test_all_modes_and_gates_at_once_equal_the_slow_loops(
    architecture: str, nonlinearity: Nonlinearity, normalisation: str, scale: float
) -> None:
    dictionary = build_dictionary(architecture, normalize_activations=normalisation)
    steering, a = Steering(MIXED, scale, nonlinearity), _residuals()

    fast = _apply(dictionary, steering, a, PLACES)

    slow = slow_moded_edit(dictionary.sae, a, steering, PLACES)
    torch.testing.assert_close(fast.residual, slow, atol=5e-5, rtol=5e-6)
    assert fast.opened.any(dim=0).all() and not fast.opened.all(dim=0)[1:].any(), "each gate opens and shuts"


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [1.5, -1.5, 0.25])
def test_each_mode_under_each_gate_equals_the_slow_loops(mode: Mode, gate: Gate | None, scale: float) -> None:
    dictionary, a = build_dictionary("jumprelu"), _residuals()
    steering = Steering((Term("v", (2, 7, 30, 31), (1.5, 0.8, 2.0, -1.1), 1.0, mode, gate),), scale)

    fast = _apply(dictionary, steering, a, PLACES)

    slow = slow_moded_edit(dictionary.sae, a, steering, PLACES)
    torch.testing.assert_close(fast.residual, slow, atol=2e-5, rtol=2e-6)
    if (mode, scale) not in (("ablate", -1.5),):
        assert not torch.equal(fast.residual, a)


@pytest.mark.parametrize("mode", MODES)
def test_in_bfloat16_the_sum_is_rounded_once(mode: Mode) -> None:
    dictionary, a = build_dictionary("jumprelu"), _residuals().bfloat16()
    steering = Steering((Term("v", (2, 7, 30), (1.5, 0.8, 2.0), 0.9, mode, WhileAbove(20, 0.4)),))

    fast = _apply(dictionary, steering, a).residual

    exact = slow_moded_edit(dictionary.sae, a.float(), steering, range(len(a)))
    assert fast.dtype == torch.bfloat16 and not torch.equal(fast, a)
    assert bool(((fast.float() - exact).abs() <= 2**-8 * exact.abs() + 1e-5).all())


def test_a_clamped_latent_is_lambda_times_strength_times_value_whatever_it_was() -> None:
    dictionary, a = build_dictionary("standard"), _residuals()
    steering = Steering((Term("v", (2, 7), (1.5, -2.0), 0.5, "clamp"),), 2.0)

    edited = _apply(dictionary, steering, a)

    assert (edited.before[:, 0] > 1.5).any() and (edited.before[:, 0] == 0).any()
    assert torch.equal(edited.requested[:, 0], torch.full((len(a),), 1.5))
    assert not edited.requested[:, 1].any(), "a clamp below nothing is nothing under relu"


@pytest.mark.parametrize(("strength", "left"), [(1.0, 0.0), (0.25, 0.75), (3.0, 0.0), (-1.0, 1.0)])
def test_ablation_leaves_one_minus_the_strength_and_nothing_of_the_value_matters(
    strength: float, left: float
) -> None:
    dictionary, a = build_dictionary("standard"), _residuals()
    steering = Steering((Term("v", (2, 7), (9.0, -0.1), strength, "ablate"),))

    edited = _apply(dictionary, steering, a)

    torch.testing.assert_close(edited.requested, left * edited.before)


@pytest.mark.parametrize(("strength", "up", "down"), [(1.0, 2.0, 0.0), (0.5, 1.5, 0.5), (-0.5, 0.5, 1.5),
                                                      (-3.0, 0.0, 4.0)])  # fmt: skip
def test_scaling_multiplies_by_one_plus_the_strength_and_by_one_minus_it_where_the_vector_points_down(
    strength: float, up: float, down: float
) -> None:
    dictionary, a = build_dictionary("standard"), _residuals()
    steering = Steering((Term("v", (2, 7), (0.3, -8.0), strength, "scale"),))

    edited = _apply(dictionary, steering, a)

    torch.testing.assert_close(edited.requested, edited.before * torch.tensor([up, down]))
    assert edited.before.any(dim=0).all()


def test_a_latent_cannot_be_multiplied_below_nothing_not_even_twice() -> None:
    dictionary, a = build_dictionary("standard"), _residuals()
    twice = tuple(Term(name, (2,), (1.0,), -3.0, "scale") for name in "ab")

    edited = _apply(dictionary, Steering(twice, 1.0, "none"), a)

    assert edited.before.any() and not edited.requested.any()


def test_on_one_latent_it_is_set_then_multiplied_then_added_to_in_whatever_order_the_terms_come() -> None:
    dictionary, a = build_dictionary("standard"), _residuals()
    terms = (
        Term("set", (2,), (3.0,), 1.0, "clamp"),
        Term("set too", (2,), (1.0,), 1.0, "clamp"),
        Term("multiply", (2,), (1.0,), 0.5, "scale"),
        Term("remove", (2,), (1.0,), 0.25, "ablate"),
        Term("add", (2,), (0.5,)),
    )

    found = {float(_apply(dictionary, Steering(order), a).requested[0, 0]) for order in permutations(terms)}

    assert found == {(3.0 + 1.0) * 1.5 * 0.75 + 0.5}


def test_a_gate_reads_the_latent_as_it_was_before_the_edit_of_that_token() -> None:
    dictionary, a = build_dictionary("standard"), _residuals()
    f = dictionary.sae.encode(a)[:, 7]
    steering = Steering((Term("off", (7,), (1.0,), 1.0, "ablate"),
                         Term("on", (2,), (2.0,), 1.0, "add", WhileAbove(7, 0.5))))  # fmt: skip

    edited = _apply(dictionary, steering, a)

    assert torch.equal(edited.opened[:, 1], f > 0.5) and (f > 0.5).any() and (f == 0).any()
    assert torch.equal(edited.gate_readings[:, 1], edited.before[:, 1])
    rise = edited.requested[:, 0] - edited.before[:, 0]
    torch.testing.assert_close(rise, 2.0 * (f > 0.5).float())


@pytest.mark.parametrize(
    ("gate", "opened"),
    [(FirstTokens(1), [0]), (FirstTokens(3), [0, 1, 2]), (AnswerOnly(), [0, 1, 2, 3, 4]),
     (None, [-3, -2, -1, 0, 1, 2, 3, 4])],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_at_which_every_gate_is_shut_comes_back_bit_for_bit(
    gate: Gate | None, opened: list[int], dtype: torch.dtype
) -> None:
    dictionary, a = build_dictionary("standard"), _residuals(8).to(dtype)
    a[:, 0] = -0.0  # adding nothing would make it +0.0
    places = list(range(-3, 5))
    steering = Steering((Term("v", (2, 7), (3.0, 2.0), 1.0, "clamp", gate),))

    fast = _apply(dictionary, steering, a, places).residual

    bits = torch.int32 if dtype == torch.float32 else torch.int16
    same = (fast.view(bits) == a.view(bits)).all(dim=-1)
    assert [p for p, kept in zip(places, same.tolist(), strict=True) if not kept] == opened


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("gate", GATES)
def test_a_scale_or_strength_of_zero_is_the_unsteered_lane_in_every_mode(
    mode: Mode, gate: Gate | None
) -> None:
    v = Term("v", (2, 7), (3.0, 2.0), 1.0, mode, gate)

    assert acts(Steering((v,)))
    assert not acts(Steering((v,), 0.0))
    assert not acts(Steering((Term("v", (2, 7), (3.0, 2.0), 0.0, mode, gate),)))
    assert not acts(None) and not acts(Steering(()))


def test_additions_cancel_under_the_same_gate_only() -> None:
    def steering(gate: Gate | None) -> Steering:
        return Steering((term({3: 1.0}), Term("w", (3,), (-1.0,), 1.0, "add", gate)))

    assert not acts(steering(None)) and acts(steering(AnswerOnly()))


@pytest.mark.parametrize("architecture", ["standard", "gated", "jumprelu"])
def test_only_the_steered_latents_and_those_of_gates_are_read_and_only_the_steered_are_written(
    architecture: str,
) -> None:
    sae, a, steering = build_sae(architecture), _residuals(), Steering(MIXED)
    expected = slow_moded_edit(sae, a, steering, PLACES)
    written = {2, 7, 11, 20, 30, 31, 47}
    others = [i for i in range(D_SAE) if i not in written]
    sae.W_enc.data[:, others] = float("nan")
    sae.W_dec.data[others] = float("nan")

    edit = SparseEdit(Dictionary(sae), steering)

    assert edit.latents == tuple(sorted(written))
    torch.testing.assert_close(edit.apply(a, torch.tensor(PLACES)).residual, expected, atol=5e-5, rtol=5e-6)


def test_a_latent_that_only_a_gate_reads_is_neither_written_nor_in_the_receipt() -> None:
    dictionary, a = build_dictionary("jumprelu"), _residuals()
    steering = Steering((Term("v", (2,), (3.0,), 1.0, "clamp", WhileAbove(20, 0.4)),))
    edit = SparseEdit(dictionary, steering)

    edited = edit.apply(a)

    assert edit.latents == (2,) and edited.before.shape == edited.requested.shape == (len(a), 1)
    assert edit.read(a).shape == (len(a), 1)
    torch.testing.assert_close(edited.gate_readings[:, 0], dictionary.sae.encode(a)[:, 20])
    change = (edited.requested - edited.before) @ dictionary.sae.W_dec[[2]]
    torch.testing.assert_close(edited.added, change)


def test_topk_gates_are_read_from_the_full_encode() -> None:
    sae, a = build_sae("topk", k=4), _residuals()
    steering = Steering((Term("v", (3,), (3.0,), 1.0, "clamp", WhileAbove(5, 0.0)),))

    edited = _apply(Dictionary(sae), steering, a)

    assert torch.equal(edited.opened[:, 0], sae.encode(a)[:, 5] > 0)
    assert edited.opened.any() and not edited.opened.all()


def test_the_latent_of_a_gate_must_exist() -> None:
    steering = Steering((Term("v", (3,), (1.0,), 1.0, "add", WhileAbove(D_SAE, 1.0)),))
    with pytest.raises(BadInput, match=f"Latent {D_SAE} does not exist"):
        SparseEdit(build_dictionary("standard"), steering)


def test_a_gate_on_generated_tokens_is_never_guessed() -> None:
    steering = Steering((Term("v", (3,), (1.0,), 1.0, "add", FirstTokens(2)),))
    with pytest.raises(ValueError, match="needs the places"):
        SparseEdit(build_dictionary("standard"), steering).apply(_residuals())


def test_an_unknown_mode_is_refused_with_the_list() -> None:
    wrong: Any = "double"
    with pytest.raises(BadInput, match="Unknown mode 'double'; choose one of add, clamp, scale, ablate"):
        Term("v", (3,), (1.0,), 1.0, wrong)


LANES = (
    None,
    Steering((Term("v", (2, 7, 30), (4.0, 3.0, 5.0), 1.0, "clamp"),)),
    Steering((Term("v", (2, 7, 30), (4.0, 3.0, 5.0), 1.0, "add", FirstTokens(5)),)),
    Steering((Term("v", (2, 7, 30), (4.0, 3.0, 5.0), 1.0, "add", AnswerOnly()),
              Term("w", (1, 9), (1.0, 1.0), 2.0, "scale")), 1.5),
    Steering((Term("v", (1, 40), (6.0, 5.0), 1.0, "add", WhileAbove(9, 0.5)),
              Term("w", tuple(range(10, 30)), (1.0,) * 20, 1.0, "ablate", FirstTokens(12)))),
)  # fmt: skip


def _slow_lane(model: Any, sae: Any, steering: Steering | None, first: int) -> list[int]:
    def edit(a: Tensor) -> Tensor:
        places = range(first - (len(PROMPT) - 1), first - (len(PROMPT) - 1) + a.shape[1])
        return slow_moded_edit(sae, a[0], steering, places)[None]

    return slow_generate(model, sae.cfg.metadata.hook_name, PROMPT, edit if steering else None, first, COUNT)


@pytest.mark.parametrize("region", REGIONS)
def test_cached_decoding_with_modes_and_gates_equals_the_plain_loop_without_a_cache(
    llama: Any, region: Any
) -> None:
    sae = build_sae("jumprelu")

    found = tokens_of(decoder_for(llama, Dictionary(sae), LANES, tokens=region), len(LANES))

    assert found == [_slow_lane(llama, sae, steering, FIRST[region]) for steering in LANES]
    assert len({tuple(tokens) for tokens in found}) == len(LANES), "each lane must have been steered"


def test_scoring_a_text_opens_the_gates_where_writing_it_did(llama: Any) -> None:
    dictionary = build_dictionary("jumprelu")
    for steering in LANES[1:]:
        (lane,) = by_lane(list(decoder_for(llama, dictionary, [steering], tokens="all").steps()), 1)
        found = completion_logprobs(
            llama, HOOKS[1], PROMPT, [c.token_id for c in lane], [SparseEdit(dictionary, steering)],
            tokens="all", typical_norm=1e9,
        )  # fmt: skip
        torch.testing.assert_close(found[0], torch.tensor([c.logprob for c in lane]), atol=2e-4, rtol=1e-4)
