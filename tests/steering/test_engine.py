import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import torch

from sas_core.errors import BadInput, NoEffect
from sas_core.model.device import choose_placement
from sas_core.steering.edit import SparseEdit
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Done, LaneResult, Request, Update
from sas_core.steering.receipt import Receipt
from sas_core.steering.spec import Lane, Sampling, Steering
from tests.helpers import (
    N_CTX,
    build_dictionary,
    build_sae,
    chat_tokenizer,
    slow_edit,
    slow_generate,
    slow_logits,
    term,
)
from tests.steering.asking import COUNT, OTHER, PROMPT, UP, ids_of, request_for


def test_the_share_announced_for_a_strength_is_the_decoded_sum_over_the_typical_norm(engine: Engine) -> None:
    W_dec = engine.dictionary.sae.W_dec
    length = float((4.0 * W_dec[2] + 3.0 * W_dec[7] + 5.0 * W_dec[30]).norm())

    assert engine.added_share(UP) == pytest.approx(length / engine.typical_norm, rel=1e-5)
    assert engine.added_share(UP.at(-2.0)) == pytest.approx(2 * length / engine.typical_norm, rel=1e-5)
    assert engine.added_share(UP.at(0.0)) == 0.0


@pytest.mark.parametrize("normalisation", ["layer_norm", "constant_norm_rescale"])
def test_the_announced_share_is_about_the_realised_one_for_an_sae_that_normalises(
    engine: Engine, normalisation: str
) -> None:
    sae = build_dictionary("standard", normalize_activations=normalisation)
    other = Engine(engine.model, sae, engine.placement, engine.name)
    push = Steering((term({2: 0.5, 7: 0.4, 30: 0.6}),))

    receipt = other.run(request_for(push)).lanes[0].receipt

    assert receipt is not None
    assert receipt.mean_share == pytest.approx(other.added_share(push), rel=0.1)


def test_both_lanes_equal_the_plain_loop_on_the_chat_prompt(engine: Engine) -> None:
    sae = engine.dictionary.sae
    prompt = engine.turns.encode(PROMPT)
    expected = [
        slow_generate(engine.model, engine.hook_name, prompt, edit, len(prompt) - 1, COUNT,
                      stop_ids=engine.turns.stop_ids)
        for edit in (None, lambda a: slow_edit(sae, a, UP))
    ]  # fmt: skip

    done = engine.run(request_for(None, UP))

    assert [list(ids) for ids in ids_of(done)] == expected
    assert expected[0] != expected[1]
    assert done.prompt_ids == prompt.ids
    assert [lane.text for lane in done.lanes] == [engine.turns.decode(ids) for ids in expected]


def test_each_step_updates_all_lanes_and_the_last_event_is_done(engine: Engine) -> None:
    events = list(engine.stream(request_for(None, UP)))

    *updates, done = events
    assert isinstance(done, Done) and all(isinstance(update, Update) for update in updates)
    for count, update in enumerate(updates, start=1):
        for lane, final in zip(update.lanes, done.lanes, strict=True):
            assert lane.token_ids == final.token_ids[:count]
            assert lane.logprobs == final.logprobs[:count]
    assert [lane.scale for lane in done.lanes] == [0.0, 1.0]
    assert done.lanes[0].receipt is None
    steered = done.lanes[1].receipt
    assert steered is not None and steered.max_share > 0.05
    assert steered.steered_in_prefill + steered.steered_in_decode == len(done.lanes[1].token_ids)


def test_a_scale_of_zero_gives_the_unsteered_tokens_and_says_that_nothing_was_steered(engine: Engine) -> None:
    engine.run(request_for(None))
    done = engine.run(request_for(None, UP.at(0.0)))

    assert [lane.restored for lane in done.lanes] == [True, False]
    assert done.lanes[0].token_ids == done.lanes[1].token_ids
    assert done.lanes[0].logprobs == done.lanes[1].logprobs
    assert done.lanes[1].receipt == Receipt(0, 0, 0, 0.0, 0.0, (), ())
    assert done.lanes[1].problem is None


