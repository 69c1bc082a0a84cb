"""A recorded run done again on a tiny model: full agreement, planted disagreement, and its explanations."""

import pytest
import torch

from sas_core.errors import BadInput
from sas_core.steering.compare import inspect_token
from sas_core.vectors.build import VERIFY_TOKENS, latents_file
from sas_core.vectors.replay import (
    ROUNDING,
    Parting,
    Replay,
    count_agreeing,
    other_versions,
    recorded_lanes,
    replay_request,
)


@pytest.fixture
def vector(engine):
    return latents_file(engine, "made here", {3: 6.0, 11: -2.0, 20: 5.0}, strength=2.0)


def replayed(engine, vector):
    return count_agreeing(engine, vector, engine.run(replay_request(vector)))


def altered(vector, **changes):
    return vector.model_copy(update={"verify": vector.verify.model_copy(update=changes)})


def test_a_vector_made_here_is_reproduced_whole(engine, vector):
    replay = replayed(engine, vector)
    recorded = len(vector.verify.unsteered) + len(vector.verify.steered)
    assert (replay.agree, replay.total) == (recorded, recorded)
    assert replay.whole
    assert replay.why == ()
    assert replay.sentence() == f"Reproduced {recorded} of {recorded} tokens."


def test_tokens_count_up_to_the_first_that_differs(engine, vector):
    ids = list(vector.verify.steered)
    assert len(ids) > 3
    ids[2] = (ids[2] + 1) % 360
    replay = replayed(engine, altered(vector, steered=tuple(ids)))
    assert replay.agree == len(vector.verify.unsteered) + 2
    assert not replay.whole
    assert "Nothing recorded in the file differs" in replay.why[0]
    (parting,) = replay.partings
    assert (parting.lane, parting.position) == ("steered", 2)
    assert parting.recorded == engine.turns.pieces([ids[2]])[0]
    assert replay.why[1].startswith("The steered answer parts at token 3")


def expected_at(engine, vector, lane, position):
    """What a lane expects after its first tokens: log-probabilities, from a run one token at a time."""
    request = replay_request(altered(vector, max_new_tokens=position + 1))
    with torch.inference_mode():
        done = engine.run(request)
    found = inspect_token(engine, request, done.lanes, lane, position, top=360)
    return {each.token_id: each.logprob for each in found.alternatives[lane]}


def test_a_record_that_rounding_explains_is_told_from_one_that_it_does_not(engine, vector):
    ids = list(vector.verify.steered)
    likely = expected_at(engine, vector, 1, 2)
    second, last = sorted(likely, key=likely.get, reverse=True)[1::358]
    for other, known in ((second, True), (last, False)):
        (parting,) = replayed(engine, altered(vector, steered=(*ids[:2], other, *ids[3:]))).partings
        gap = likely[ids[2]] - likely[other]
        assert parting.gap == (pytest.approx(gap, abs=1e-5) if known else None)
        assert parting.rounding == (known and gap < ROUNDING)
        assert not replayed(engine, vector).rounded
    near, far = (Parting("steered", 33, " a", " b", gap) for gap in (7.6e-6, 0.5))
    assert Replay(73, 80, (), (near,)).rounded and not Replay(73, 80, (), (near, far)).rounded
    assert "7.6e-06 nats apart: another processor rounds otherwise" in near.sentence() and near.rounding
    assert "more than rounding explains" in far.sentence() and not far.rounding
    assert "far less likely here" in Parting("steered", 33, " a", " b", None).sentence()


@pytest.mark.parametrize("token", [360, 2**33, 2**70])
def test_a_recorded_number_that_is_no_token_here_is_said_as_it_is(engine, vector, token):
    assert token >= engine.model.cfg.d_vocab
    (parting,) = replayed(engine, altered(vector, steered=(token, *vector.verify.steered[1:]))).partings
    assert (parting.recorded, parting.gap, parting.rounding) == (f"token {token}", None, False)


def test_a_record_that_goes_on_where_the_answer_ends_is_no_matter_of_rounding(engine, vector):
    found = replayed(engine, altered(vector, steered=(*vector.verify.steered, 5)))
    (parting,) = found.partings
    assert parting.position == len(vector.verify.steered) and not found.rounded
    assert "ends there, and the record goes on" in parting.sentence()


def test_a_shorter_record_or_another_prompt_has_no_token_to_compare(engine, vector):
    block = vector.verify
    assert replayed(engine, altered(vector, steered=block.steered[:2])).partings == ()
    other = altered(vector, steered=(0, *block.steered[1:]), prompt_ids=(1, 2))
    assert replayed(engine, other).partings == ()


def test_what_differs_is_offered_as_the_reason(engine, vector):
    block = {"steered": (0, *vector.verify.steered[1:]), "device": "cuda", "prompt_ids": (1, 2)}
    other = altered(vector, **block).model_copy(
        update={
            "versions": {"torch": "0.1", "no-such-package-here": "9"},
            "model": vector.model.model_copy(update={"dtype": "bfloat16"}),
        }
    )
    why = " ".join(replayed(engine, other).why)
    packages = ("torch 0.1 there", "no-such-package-here 9")
    for part in ("recorded on cuda", "chat template", "bfloat16", *packages):
        assert part in why


def test_a_file_without_a_record_cannot_be_replayed(engine, vector):
    with pytest.raises(BadInput, match="no recorded run"):
        replay_request(vector.model_copy(update={"verify": None}))


def test_a_record_beyond_the_limit_is_refused_before_it_runs(engine, vector):
    with pytest.raises(BadInput, match="new tokens"):
        replay_request(altered(vector, max_new_tokens=100_000))


def test_the_recorded_answers_read_as_text_with_the_difference_marked(engine, vector):
    unsteered, steered = recorded_lanes(engine, vector)
    block = vector.verify
    assert "".join(unsteered.pieces).startswith(engine.turns.decode(block.unsteered)[:5])
    assert len(steered.pieces) <= VERIFY_TOKENS
    differ = steered.mark
    assert block.unsteered[:differ] == block.steered[:differ]
    assert block.unsteered[differ] != block.steered[differ]


def test_special_tokens_at_the_end_are_left_out(engine, vector):
    ids = (*vector.verify.unsteered[:2], engine.turns.tokenizer.eos_token_id)
    unsteered, _ = recorded_lanes(engine, altered(vector, unsteered=ids))
    assert len(unsteered.pieces) == 2


def test_tokens_of_another_model_are_not_shown_as_text(engine, vector):
    assert recorded_lanes(engine, altered(vector, steered=(99_999,))) is None
    wide = vector.model.model_copy(update={"d_model": 64})
    assert recorded_lanes(engine, vector.model_copy(update={"model": wide})) is None


def test_versions_that_agree_are_not_named():
    from importlib.metadata import version

    assert other_versions({"torch": version("torch"), "": "1"}) == (" 1 there, none here",)
