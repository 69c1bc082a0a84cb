from typing import Any

import pytest
import torch

from sas_core.errors import BadInput, HookNeverRan
from sas_core.steering.edit import Edited, SparseEdit
from sas_core.steering.hook import SteeredRows, require_fired, steering_hook, typical_norm
from sas_core.steering.spec import Steering
from tests.helpers import D_MODEL, build_dictionary, hooks_on, slow_edit, term

HOOK = "blocks.1.hook_resid_post"
TOKENS = torch.tensor([[5, 17, 300, 42, 8], [7, 7, 130, 20, 250], [9, 61, 4, 4, 33]])
STEERING = Steering((term({2: 1.5, 7: 0.8, 30: 2.0}),), 3.0)
FAR = 1e9  # a typical norm beside which nothing is a sink


def _logits(model: Any) -> torch.Tensor:
    return model(TOKENS, attention_mask=torch.ones_like(TOKENS))


@pytest.fixture
def edit() -> SparseEdit:
    return SparseEdit(build_dictionary("jumprelu"), STEERING)


def test_rows_without_an_edit_come_back_bit_for_bit(edit: SparseEdit) -> None:
    value = torch.randn(3, 5, D_MODEL)
    kept = value.clone()

    steered = SteeredRows([None, edit, None], FAR)(value, None)

    assert torch.equal(steered[[0, 2]], value[[0, 2]])
    torch.testing.assert_close(steered[1], slow_edit(build_dictionary("jumprelu").sae, value[1], STEERING))
    assert torch.equal(value, kept), "the model's own tensor must not be written to"


def test_each_row_gets_its_own_edit(edit: SparseEdit) -> None:
    dictionary = build_dictionary("jumprelu")
    down = STEERING.at(-1.0)
    value = torch.randn(1, 5, D_MODEL).expand(2, -1, -1)

    steered = SteeredRows([edit, SparseEdit(dictionary, down)], FAR)(value, None)

    torch.testing.assert_close(steered[0], slow_edit(dictionary.sae, value[0], STEERING))
    torch.testing.assert_close(steered[1], slow_edit(dictionary.sae, value[1], down))


