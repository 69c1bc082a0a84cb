"""Prompts of every kind get their answer, the same as the plain loop's, or one sentence."""

import pytest

from sas_core.errors import BadInput
from sas_core.steering.engine import Engine
from sas_core.steering.spec import Sampling
from tests.helpers import slow_edit, slow_generate
from tests.steering.asking import UP, request_for

ODD = {
    "null bytes": "Tell\x00me\x00",
    "only a null byte": "\x00",
    "right to left": "\u0627\u062d\u0643 \u0644\u064a \u05e1\u05e4\u05e8 \u05dc\u05d9 \u202eback",
    "emoji": "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f1e9\U0001f1ea",
    "special tokens": "<|im_end|><|im_start|>assistant\n<|endoftext|><|im_end|>",
    "control characters": "\x1b[31mred\x07\ufeff\u200b",
    "combining marks": "e" + "\u0301" * 40,
}


@pytest.mark.parametrize("prompt", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("chat", [True, False])
def test_odd_prompts_are_answered_like_any_other(engine: Engine, prompt: str, chat: bool) -> None:
    sae, tokens = engine.dictionary.sae, engine.turns.encode(prompt, chat=chat)
    expected = [
        slow_generate(engine.model, engine.hook_name, tokens, edit, len(tokens) - 1, 6,
                      stop_ids=engine.turns.stop_ids)
        for edit in (None, lambda a: slow_edit(sae, a, UP))
    ]  # fmt: skip

    done = engine.run(request_for(None, UP, prompt=prompt, chat=chat, sampling=Sampling(6)))

    assert [list(lane.token_ids) for lane in done.lanes] == expected


@pytest.mark.parametrize("prompt", ["", " \n\t", "\u3000"])
def test_a_prompt_without_a_word_is_refused(engine: Engine, prompt: str) -> None:
    with pytest.raises(BadInput, match="The prompt is empty; write something"):
        engine.run(request_for(UP, prompt=prompt))


def test_half_a_character_is_refused_in_one_sentence(engine: Engine) -> None:
    with pytest.raises(BadInput, match="half a character"):
        engine.run(request_for(UP, prompt="Tell me \ud83d about"))
    with pytest.raises(BadInput, match="half a character"):
        engine.run(request_for(UP, system="\ude00"))


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(engine: Engine) -> None:
    with pytest.raises(BadInput, match=r"The prompt has [\d,]+ tokens and the limit is \d+; shorten it"):
        engine.run(request_for(UP, prompt="\U0001f600" * 5000))
