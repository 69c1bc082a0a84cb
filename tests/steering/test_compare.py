"""KL and the token inspector against whole runs without a cache, edited at exactly the defined positions."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sas_core.errors import BadInput
from sas_core.steering import compare
from sas_core.steering.compare import divergence, inspect_token, kl_divergence
from sas_core.steering.engine import Engine
from sas_core.steering.gates import FirstTokens
from sas_core.steering.spec import Sampling, Steering, Term
from tests.helpers import slow_logits, slow_moded_edit
from tests.steering.asking import OTHER, PROMPT, UP, request_for

GATED = Steering((Term("v", (2, 7, 30), (4.0, 3.0, 5.0), 1.0, "add", FirstTokens(5)),))


def _slow(engine: Engine, steering: Steering | None, written: tuple[int, ...]) -> Tensor:
    """Log-probabilities `[token, d_vocab]` at the positions that choose each written token."""
    prompt = engine.turns.encode(PROMPT)
    start = len(prompt) - 1

    def edit(a: Tensor) -> Tensor:
        return slow_moded_edit(engine.dictionary.sae, a[0], steering, range(a.shape[1]))[None]

    ids = [*prompt.ids, *written[:-1]]
    logits = slow_logits(
        engine.model, engine.hook_name, ids, edit if steering else None, range(start, len(ids))
    )
    return logits[start:].log_softmax(dim=-1)


def test_the_divergence_of_each_lane_is_measured_on_its_own_text(engine: Engine) -> None:
    request = request_for(None, UP, OTHER, GATED)
    results = engine.run(request).lanes

    found = divergence(engine, request, results)

    assert found[0] is None
    for lane, result, kl in zip(request.lanes[1:], results[1:], found[1:], strict=True):
        steered, plain = (_slow(engine, s, result.token_ids) for s in (lane.steering, None))
        expected = (steered.exp() * (steered - plain)).sum(dim=-1)
        torch.testing.assert_close(torch.tensor(kl), expected, atol=1e-3, rtol=1e-3)
        assert len(kl) == len(result.token_ids) and max(kl) > 0.1
    assert len(engine.queue) == 0


def test_in_small_batches_the_divergence_is_the_same(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_for(UP, OTHER, GATED)
    results = engine.run(request).lanes
    at_once = divergence(engine, request, results)
    rows: list[int] = []

    def watched(*arguments: Any, **options: Any) -> Tensor:
        rows.append(len(arguments[3]))
        return original(*arguments, **options)

    original = compare.completion_logits
    monkeypatch.setattr(compare, "completion_logits", watched)
    monkeypatch.setattr(compare, "_LOGITS_AT_ONCE", 1)
    found = divergence(engine, request, results)

    assert rows == [2, 2, 2]
    for one, other in zip(at_once, found, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_a_lane_that_wrote_nothing_has_nothing_to_diverge(engine: Engine) -> None:
    request = request_for(None, UP, UP.at(0.0))
    done = engine.run(request)
    stopped = [done.lanes[0], *(replace(lane, token_ids=()) for lane in done.lanes[1:])]

    assert divergence(engine, request, stopped) == (None, (), None)


def test_kl_by_hand_and_with_a_token_of_no_probability() -> None:
    half = torch.tensor([[[0.5, 0.5, 0.0]]]).log()
    other = torch.tensor([[[0.25, 0.5, 0.25]]]).log()

    assert kl_divergence(half, other).item() == pytest.approx(0.5 * float(torch.tensor(2.0).log()))
    assert kl_divergence(half, half).item() == 0.0
    assert kl_divergence(other, half).item() == float("inf")


@pytest.mark.parametrize("position", [0, 3, 11])
def test_the_alternatives_of_a_token_are_the_likeliest_under_each_lane(engine: Engine, position: int) -> None:
    request = request_for(None, UP, GATED, sampling=Sampling(12, 1.5, seed=3))
    results = engine.run(request).lanes
    written = results[2].token_ids[: position + 1]

    found = inspect_token(engine, request, results, 2, position, top=5)

    assert (found.position, found.token_id, len(found.alternatives)) == (position, written[-1], 3)
    for lane, alternatives in zip(request.lanes, found.alternatives, strict=True):
        expected = _slow(engine, lane.steering, written)[-1]
        values, ids = expected.topk(5)
        assert [a.token_id for a in alternatives] == ids.tolist()
        torch.testing.assert_close([a.logprob for a in alternatives], values.tolist(), atol=1e-3, rtol=1e-3)
        assert [a.piece for a in alternatives] == engine.turns.pieces(ids.tolist())


def test_the_latents_of_a_token_are_those_of_the_residual_that_chose_it_before_and_after_the_edit(
    engine: Engine,
) -> None:
    request, sae = request_for(None, UP, GATED), engine.dictionary.sae
    results = engine.run(request).lanes
    for lane, position, edited in ((1, 6, True), (2, 4, True), (2, 5, False), (0, 6, False)):
        written = results[lane].token_ids
        ids = [*engine.turns.encode(PROMPT).ids, *written[:position]]
        a = _residual(engine, ids, request.lanes[lane].steering)
        after = slow_moded_edit(sae, a, UP, [0]) if edited else a
        before_edit, after_edit = sae.encode(a)[0], sae.encode(after)[0]

        found = inspect_token(engine, request, results, lane, position, top=4)

        size = torch.maximum(before_edit, after_edit)
        assert [there.index for there in found.latents] == size.topk(8).indices.tolist()
        for there in found.latents:
            assert there.unsteered == pytest.approx(float(before_edit[there.index]), abs=1e-3)
            assert there.steered == pytest.approx(float(after_edit[there.index]), abs=1e-3)
        assert not found.excluded


def _residual(engine: Engine, ids: list[int], steering: Steering | None) -> Tensor:
    """`[1, d_model]` at the hook and last position of a run in which earlier positions were steered."""
    seen: list[Tensor] = []
    start = len(engine.turns.encode(PROMPT)) - 1

    def hook(value: Tensor, hook: Any) -> Tensor:
        seen.append(value[0, -1:].clone())
        if steering is None or len(ids) - 1 == start:
            return value
        places = range(len(ids) - 1 - start)
        edited = slow_moded_edit(engine.dictionary.sae, value[0, start:-1], steering, places)
        return torch.cat([value[:, :start], edited[None], value[:, -1:]], dim=1)

    tokens = torch.tensor([ids])
    engine.model.run_with_hooks(
        tokens, attention_mask=torch.ones_like(tokens), fwd_hooks=[(engine.hook_name, hook)]
    )
    return seen[0]


def test_at_an_attention_sink_no_edit_is_shown(engine: Engine) -> None:
    request = request_for(UP)
    results = engine.run(request).lanes
    engine.typical_norm = 1e-3

    found = inspect_token(engine, request, results, 0, 2)

    assert found.excluded and all(there.unsteered == there.steered for there in found.latents)


@pytest.mark.parametrize("position", [-1, 24])
def test_a_token_that_is_not_there_is_refused(engine: Engine, position: int) -> None:
    request = request_for(None)
    results = engine.run(request).lanes

    with pytest.raises(BadInput, match=rf"has {len(results[0].token_ids)} tokens.*no token {position}"):
        inspect_token(engine, request, results, 0, position)
