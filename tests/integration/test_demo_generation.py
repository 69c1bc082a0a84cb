"""On the demo model, in float32 on a CPU: our tokens are transformers' and the plain path's tokens."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from sas_core.model.demo import demo_ready
from sas_core.paths import PACKAGE
from sas_core.steering.engine import Engine
from sas_core.steering.generate import Decoder
from sas_core.steering.lanes import Request
from sas_core.steering.prefix import forward, fresh_cache
from sas_core.steering.spec import Lane, Sampling
from sas_core.vectors.build import steering_of
from sas_core.vectors.replay import replay
from sas_core.vectors.schema import VectorFile, parse_vector
from sas_core.vectors.ship import free_text_behaviours
from tests.helpers import slow_edit
from tests.integration.conftest import PROMPTS

NEW_TOKENS = 16


def shipped(name: str) -> VectorFile:
    return parse_vector((PACKAGE / "vectors" / "shipped" / f"{name}.json").read_bytes())


@pytest.fixture(scope="session")
def answers(demo: Engine) -> dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Prompt -> (prompt ids, unsteered tokens, steered tokens), both lanes in one batch."""
    steering = steering_of(shipped("sea"), scale=shipped("sea").strength)
    found = {}
    for prompt in PROMPTS:
        done = demo.run(Request(prompt, (Lane("u"), Lane("s", steering)), Sampling(NEW_TOKENS)))
        found[prompt] = (done.prompt_ids, done.lanes[0].token_ids, done.lanes[1].token_ids)
    return found


def test_the_unsteered_lane_is_transformers_own_generate_on_twenty_prompts(answers):
    model = AutoModelForCausalLM.from_pretrained(demo_ready(), dtype=torch.float32)
    for prompt, (ids, unsteered, _) in answers.items():
        tokens = torch.tensor([ids])
        out = model.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=NEW_TOKENS, do_sample=False
        )
        assert tuple(out[0, len(ids) :].tolist()) == unsteered, prompt


def test_the_steered_lane_is_the_plain_path_without_a_cache_on_twenty_prompts(demo, answers):
    """Full encode, edit, decode, add the error, on the whole sequence again for every token."""
    steering = steering_of(shipped("sea"), scale=shipped("sea").strength)
    for prompt, (ids, _, steered) in answers.items():
        assert plain_tokens(demo, ids, steering, len(steered)) == steered, prompt


def plain_tokens(demo: Engine, prompt_ids, steering, count: int) -> tuple[int, ...]:
    start = len(prompt_ids) - 1

    def edit(value, hook):
        value = value.clone()
        value[:, start:] = slow_edit(demo.dictionary.sae, value[:, start:], steering)
        return value

    ids = list(prompt_ids)
    with torch.inference_mode(), demo.model.hooks(fwd_hooks=[(demo.hook_name, edit)]):
        for _ in range(count):
            tokens = torch.tensor([ids])
            logits = demo.model(tokens, return_type="logits", attention_mask=torch.ones_like(tokens))
            ids.append(int(logits[0, -1].argmax()))
    return tuple(ids[len(prompt_ids) :])


@pytest.mark.parametrize("prompt", PROMPTS)
def test_two_hundred_greedy_tokens_are_those_of_the_reference(demo, prompt):
    """The reference reads the answer once: where its own greedy token is ours everywhere, it writes ours."""
    assert demo.why_reference is None
    ids = demo.turns.encode(prompt)
    decoder = Decoder(
        demo.model, demo.hook_name, ids, [None], Sampling(200), tokens="generated", stop_ids=frozenset(),
        typical_norm=demo.typical_norm,
    )  # fmt: skip
    written = [step.chosen[0].token_id for step in decoder.steps()]
    whole = torch.tensor([[*ids.ids, *written]])
    with torch.inference_mode():
        expected = forward(demo.model, whole, fresh_cache(demo.model))[0]
        found = forward(demo.model, whole, fresh_cache(demo.model, demo.hook_name))[0]
    assert written == expected[len(ids) - 1 : -1].argmax(dim=-1).tolist()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_steering_changes_most_answers_and_strength_zero_changes_none(demo, answers):
    changed = sum(unsteered != steered for _, unsteered, steered in answers.values())
    assert changed >= len(PROMPTS) // 2
    zero = steering_of(shipped("sea"), scale=0.0)
    prompt = PROMPTS[0]
    done = demo.run(Request(prompt, (Lane("u"), Lane("s", zero)), Sampling(NEW_TOKENS)))
    assert done.lanes[0].token_ids == done.lanes[1].token_ids == answers[prompt][1]


@pytest.mark.parametrize("name", free_text_behaviours())
def test_every_shipped_vector_reproduces_its_recorded_run(demo, name):
    """Token by token, up to where two tokens are equally likely but for a processor's rounding."""
    again = replay(demo, shipped(name))
    assert again.total > 0 and again.agree > again.total / 2
    assert again.whole or all(parting.rounding for parting in again.partings), again.why
