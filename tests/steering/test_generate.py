import copy
from itertools import product
from typing import Any

import pytest
import torch

from sas_core.model.chat import PromptTokens
from sas_core.model.dictionary import Dictionary
from sas_core.steering.generate import first_steered
from sas_core.steering.spec import SteeredTokens, Steering
from tests.helpers import (
    build_dictionary,
    build_sae,
    random_gpt2,
    random_llama,
    slow_edit,
    slow_generate,
    slow_logits,
)
from tests.steering.decoding import (
    COUNT,
    FIRST,
    HOOKS,
    LANES,
    PROMPT,
    REGIONS,
    by_lane,
    decoder_for,
    tokens_of,
)


def _slow_tokens(
    model: Any, sae: Any, steering: Steering | None, region: SteeredTokens, **options: Any
) -> list[int]:
    edit = None if steering is None else (lambda a: slow_edit(sae, a, steering))
    hook_name = sae.cfg.metadata.hook_name
    return slow_generate(model, hook_name, PROMPT, edit, FIRST[region], COUNT, **options)


@pytest.mark.parametrize(("hook_name", "region"), list(product(HOOKS, REGIONS)))
def test_cached_decoding_of_many_lanes_equals_the_plain_loop_without_a_cache(
    llama: Any, hook_name: str, region: SteeredTokens
) -> None:
    sae = build_sae("jumprelu", hook_name=hook_name)

    found = tokens_of(decoder_for(llama, Dictionary(sae), LANES, tokens=region), len(LANES))

    assert found == [_slow_tokens(llama, sae, steering, region) for steering in LANES]
    assert all(len(tokens) == COUNT for tokens in found)
    assert len({tuple(tokens) for tokens in found}) == len(LANES), "each lane must have been steered"


@pytest.mark.parametrize("region", REGIONS)
def test_the_same_holds_for_learned_positions(gpt2: Any, region: SteeredTokens) -> None:
    sae = build_sae("jumprelu", hook_name=HOOKS[1])

    found = tokens_of(decoder_for(gpt2, Dictionary(sae), LANES, tokens=region), len(LANES))

    assert found == [_slow_tokens(gpt2, sae, steering, region) for steering in LANES]
    assert len({tuple(tokens) for tokens in found}) == len(LANES)


@pytest.mark.parametrize("architecture", ["standard", "gated", "topk"])
@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
def test_the_same_holds_for_every_kind_of_sae(llama: Any, architecture: str, normalisation: str) -> None:
    sae = build_sae(architecture, normalize_activations=normalisation)
    lanes = (*LANES[:3], LANES[4])

    found = tokens_of(decoder_for(llama, Dictionary(sae), lanes), 4)

    assert found == [_slow_tokens(llama, sae, steering, "generated") for steering in lanes]
    assert len({tuple(tokens) for tokens in found}) == 4


@pytest.mark.parametrize(("fixture", "build"), [("llama", random_llama), ("gpt2", random_gpt2)])
def test_the_unsteered_lane_equals_transformers_own_generate(
    fixture: str, build: Any, request: pytest.FixtureRequest
) -> None:
    model, reference = request.getfixturevalue(fixture), build()
    dictionary = build_dictionary("jumprelu")
    for _ in range(5):
        ids = torch.randint(3, 360, (1, 9))
        with torch.no_grad():
            expected = reference.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=COUNT,
                eos_token_id=2, pad_token_id=2,
            )[0, 9:].tolist()  # fmt: skip
        prompt = PromptTokens(tuple(ids[0].tolist()), 8)

        decoder = decoder_for(model, dictionary, LANES[:2], prompt=prompt, stop_ids=frozenset({2}))

        assert tokens_of(decoder, 2)[0] == expected


def test_pad_tokens_in_the_prompt_and_in_the_answer_are_attended_to_like_any_other(llama: Any) -> None:
    # in ChatML models the pad token is the one that ends a turn
    sae, pad = build_sae("jumprelu"), llama.tokenizer.pad_token_id
    prompt = PromptTokens((5, 17, pad, 42, 8, 61, 99, 12, pad, 33), 7)
    edits = [None, lambda a: slow_edit(sae, a, LANES[1])]
    expected = [slow_generate(llama, HOOKS[1], prompt, edit, 9, COUNT) for edit in edits]

    assert tokens_of(decoder_for(llama, Dictionary(sae), LANES[:2], prompt=prompt), 2) == expected


def test_a_lane_is_the_same_alone_and_beside_others(llama: Any) -> None:
    dictionary = build_dictionary("jumprelu")
    together = by_lane(list(decoder_for(llama, dictionary, LANES).steps()), len(LANES))

    for steering, lane in zip(LANES, together, strict=True):
        (alone,) = by_lane(list(decoder_for(llama, dictionary, [steering]).steps()), 1)
        assert [c.token_id for c in alone] == [c.token_id for c in lane]
        torch.testing.assert_close(
            [c.logprob for c in alone], [c.logprob for c in lane], atol=1e-4, rtol=1e-4
        )