def test_a_term_and_its_negative_are_no_edit(engine: Engine) -> None:
    cancelled = Steering((term({2: 4.0, 7: 3.0}, 1.0), term({2: 4.0, 7: 3.0}, -1.0)))

    assert engine.edit_for(cancelled) is None
    assert engine.edit_for(None) is None
    assert isinstance(engine.edit_for(UP), SparseEdit)
    plain, steered = engine.run(request_for(None, cancelled)).lanes
    assert plain.logprobs == steered.logprobs


@pytest.mark.parametrize("prompt", ["", "   ", ()])
def test_an_empty_prompt_is_refused(engine: Engine, prompt: Any) -> None:
    with pytest.raises(BadInput, match="The prompt is empty"):
        engine.run(request_for(None, prompt=prompt))


def test_a_prompt_that_is_too_long_is_refused_with_both_numbers(engine: Engine) -> None:
    with pytest.raises(BadInput, match=rf"tokens and the limit is {N_CTX - 1}; shorten it"):
        engine.run(request_for(None, prompt="day " * 300))


@pytest.mark.parametrize("which", ["engine", "raw_engine"])
def test_an_answer_that_does_not_fit_the_models_context_is_refused_and_one_that_just_fits_is_not(
    which: str, request: pytest.FixtureRequest
) -> None:
    engine, prompt = request.getfixturevalue(which), "day " * 150
    size = len(engine.turns.encode(prompt))
    fits = N_CTX - size + 1  # the last token chosen is never read back
    assert fits < 60

    done = engine.run(request_for(None, prompt=prompt, sampling=Sampling(fits, 1.0)))
    assert len(done.lanes[0].token_ids) <= fits

    with pytest.raises(BadInput, match=rf"{size} tokens and {fits + 1} new ones.*holds {N_CTX} in all"):
        engine.run(request_for(None, prompt=prompt, sampling=Sampling(fits + 1)))


def test_chat_is_refused_for_a_model_without_a_template_and_raw_text_is_the_default(
    raw_engine: Engine,
) -> None:
    with pytest.raises(BadInput, match="no chat template; choose raw completion"):
        raw_engine.run(request_for(None, chat=True))

    done = raw_engine.run(request_for(None, UP))

    assert raw_engine.turns.decode(done.prompt_ids) == PROMPT
    assert done.lanes[0].token_ids != done.lanes[1].token_ids


@pytest.mark.parametrize("lanes", [(), (Lane("a", UP), Lane("b", replace(UP, tokens="all")))])
def test_lanes_that_cannot_share_a_batch_are_refused(engine: Engine, lanes: tuple[Lane, ...]) -> None:
    with pytest.raises(BadInput, match="at least one lane, and the same steered tokens"):
        engine.run(Request(PROMPT, lanes))


def test_a_latent_the_sae_lacks_is_refused_before_the_queue(engine: Engine) -> None:
    with pytest.raises(BadInput, match="Latent 48 does not exist"):
        engine.run(request_for(Steering((term({48: 1.0}),))))


def _silent_engine(engine: Engine) -> Engine:
    """The same model with an SAE whose latents 2 and 7 never fire."""
    sae = build_sae("jumprelu")
    sae.b_enc.data[[2, 7]] = -1e4
    sae.threshold.data[[2, 7]] = 50.0
    dictionary = build_dictionary("jumprelu")
    dictionary.sae = sae
    return Engine(engine.model, dictionary, engine.placement, engine.name)