def test_a_hook_with_separate_heads_is_steered_over_all_of_them(llama: Any) -> None:
    dictionary = build_dictionary("standard", hook_name="blocks.1.attn.hook_z", reshape_activations="hook_z")
    value = torch.randn(1, 5, 4, D_MODEL // 4)

    steered = SteeredRows([SparseEdit(dictionary, STEERING)], FAR)(value, None)

    assert steered.shape == value.shape
    expected = slow_edit(dictionary.sae, value.flatten(2), STEERING)
    torch.testing.assert_close(steered.flatten(2), expected)
    plain = _logits(llama)
    with steering_hook(
        llama, "blocks.1.attn.hook_z", SteeredRows([None, SparseEdit(dictionary, STEERING), None], FAR)
    ):
        logits = _logits(llama)
    assert torch.equal(logits[[0, 2]], plain[[0, 2]])
    assert not torch.allclose(logits[1], plain[1], atol=0.1)


def test_an_inactive_forward_is_counted_and_changes_nothing(llama: Any, edit: SparseEdit) -> None:
    plain = _logits(llama)
    rows = SteeredRows([edit] * 3, FAR, active=False)

    with steering_hook(llama, HOOK, rows):
        assert torch.equal(_logits(llama), plain)

    assert rows.fired == 1
    assert rows.meters[0].receipt().mean_share == 0.0


def test_without_any_edit_the_logits_are_bit_identical_to_the_plain_model(llama: Any, gpt2: Any) -> None:
    for model in (llama, gpt2):
        plain = _logits(model)
        with steering_hook(model, HOOK, SteeredRows([None] * 3, FAR)):
            assert torch.equal(_logits(model), plain)


def test_the_unsteered_row_of_a_steered_batch_is_bit_identical_to_the_plain_model(
    llama: Any, edit: SparseEdit
) -> None:
    plain = _logits(llama)

    with steering_hook(llama, HOOK, SteeredRows([edit, None, edit], FAR)):
        steered = _logits(llama)

    assert torch.equal(steered[1], plain[1])
    assert not torch.allclose(steered[0], plain[0], atol=0.1)


def test_after_the_context_the_model_is_as_before(llama: Any, edit: SparseEdit) -> None:
    plain = _logits(llama)

    with steering_hook(llama, HOOK, SteeredRows([edit] * 3, FAR)):
        assert hooks_on(llama) == [HOOK]

    assert hooks_on(llama) == []
    assert torch.equal(_logits(llama), plain)


def test_after_an_exception_inside_the_context_the_model_is_as_before(llama: Any, edit: SparseEdit) -> None:
    plain = _logits(llama)

    with pytest.raises(KeyboardInterrupt), steering_hook(llama, HOOK, SteeredRows([edit] * 3, FAR)):
        raise KeyboardInterrupt

    assert hooks_on(llama) == []
    assert torch.equal(_logits(llama), plain)


def test_after_an_exception_inside_the_hook_the_model_is_as_before(llama: Any, edit: SparseEdit) -> None:
    plain = _logits(llama)

    class Failing(SparseEdit):
        def apply(self, residual: torch.Tensor, places: torch.Tensor | None = None) -> Edited:
            raise FloatingPointError

    rows = SteeredRows([edit, Failing(build_dictionary("jumprelu"), STEERING), edit], FAR)
    with pytest.raises(FloatingPointError), steering_hook(llama, HOOK, rows):
        _logits(llama)

    assert hooks_on(llama) == []
    assert torch.equal(_logits(llama), plain)


def test_a_hook_of_someone_else_outlives_ours(llama: Any, edit: SparseEdit) -> None:
    seen: list[int] = []
    with llama.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", lambda value, hook: seen.append(1))]):
        with steering_hook(llama, HOOK, SteeredRows([edit] * 3, FAR)):
            pass
        _logits(llama)

    assert seen == [1]


def test_an_unknown_hook_name_is_refused_before_anything_is_set(llama: Any, edit: SparseEdit) -> None:
    with (
        pytest.raises(BadInput, match=r"Near matches: blocks\.\d\.hook_resid_post"),
        steering_hook(llama, "blocks.1.hook_resid_posts", SteeredRows([edit], FAR)),
    ):
        pass

    assert hooks_on(llama) == []


def test_a_hook_that_never_fired_is_an_error(llama: Any, edit: SparseEdit) -> None:
    rows = SteeredRows([edit] * 3, FAR)
    with steering_hook(llama, "blocks.1.hook_mlp_in", rows):  # there, but not run in this configuration
        _logits(llama)

    with pytest.raises(HookNeverRan, match="ran 0 times in 1 forward passes"):
        require_fired(rows, 1)


def test_a_hook_that_fired_once_a_forward_is_accepted(llama: Any, edit: SparseEdit) -> None:
    rows = SteeredRows([edit] * 3, FAR)
    with steering_hook(llama, HOOK, rows):
        _logits(llama)
        _logits(llama)

    require_fired(rows, 2)
    with pytest.raises(HookNeverRan, match="ran 2 times in 3"):
        require_fired(rows, 3)


def test_attention_sinks_are_left_alone_and_counted(edit: SparseEdit) -> None:
    value = torch.nn.functional.normalize(torch.randn(2, 6, D_MODEL), dim=-1) * 10.0
    value[0, 2] *= 100.0
    value[1, :] *= 100.0
    rows = SteeredRows([edit, edit], typical_norm=10.0)

    steered = rows(value, None)

    assert torch.equal(steered[0, 2], value[0, 2])
    assert torch.equal(steered[1], value[1])
    others = [0, 1, 3, 4, 5]
    expected = slow_edit(build_dictionary("jumprelu").sae, value[0, others], STEERING)
    torch.testing.assert_close(steered[0, others], expected, atol=1e-5, rtol=1e-5)
    receipts = [meter.receipt() for meter in rows.meters]
    assert [(r.steered_in_prefill, r.sinks_left_alone) for r in receipts] == [(5, 1), (0, 6)]


def test_the_typical_norm_is_the_median_over_a_text_without_its_first_token(llama: Any) -> None:
    ids = [5, 17, 300, 42, 8, 61]
    _, cache = llama.run_with_cache(torch.tensor([ids]), attention_mask=torch.ones(1, 6, dtype=torch.long))
    norms = sorted(float(v.norm()) for v in cache[HOOK][0, 1:])

    assert typical_norm(llama, HOOK, ids) == pytest.approx(norms[2], rel=1e-6)
