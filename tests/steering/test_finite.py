"""Numbers that stop being finite end their lane, and its sentence names the layer and the latent."""

import copy
from typing import Any

import pytest
import torch

from sas_core.errors import BadInput
from sas_core.steering.engine import Engine
from sas_core.steering.gates import WhileAbove
from sas_core.steering.lanes import Done
from sas_core.steering.spec import Sampling, Steering, Term
from tests.helpers import hooks_on
from tests.steering.asking import UP, request_for

HUGE = Steering((Term("v", (2, 7), (1.0, 1e38), 100.0),))  # infinite in float32


def _with_a_fault(engine: Engine, *path: str, value: float) -> Engine:
    """The same engine on a copy of its model with one bias that is not a finite number."""
    broken = copy.copy(engine)
    broken.model = part = copy.deepcopy(engine.model)
    for name in path:
        part = part[int(name)] if name.isdigit() else getattr(part, name)
    part.data[3] = value
    return broken


def _done(engine: Engine, *steerings: Any, **options: Any) -> Done:
    return next(e for e in engine.stream(request_for(*steerings, **options)) if isinstance(e, Done))


def test_a_lane_that_overflows_stops_and_names_layer_and_latent_and_the_others_go_on(engine: Engine) -> None:
    done = _done(engine, None, HUGE, UP)

    plain, huge, up = done.lanes
    assert huge.stop == "not finite" and huge.token_ids == () and huge.text == "" and huge.receipt is None
    assert huge.problem == (
        "Lane 'steered 1' was stopped after 0 tokens: activations stopped being finite numbers at layer 1 "
        "(blocks.1.hook_resid_post) after latent 7 was changed by inf. Lower the strength."
    )
    assert plain.problem is None and up.problem is None
    assert [plain.token_ids, up.token_ids] == [
        lane.token_ids for lane in engine.run(request_for(None, UP)).lanes
    ]
    assert hooks_on(engine.model) == [] and len(engine.queue) == 0


def test_running_to_the_end_refuses_such_a_lane_as_an_input_to_change(engine: Engine) -> None:
    with pytest.raises(BadInput, match=r"layer 1 .*latent 7.*Lower the strength"):
        engine.run(request_for(None, HUGE))


def test_a_lane_that_overflows_later_keeps_what_it_wrote_until_then(engine: Engine) -> None:
    free = engine.run(request_for(None)).lanes[0]
    with engine.turn():
        latents, _ = engine.latents_of([*engine.turns.encode("Tell me about your day.").ids, *free.token_ids])
    there = latents[len(latents) - len(free.token_ids) - 1 :, 20]
    first = int((there > there[0] + 0.5).nonzero()[0])
    assert first > 0
    late = Steering((Term("v", (7,), (1e38,), 100.0, "add", WhileAbove(20, float(there[0]) + 0.5)),))

    lane = _done(engine, late).lanes[0]

    assert lane.token_ids == free.token_ids[:first] and lane.stop == "not finite"
    assert f"was stopped after {first} tokens" in str(lane.problem)


def test_a_fault_of_the_model_itself_is_named_where_it_begins(engine: Engine) -> None:
    broken = _with_a_fault(engine, "blocks", "2", "mlp", "b_out", value=float("nan"))

    plain, up = _done(broken, None, UP).lanes

    assert plain.problem == (
        "Lane 'unsteered' was stopped after 0 tokens: activations stopped being finite numbers at layer 2 "
        "(blocks.2.hook_mlp_out), unsteered. The model's format (float32) may be too small for it; choose "
        "another."
    )
    assert (
        "at layer 2 (blocks.2.hook_mlp_out) after latent 30 was changed by 5 at blocks.1.hook_resid_post"
        in str(up.problem)
    )


def test_a_fault_before_the_edit_is_not_laid_at_the_edits_door(engine: Engine) -> None:
    broken = _with_a_fault(engine, "blocks", "0", "attn", "b_O", value=float("inf"))

    (up,) = _done(broken, UP).lanes

    assert "at layer 0 (blocks.0.hook_attn_out)" in str(up.problem) and "latent" not in str(up.problem)


def test_the_largest_usable_strength_gives_an_answer_and_a_receipt(engine: Engine) -> None:
    strongest = Steering((Term("v", (2, 7, 30), (4.0, 3.0, 5.0), 1e4),), 1e4)

    lane = engine.run(request_for(strongest, sampling=Sampling(4))).lanes[0]

    assert lane.problem is None and len(lane.token_ids) >= 1
    assert lane.receipt.max_share > 1e6


@pytest.mark.parametrize("strength", [1e9, -1e9, float("nan"), float("inf")])
def test_strengths_beyond_all_use_are_refused_in_one_sentence(engine: Engine, strength: float) -> None:
    with pytest.raises(BadInput, match=r"beyond ±10000|not a finite number"):
        engine.run(request_for(Steering((Term("v", (2,), (1.0,), strength),))))
    with pytest.raises(BadInput, match=r"scale .* is unusable"):
        engine.run(request_for(Steering((Term("v", (2,), (1.0,)),), strength)))


def test_five_hundred_terms_are_steered_as_one_vector_of_their_sum_is(engine: Engine) -> None:
    terms = tuple(Term(f"{i}", (i % 48,), (0.01 * (i % 7),)) for i in range(500))
    total = {i: sum(t.values[0] for t in terms if t.indices[0] == i) for i in range(48)}
    whole = Steering((Term("sum", tuple(total), tuple(total.values())),))

    many, one = engine.run(request_for(Steering(terms), whole, sampling=Sampling(8))).lanes

    assert many.token_ids == one.token_ids
    torch.testing.assert_close(many.receipt.mean_share, one.receipt.mean_share, atol=1e-5, rtol=1e-5)