@pytest.mark.parametrize(
    ("steering", "reason"),
    [(Steering((term({2: 1.0, 7: 2.0}),), -2.0), "suppression can only switch off what is on"),
     (Steering((term({2: 1.0, 7: 2.0}),), 2.0, "jumprelu"), "the thresholds erased")],
)  # fmt: skip
def test_a_non_zero_strength_without_effect_is_a_problem_of_its_lane_and_an_error_of_the_run(
    engine: Engine, steering: Steering, reason: str
) -> None:
    silent = _silent_engine(engine)
    request = request_for(None, steering, UP)

    done = next(event for event in silent.stream(request) if isinstance(event, Done))

    assert [lane.problem is None for lane in done.lanes] == [True, False, True]
    assert reason in str(done.lanes[1].problem)
    with pytest.raises(NoEffect, match=f"Lane 'steered 1'.*{reason}"):
        silent.run(request)


def test_an_sae_of_another_width_is_refused_with_both_numbers(engine: Engine) -> None:
    narrow = build_dictionary("standard", d_in=24)

    with pytest.raises(BadInput, match=r"reads 24 numbers at .* this model has 32 there; choose an SAE"):
        Engine(engine.model, narrow, choose_placement("cpu"), "tiny")


def test_an_sae_for_an_unknown_hook_is_refused_with_near_matches(engine: Engine) -> None:
    lost = build_dictionary("standard", hook_name="blocks.1.hook_resid_psot")

    with pytest.raises(BadInput, match=r"Near matches: blocks\.\d\.hook_resid_post"):
        Engine(engine.model, lost, choose_placement("cpu"), "tiny")


def test_sampled_answers_repeat_and_lanes_that_are_alike_stay_alike(engine: Engine) -> None:
    sampling = Sampling(COUNT, 1.2, 0.9, seed=4)
    request = request_for(UP, OTHER, UP, sampling=sampling)

    first = ids_of(engine.run(request))

    assert first == ids_of(engine.run(request))
    assert first[0] == first[2] != first[1]


def test_the_change_of_each_tokens_log_probability_is_steered_minus_plain(engine: Engine) -> None:
    request = request_for(None, UP)
    lane, result = request.lanes[1], engine.run(request).lanes[1]
    sae, prompt = engine.dictionary.sae, engine.turns.encode(PROMPT)
    ids, start = [*prompt.ids, *result.token_ids], len(prompt)

    def own(edit: Any) -> torch.Tensor:
        logits = slow_logits(engine.model, engine.hook_name, ids, edit, range(start - 1, len(ids)))
        return logits.log_softmax(-1)[range(start - 1, len(ids) - 1), ids[start:]]

    expected = own(lambda a: slow_edit(sae, a, UP)) - own(None)

    found = engine.logprob_change(request, lane, result)

    torch.testing.assert_close(torch.tensor(found), expected, atol=1e-3, rtol=1e-3)
    assert expected.abs().max() > 0.5 and len(engine.queue) == 0


def test_an_unsteered_lane_has_no_change_of_log_probability(engine: Engine) -> None:
    request = request_for(None)
    result: LaneResult = engine.run(request).lanes[0]

    assert set(engine.logprob_change(request, request.lanes[0], result)) == {0.0}


def test_the_latents_of_a_text_leave_out_special_tokens_and_sinks(engine: Engine) -> None:
    ids = engine.turns.encode(PROMPT).ids
    _, cache = engine.model.run_with_cache(torch.tensor([ids]))
    special = set(chat_tokenizer().all_special_ids)

    with engine.turn():
        latents, excluded = engine.latents_of(ids)
        engine.typical_norm = 1.0
        _, all_sinks = engine.latents_of(ids)

    expected = engine.dictionary.sae.encode(cache[engine.hook_name][0])
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)
    assert excluded.tolist() == [token in special for token in ids]
    assert all_sinks.all()


def test_a_slow_reader_does_not_change_what_is_generated(engine: Engine) -> None:
    expected = ids_of(engine.run(request_for(UP)))
    with closing(engine.stream(request_for(UP))) as events:
        found = []
        for event in events:
            torch.manual_seed(1)  # the reader may use the random state as it likes
            time.sleep(0.001)
            found.append(event)

    assert isinstance(found[-1], Done) and ids_of(found[-1]) == expected