def test_a_lane_that_ends_early_leaves_the_others_unchanged(llama: Any) -> None:
    dictionary = build_dictionary("jumprelu")
    free = tokens_of(decoder_for(llama, dictionary, LANES), len(LANES))
    stops = {free[1][4], free[3][11]}
    expected = []
    for tokens in free:
        end = next((i for i, token in enumerate(tokens) if token in stops), COUNT - 1)
        expected.append(tokens[: end + 1])
    assert len({len(tokens) for tokens in expected}) >= 3, "the lanes should end at different steps"

    lanes = by_lane(
        list(decoder_for(llama, dictionary, LANES, stop_ids=frozenset(stops)).steps()), len(LANES)
    )

    assert [[c.token_id for c in lane] for lane in lanes] == expected
    for lane in lanes:
        reason = "end of turn" if lane[-1].token_id in stops else "length"
        assert [c.stop for c in lane] == [None] * (len(lane) - 1) + [reason]


def test_when_all_lanes_have_ended_no_further_token_is_computed(llama: Any) -> None:
    dictionary = build_dictionary("jumprelu")
    third = tokens_of(decoder_for(llama, dictionary, [None]), 1)[0][2]

    steps = list(decoder_for(llama, dictionary, [None, None], stop_ids=frozenset({third})).steps())

    assert [len(step.chosen) for step in steps] == [2, 2, 2]
    assert [step.number for step in steps] == [0, 1, 2]


def test_recorded_log_probabilities_are_those_of_the_steered_model(llama: Any) -> None:
    sae = build_sae("jumprelu")
    (lane,) = by_lane(list(decoder_for(llama, Dictionary(sae), [LANES[1]]).steps()), 1)
    ids = [*PROMPT.ids, *(c.token_id for c in lane)]
    logits = slow_logits(llama, HOOKS[1], ids, lambda a: slow_edit(sae, a, LANES[1]), range(9, len(ids)))
    expected = logits.log_softmax(dim=-1)[range(9, len(ids) - 1), ids[10:]]

    torch.testing.assert_close([c.logprob for c in lane], expected.tolist(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("region", "length", "instruction_end", "expected"),
    [("generated", 10, 7, 9), ("after-instruction", 10, 7, 7), ("all", 10, 7, 1),
     ("generated", 1, 0, 0), ("after-instruction", 1, 0, 0), ("all", 1, 0, 0),
     ("after-instruction", 5, 5, 4)],
)  # fmt: skip
def test_the_first_steered_position_of_each_region(
    region: SteeredTokens, length: int, instruction_end: int, expected: int
) -> None:
    assert first_steered(PromptTokens(tuple(range(length)), instruction_end), region) == expected


@pytest.mark.parametrize("region", REGIONS)
def test_a_prompt_of_one_token_is_steered_there(llama: Any, region: SteeredTokens) -> None:
    sae, prompt = build_sae("jumprelu"), PromptTokens((5,), 0)
    expected = slow_generate(llama, HOOKS[1], prompt, lambda a: slow_edit(sae, a, LANES[1]), 0, 8)

    found = tokens_of(
        decoder_for(llama, Dictionary(sae), LANES[:2], tokens=region, prompt=prompt, count=8), 2
    )

    assert found[1] == expected != found[0]


def test_the_receipt_counts_the_positions_of_the_region(llama: Any) -> None:
    dictionary = build_dictionary("jumprelu")
    for region, prefill in (("generated", 1), ("after-instruction", 3), ("all", 9)):
        decoder = decoder_for(llama, dictionary, LANES[:2], tokens=region, count=12)
        list(decoder.steps())
        plain, steered = decoder.receipts()
        assert plain is None
        # the twelfth token is chosen but never read, so eleven of the generated ones are steered
        assert (steered.steered_in_prefill, steered.steered_in_decode) == (prefill, 11)


@pytest.mark.parametrize("region", REGIONS)
def test_attention_sinks_are_never_steered_and_are_counted(llama: Any, region: SteeredTokens) -> None:
    sae, sink = build_sae("jumprelu"), 42  # at position 3 of the prompt, and now very long
    model = copy.deepcopy(llama)
    model.embed.W_E.data[sink] *= 200.0
    expected = slow_generate(
        model, HOOKS[1], PROMPT, lambda a: slow_edit(sae, a, LANES[1]), FIRST[region], COUNT, never={sink}
    )

    decoder = decoder_for(model, Dictionary(sae), LANES[:2], tokens=region)

    assert tokens_of(decoder, 2)[1] == expected
    read = [*PROMPT.ids[FIRST[region] :], *expected[:-1]]
    receipt = decoder.receipts()[1]
    assert receipt.sinks_left_alone == read.count(sink)
    assert receipt.steered_in_prefill + receipt.steered_in_decode == len(read) - read.count(sink)
    if region == "all":
        assert receipt.sinks_left_alone >= 1


def test_in_bfloat16_prefill_and_decode_run_and_are_steered(llama_folder: Any) -> None:
    from sas_core.model.hooked import load_hooked

    model = load_hooked(str(llama_folder), device="cpu", dtype=torch.bfloat16)
    sae = build_sae("jumprelu")
    decoder = decoder_for(model, Dictionary(sae), LANES, tokens="after-instruction")
    first = next(decoder.steps())
    edits = [None if s is None else (lambda a, s=s: slow_edit(sae, a, s)) for s in LANES]
    slow = [slow_logits(model, HOOKS[1], PROMPT.ids, edit, range(7, 10))[-1].float() for edit in edits]

    for chosen, logits in zip(first.chosen, slow, strict=True):
        # bfloat16 keeps eight bits: the chosen token is at, or within rounding of, the largest logit
        assert logits[chosen.token_id] >= logits.max() - 0.02 * logits.abs().max()
    assert len({tuple(t) for t in tokens_of(decoder_for(model, Dictionary(sae), LANES), len(LANES))}) == len(
        LANES
    )
