"""Prompts kept between runs: nothing is computed twice, and nothing comes out differently."""

from typing import Any

import pytest
import torch

from sas_core.model.chat import PromptTokens
from sas_core.model.dictionary import Dictionary
from sas_core.steering.engine import Engine
from sas_core.steering.prefix import Prefixes, forward, fresh_cache, repeat_rows
from tests.helpers import build_dictionary, build_sae, hooks_on
from tests.steering.asking import request_for
from tests.steering.decoding import HOOKS, LANES, PROMPT, REGIONS, by_lane, decoder_for

Z = "blocks.1.attn.hook_z"


def _dictionary(hook_name: str) -> Dictionary:
    reshape = {"reshape_activations": "hook_z"} if hook_name == Z else {}
    return Dictionary(build_sae("jumprelu", hook_name=hook_name, **reshape))


def _embedded(model: Any, decoder: Any) -> tuple[list[Any], list[tuple[int, ...]]]:
    """What was chosen, and the shapes `[row, pos]` of the forward passes that it took."""
    shapes: list[tuple[int, ...]] = []
    watch = [("hook_embed", lambda value, hook: shapes.append(tuple(value.shape[:2])))]
    with model.hooks(fwd_hooks=watch):
        steps = list(decoder.steps())
    return by_lane(steps, len(LANES)), shapes


@pytest.mark.parametrize("hook_name", [HOOKS[1], Z], ids=["fast", "reference"])
@pytest.mark.parametrize("region", REGIONS)
def test_a_known_prompt_is_not_read_again_and_answers_bit_for_bit_the_same(
    llama: Any, hook_name: str, region: Any
) -> None:
    dictionary, prefixes = _dictionary(hook_name), Prefixes()

    def run() -> tuple[list[Any], list[tuple[int, ...]]]:
        decoder = decoder_for(llama, dictionary, LANES, tokens=region, count=6, prefixes=prefixes)
        return _embedded(llama, decoder)

    first, shapes = run()
    again, fewer = run()
    third, fewest = run()

    assert first == again == third
    assert shapes[0][0] == 1 and fewer == fewest == shapes[1:]


def test_another_prompt_and_another_region_are_read(llama: Any) -> None:
    dictionary, prefixes = build_dictionary("jumprelu"), Prefixes()
    other = PromptTokens((6, *PROMPT.ids[1:]), PROMPT.instruction_end)
    cases = [(PROMPT, "generated"), (other, "generated"), (PROMPT, "after-instruction")]
    for prompt, region in cases:
        with_store, alone = (
            decoder_for(llama, dictionary, LANES, prompt=prompt, tokens=region, count=4, prefixes=store)
            for store in (prefixes, None)
        )

        assert list(with_store.steps()) == list(alone.steps())


def test_the_oldest_prompts_are_forgotten_beyond_the_bytes_allowed(llama: Any) -> None:
    caches = [fresh_cache(llama, HOOKS[1]) for _ in range(4)]
    for cache in caches:
        forward(llama, torch.tensor([[5, 17]]), cache, "none")
    prefixes = Prefixes(most_bytes=3 * caches[0].nbytes)
    for i, cache in enumerate(caches[:3]):
        prefixes.keep((i,), cache)
    assert prefixes.get((0,)) is not None  # and is now the newest

    prefixes.keep((3,), caches[3])

    assert [prefixes.get((i,)) is not None for i in range(4)] == [True, False, True, True]


def test_a_prompt_larger_than_all_the_memory_allowed_is_not_kept(llama: Any) -> None:
    cache, prefixes = fresh_cache(llama, HOOKS[1]), Prefixes(most_bytes=1)
    forward(llama, torch.tensor([[5, 17]]), cache, "none")

    prefixes.keep((5, 17), cache)

    assert prefixes.get((5, 17)) is None


@pytest.mark.parametrize("hook_name", [HOOKS[1], None], ids=["fast", "reference"])
def test_what_is_kept_is_not_changed_by_a_run_that_used_it(llama: Any, hook_name: str | None) -> None:
    ids, prefixes = (5, 17, 42), Prefixes()
    cache = fresh_cache(llama, hook_name)
    forward(llama, torch.tensor([ids]), cache, "none")
    prefixes.keep(ids, cache)

    def answer(tokens: list[int]) -> torch.Tensor:
        known = prefixes.get(ids)
        repeat_rows(known, 1)
        return torch.cat([forward(llama, torch.tensor([[token]]), known) for token in tokens])

    first = answer([7, 8])
    answer([99, 98])

    assert torch.equal(answer([7, 8]), first)


def test_an_engine_reads_a_prompt_once_however_often_its_strength_is_moved(engine: Engine) -> None:
    shapes: list[tuple[int, ...]] = []
    watch = [("hook_embed", lambda value, hook: shapes.append(tuple(value.shape[:2])))]
    with engine.model.hooks(fwd_hooks=watch):
        for scale in (1.0, 2.0, 3.0):
            engine.run(request_for(LANES[1].at(scale)))

    assert sum(pos > 1 for _, pos in shapes) == 1
    assert hooks_on(engine.model) == []


def test_an_engine_says_which_path_decodes(engine: Engine, raw_engine: Engine) -> None:
    assert engine.why_reference is None and raw_engine.why_reference is None
