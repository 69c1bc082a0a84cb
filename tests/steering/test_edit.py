from itertools import product
from typing import Any

import pytest
import torch

from sas_core.errors import BadInput
from sas_core.model.dictionary import Dictionary
from sas_core.steering.edit import DenseEdit, SparseEdit
from sas_core.steering.spec import Nonlinearity, Steering
from tests.helpers import D_MODEL, D_SAE, build_dictionary, build_sae, slow_edit, term

V = {2: 1.5, 7: 0.8, 11: -0.6, 30: 2.0, 31: -1.1, 47: 0.3}
W = {7: -0.5, 12: 1.0, 30: 0.7}
NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale")
SIGMAS = [
    ("standard", "relu"), ("standard", "none"), ("gated", "relu"), ("gated", "none"),
    ("jumprelu", "relu"), ("jumprelu", "jumprelu"), ("jumprelu", "none"), ("topk", "relu"), ("topk", "none"),
]  # fmt: skip
every_case = pytest.mark.parametrize(
    ("architecture", "nonlinearity", "scale"),
    [(a, n, scale) for (a, n), scale in product(SIGMAS, (2.0, 0.3, -0.3, -2.0))],
)


def _residuals(n: int = 24) -> torch.Tensor:
    return torch.randn(n, D_MODEL) * torch.linspace(0.5, 4.0, n)[:, None] + 0.3


def _ulps_apart(left: torch.Tensor, right: torch.Tensor) -> int:
    """How many bfloat16 numbers lie between the two, at most."""

    def order(x: torch.Tensor) -> torch.Tensor:
        bits = x.view(torch.int16).int()
        return torch.where(bits < 0, -(bits & 0x7FFF), bits)

    return int((order(left) - order(right)).abs().max())


@every_case
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("apply_b_dec_to_input", [True, False])
def test_the_fast_path_equals_the_published_method_in_float32(
    architecture: str,
    nonlinearity: Nonlinearity,
    scale: float,
    normalisation: str,
    apply_b_dec_to_input: bool,
) -> None:
    dictionary = build_dictionary(
        architecture, normalize_activations=normalisation, apply_b_dec_to_input=apply_b_dec_to_input
    )
    steering = Steering((term(V),), scale, nonlinearity)
    a = _residuals()

    fast = SparseEdit(dictionary, steering).apply(a).residual

    torch.testing.assert_close(fast, slow_edit(dictionary.sae, a, steering), atol=2e-5, rtol=2e-6)
    assert not torch.equal(fast, a)


@every_case
def test_the_fast_path_is_within_one_bfloat16_step_of_the_published_method(
    architecture: str, nonlinearity: Nonlinearity, scale: float
) -> None:
    dictionary = build_dictionary(architecture)
    steering = Steering((term(V),), scale, nonlinearity)
    a = _residuals().bfloat16()

    fast = SparseEdit(dictionary, steering).apply(a).residual

    assert fast.dtype == torch.bfloat16
    assert _ulps_apart(fast, slow_edit(dictionary.sae, a, steering)) <= 1
    assert _ulps_apart(fast, a) > 1


@pytest.mark.parametrize(("architecture", "nonlinearity"), SIGMAS)
def test_several_terms_are_added_under_one_sigma(architecture: str, nonlinearity: Nonlinearity) -> None:
    dictionary, a = build_dictionary(architecture), _residuals()
    steering = Steering((term(V, 1.5), term(W, -2.0), term({30: 1.0}, 0.5)), 0.8, nonlinearity)

    fast = SparseEdit(dictionary, steering).apply(a).residual

    torch.testing.assert_close(fast, slow_edit(dictionary.sae, a, steering), atol=2e-5, rtol=2e-6)


def test_the_order_of_terms_does_not_matter() -> None:
    dictionary, a = build_dictionary("jumprelu"), _residuals()
    forth = SparseEdit(dictionary, Steering((term(V), term(W)))).apply(a).residual
    back = SparseEdit(dictionary, Steering((term(W), term(V)))).apply(a).residual

    torch.testing.assert_close(forth, back, atol=1e-6, rtol=1e-6)


def test_a_twice_as_strong_term_equals_a_term_of_twice_the_values() -> None:
    dictionary, a = build_dictionary("jumprelu"), _residuals()
    doubled = {index: 2 * value for index, value in V.items()}

    strong = SparseEdit(dictionary, Steering((term(V, 2.0),))).apply(a).residual

    assert torch.equal(strong, SparseEdit(dictionary, Steering((term(doubled),))).apply(a).residual)
    assert torch.equal(strong, SparseEdit(dictionary, Steering((term(V),), scale=2.0)).apply(a).residual)


def test_a_term_and_its_negative_leave_nothing_to_edit() -> None:
    assert Steering((term(V, 0.7), term(V, -0.7)), scale=3.0).added() == {}


@pytest.mark.parametrize("architecture", ["standard", "gated", "jumprelu"])
def test_no_latent_outside_the_support_is_read_or_written(architecture: str) -> None:
    sae = build_sae(architecture)
    steering, a = Steering((term(V),), 1.5), _residuals()
    expected = slow_edit(sae, a, steering)
    others = [i for i in range(D_SAE) if i not in V]
    sae.W_enc.data[:, others] = float("nan")
    sae.W_dec.data[others] = float("nan")

    fast = SparseEdit(Dictionary(sae), steering).apply(a).residual

    torch.testing.assert_close(fast, expected, atol=2e-5, rtol=2e-6)


