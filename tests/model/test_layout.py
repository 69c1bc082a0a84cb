from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from sas_core.model.layout import lay_out_for_decoding
from sas_core.steering.prefix import forward, fresh_cache
from tests.helpers import hooked_gpt2_like, hooked_llama_like

FAMILIES = pytest.mark.parametrize(
    "build", [hooked_llama_like, partial(hooked_llama_like, key_value_heads=2), hooked_gpt2_like],
    ids=["one key-value head", "two key-value heads", "gpt2"],
)  # fmt: skip


def _cached_logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """A prefill, and three decode steps: the shapes that generation runs."""
    cache = fresh_cache(model)
    parts = [tokens[:, :-3], *(tokens[:, i, None] for i in range(tokens.shape[1] - 3, tokens.shape[1]))]
    return torch.cat([forward(model, part, cache) for part in parts], dim=1)


@FAMILIES
def test_outputs_are_bit_identical_after_the_layout_pass(build: Callable[[], Any]) -> None:
    model = build()
    one, many = torch.randint(0, 120, (1, 20)), torch.randint(0, 120, (4, 11))
    before = model(one), model(many), _cached_logits(model, one)

    lay_out_for_decoding(model)

    for old, new in zip(before, (model(one), model(many), _cached_logits(model, one)), strict=True):
        assert torch.equal(old, new)


@FAMILIES
def test_values_and_shapes_of_all_parameters_stay_as_they_were(build: Callable[[], Any]) -> None:
    model = build()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}

    lay_out_for_decoding(model)

    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    for name, parameter in after.items():
        assert torch.equal(parameter, before[name]), name


@FAMILIES
def test_no_weight_is_copied_in_a_forward_pass(build: Callable[[], Any]) -> None:
    """What transformer-lens hands to the linear kernels shares memory with the parameters."""
    model = build()
    lay_out_for_decoding(model)
    stored = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    used: list[torch.Tensor] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.nn.functional.linear:
                used.append(args[1])
            return func(*args, **(kwargs or {}))

    with Watch():
        model(torch.randint(0, 120, (1, 5)))

    blocks = model.cfg.n_layers
    assert len(used) == blocks * (7 if model.cfg.gated_mlp else 4) + 1
    assert all(weight.untyped_storage().data_ptr() in stored for weight in used)


def test_the_number_of_restored_weights_is_reported() -> None:
    # per block W_Q, _W_K, _W_V, W_O, W_in, W_gate, W_out; and W_U once
    assert lay_out_for_decoding(hooked_llama_like(key_value_heads=2)) == 3 * 7 + 1


def test_weights_that_are_read_without_a_copy_are_left_alone() -> None:
    # one key-value head: its rearranged form is a view; the plain MLP uses its weights as they are
    assert lay_out_for_decoding(hooked_llama_like(key_value_heads=1)) == 3 * 5 + 1
    assert lay_out_for_decoding(hooked_gpt2_like()) == 2 * 4 + 1


def test_a_weight_of_another_rank_is_left_alone() -> None:
    module = nn.Module()
    module.W_in = module.W_gate = nn.Parameter(torch.randn(4, 3, 2))  # experts stacked in one tensor
    stride = module.W_in.stride()

    assert lay_out_for_decoding(module) == 0
    assert module.W_in.stride() == stride


def test_a_second_pass_changes_nothing() -> None:
    model = hooked_llama_like()
    lay_out_for_decoding(model)
    strides = {name: parameter.stride() for name, parameter in model.named_parameters()}

    lay_out_for_decoding(model)

    assert {name: parameter.stride() for name, parameter in model.named_parameters()} == strides
