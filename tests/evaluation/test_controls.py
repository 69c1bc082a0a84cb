"""Controls add what they say: equal norms, fixed directions, nothing else."""

import pytest
import torch

from sas_core.errors import BadInput
from sas_core.evaluation.controls import MatchedEdit, Metered, arms, random_direction
from sas_core.evaluation.plan import plan
from sas_core.steering.edit import DenseEdit, SparseEdit
from sas_core.steering.engine import Engine
from sas_core.vectors.build import latents_file, steering_of
from sas_core.vectors.fields import VectorFile

ALL = ("random", "random-matched", "dense")


@pytest.fixture
def residual(engine: Engine) -> torch.Tensor:
    return torch.randn(5, engine.dictionary.identity.d_in)


def added_by(
    engine: Engine, vector: VectorFile, residual: torch.Tensor, scale: float
) -> dict[tuple, torch.Tensor]:
    made = arms(engine, vector, plan((scale,), ALL, 2))
    return {(arm.row.curve, arm.row.seed): arm.edit.apply(residual).added for arm in made}


@pytest.mark.parametrize("scale", [-3.0, 0.5])
def test_the_random_control_has_the_norm_of_the_dense_equivalent(engine, vector, residual, scale) -> None:
    added = added_by(engine, vector, residual, scale)
    total = torch.zeros(residual.shape[1])
    for feature in vector.features:
        total += scale * feature.value * engine.dictionary.sae.W_dec[feature.index]
    torch.testing.assert_close(added["dense", None], total.expand(5, -1))
    for seed in (0, 1):
        norms = added["random", seed].norm(dim=-1)
        torch.testing.assert_close(norms, total.norm().expand(5))


@pytest.mark.parametrize("scale", [-3.0, 0.5])
def test_the_matched_control_has_at_each_token_the_norm_of_the_vector(
    engine, vector, residual, scale
) -> None:
    added = added_by(engine, vector, residual, scale)
    wanted = SparseEdit(engine.dictionary, steering_of(vector, scale)).apply(residual).added.norm(dim=-1)
    assert len(set(wanted.tolist())) > 1, "one norm for all tokens would not tell the two controls apart"
    for seed in (0, 1):
        torch.testing.assert_close(added["random-matched", seed].norm(dim=-1), wanted)


@pytest.mark.parametrize("control", ["random", "random-matched"])
def test_a_random_direction_turns_round_with_the_sign_of_lambda(engine, vector, residual, control) -> None:
    up = added_by(engine, vector, residual, 2.0)[control, 1]
    down = added_by(engine, vector, residual, -2.0)[control, 1]
    cosine = torch.nn.functional.cosine_similarity(up, down)
    torch.testing.assert_close(cosine, -torch.ones(5))


def test_random_directions_have_length_one_differ_by_seed_and_come_back() -> None:
    first, second = random_direction(64, 0), random_direction(64, 1)
    assert float(first.norm()) == pytest.approx(1.0)
    assert abs(float(first @ second)) < 0.5
    assert torch.equal(first, random_direction(64, 0))


def test_random_directions_do_not_touch_the_global_generator() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    random_direction(8, 0)
    assert torch.equal(torch.rand(1), wanted)


def test_a_matched_edit_changes_the_residual_by_what_it_says_it_added(residual) -> None:
    edit = MatchedEdit(
        DenseEdit(torch.full((residual.shape[1],), 0.5)), random_direction(residual.shape[1], 4)
    )
    edited = edit.apply(residual)
    torch.testing.assert_close(edited.residual, residual + edited.added)
    assert edit.read(edited.residual).shape == (5, 0)


def test_a_metered_edit_is_the_edit_and_averages_what_it_added(residual) -> None:
    push = torch.linspace(-1, 1, residual.shape[1])
    metered = Metered(DenseEdit(push))
    assert metered.mean_share == 0.0
    first, second = metered.apply(residual[:2]), metered.apply(residual[2:])
    both = torch.cat([first.residual, second.residual])
    torch.testing.assert_close(both, residual + push)
    wanted = [float(push.norm() / row.norm()) for row in residual]
    assert metered.mean_share == pytest.approx(sum(wanted) / 5)
    assert metered.tokens == 5


def test_lambda_zero_has_no_row(engine, vector) -> None:
    made = arms(engine, vector, plan((-1.0, 0.0, 1.0), ALL, 3))
    assert [arm.row.scale for arm in made] == [-1.0] * 8 + [1.0] * 8


def test_only_the_controls_asked_for_are_made(engine, vector) -> None:
    assert [a.row.curve for a in arms(engine, vector, plan((1.0,), ("dense",), 3))] == ["vector", "dense"]
    assert [a.row.curve for a in arms(engine, vector, plan((1.0,), (), 1))] == ["vector"]


def test_a_vector_of_zeros_is_refused(engine) -> None:
    vector = latents_file(engine, "empty", {3: 1.0}, verify=False)
    zero = vector.model_copy(update={"features": (vector.features[0].model_copy(update={"value": 0.0}),)})
    with pytest.raises(BadInput, match="'empty' is zero"):
        arms(engine, zero, plan((1.0,), ("dense",), 1))