def test_topk_is_encoded_in_full_because_its_threshold_depends_on_every_latent() -> None:
    sae, a = build_sae("topk", k=4), _residuals()
    steering = Steering((term({3: 1.0}),), -5.0)
    alone = SparseEdit(Dictionary(sae), steering).apply(a)
    sae.b_enc.data[[i for i in range(D_SAE) if i != 3]] = 50.0  # now latent 3 never is among the four largest

    crowded = SparseEdit(Dictionary(sae), steering).apply(a)

    assert alone.before.any() and not crowded.before.any()
    assert torch.equal(crowded.residual, a)


def test_relu_pushes_up_by_exactly_lambda_v_whether_the_latent_is_on_or_off() -> None:
    dictionary, a = build_dictionary("standard"), _residuals()
    push = {2: 1.5, 9: 0.5}

    added = SparseEdit(dictionary, Steering((term(push),), 2.0)).apply(a).added

    expected = 2.0 * (1.5 * dictionary.sae.W_dec[2] + 0.5 * dictionary.sae.W_dec[9])
    torch.testing.assert_close(added, expected.expand(len(a), -1), atol=1e-5, rtol=1e-5)


def test_relu_pulls_down_only_by_what_is_there() -> None:
    dictionary, a = build_dictionary("standard"), _residuals()
    f = dictionary.sae.encode(a)[:, 2]
    assert (f == 0).any() and (f > 1.0).any() and ((f > 0) & (f < 1.0)).any()

    edited = SparseEdit(dictionary, Steering((term({2: 1.0}),), -1.0)).apply(a)

    torch.testing.assert_close(edited.requested[:, 0] - edited.before[:, 0], -f.clamp_max(1.0))
    assert torch.equal(edited.residual[f == 0], a[f == 0])


def test_jumprelu_erases_what_stays_below_the_threshold_bit_for_bit() -> None:
    dictionary, a = build_dictionary("jumprelu"), _residuals()
    threshold = float(dictionary.sae.threshold[2])
    silent = dictionary.sae.encode(a)[:, 2] == 0
    assert silent.any() and not silent.all()

    below = SparseEdit(dictionary, Steering((term({2: threshold}),), 0.99, "jumprelu")).apply(a).residual
    above = SparseEdit(dictionary, Steering((term({2: threshold}),), 1.01, "jumprelu")).apply(a).residual

    assert torch.equal(below[silent], a[silent])
    assert not (above[silent] == a[silent]).all(dim=-1).any()


def test_a_gate_that_is_shut_leaves_a_latent_at_zero_before_the_push() -> None:
    sae, a = build_sae("gated"), _residuals()
    sae.b_gate.data[2] = -100.0

    edited = SparseEdit(Dictionary(sae), Steering((term({2: 1.0}),), 0.5)).apply(a)

    assert not edited.before.any()
    assert torch.equal(edited.requested, torch.full((len(a), 1), 0.5))


def test_what_is_requested_and_read_back_is_in_the_order_of_the_latents() -> None:
    dictionary, a = build_dictionary("jumprelu"), _residuals()
    edit = SparseEdit(dictionary, Steering((term({30: 2.0, 2: -1.0, 7: 1.0}),)))
    f = dictionary.sae.encode(a)

    edited = edit.apply(a)

    assert edit.latents == (2, 7, 30)
    torch.testing.assert_close(edited.before, f[:, [2, 7, 30]])
    torch.testing.assert_close(
        edited.requested, (f[:, [2, 7, 30]] + torch.tensor([-1.0, 1.0, 2.0])).clamp_min(0.0)
    )
    after = dictionary.sae.encode(edited.residual)[:, [2, 7, 30]]
    torch.testing.assert_close(edit.read(edited.residual), after)


@pytest.mark.parametrize("index", [D_SAE, -1])
def test_a_latent_the_sae_does_not_have_is_refused(index: int) -> None:
    with pytest.raises(BadInput, match=rf"Latent {index} does not exist.*{D_SAE} latents"):
        SparseEdit(build_dictionary("standard"), Steering((term({3: 1.0, index: 1.0}),)))


@pytest.mark.parametrize("architecture", ["standard", "gated", "topk"])
def test_jumprelu_is_refused_for_an_sae_without_thresholds(architecture: str) -> None:
    with pytest.raises(BadInput, match=rf"\({architecture}\) has no thresholds.*choose relu"):
        SparseEdit(build_dictionary(architecture), Steering((term(V),), 1.0, "jumprelu"))


def test_a_dense_edit_adds_one_vector_everywhere_and_reads_no_latent() -> None:
    vector, a = torch.randn(D_MODEL), _residuals()

    edited = DenseEdit(vector).apply(a)

    torch.testing.assert_close(edited.residual, a + vector)
    assert DenseEdit(vector).read(edited.residual).shape == (len(a), 0)
    assert edited.before.shape == edited.requested.shape == (len(a), 0)


def test_a_dense_edit_keeps_the_models_dtype() -> None:
    a: Any = _residuals().bfloat16()

    assert DenseEdit(torch.ones(D_MODEL)).apply(a).residual.dtype == torch.bfloat16
