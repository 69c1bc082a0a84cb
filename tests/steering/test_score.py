from typing import Any

import pytest
import torch

from sas_core.errors import HookNeverRan
from sas_core.model.chat import PromptTokens
from sas_core.model.dictionary import Dictionary
from sas_core.steering.edit import SparseEdit
from sas_core.steering.generate import Decoder
from sas_core.steering.score import completion_logprobs
from sas_core.steering.spec import Sampling, SteeredTokens, Steering
from tests.helpers import build_dictionary, build_sae, hooks_on, slow_edit, slow_logits, term

HOOK = "blocks.1.hook_resid_post"
PROMPT = PromptTokens((5, 17, 300, 42, 8, 61, 99, 12, 250, 33), 7)
FIRST = {"generated": 9, "after-instruction": 7, "all": 1}
COMPLETION = (7, 130, 20, 4, 4, 355)
UP = Steering((term({2: 4.0, 7: 3.0, 30: 5.0}),))
FAR = 1e9


def _slow(model: Any, sae: Any, steering: Steering | None, first: int) -> torch.Tensor:
    edit = None if steering is None else (lambda a: slow_edit(sae, a, steering))
    ids = [*PROMPT.ids, *COMPLETION]
    logits = slow_logits(model, HOOK, ids, edit, range(first, len(ids)))
    before = range(len(PROMPT) - 1, len(ids) - 1)
    return logits.log_softmax(dim=-1)[before, list(COMPLETION)]


@pytest.mark.parametrize("region", list(FIRST))
@pytest.mark.parametrize("fixture", ["llama", "gpt2"])
def test_log_probabilities_equal_the_plain_computation_without_a_cache(
    region: SteeredTokens, fixture: str, request: pytest.FixtureRequest
) -> None:
    model, sae = request.getfixturevalue(fixture), build_sae("jumprelu")
    steerings = (None, UP, UP.at(-1.0))
    edits = [None if s is None else SparseEdit(Dictionary(sae), s) for s in steerings]

    found = completion_logprobs(model, HOOK, PROMPT, COMPLETION, edits, tokens=region, typical_norm=FAR)

    expected = torch.stack([_slow(model, sae, s, FIRST[region]) for s in steerings])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (found[1] - found[0]).abs().max() > 0.5


@pytest.mark.parametrize("region", list(FIRST))
def test_they_equal_what_was_recorded_while_the_same_tokens_were_generated(
    llama: Any, region: SteeredTokens
) -> None:
    edit = SparseEdit(build_dictionary("jumprelu"), UP)
    decoder = Decoder(
        llama, HOOK, PROMPT, [edit], Sampling(24), tokens=region, stop_ids=frozenset(), typical_norm=FAR
    )
    chosen = [step.chosen[0] for step in decoder.steps()]

    (found,) = completion_logprobs(
        llama, HOOK, PROMPT, [c.token_id for c in chosen], [edit], tokens=region, typical_norm=FAR
    )

    torch.testing.assert_close(found.tolist(), [c.logprob for c in chosen], atol=1e-4, rtol=1e-4)


def test_a_completion_of_one_token_is_scored_under_steering(llama: Any) -> None:
    sae = build_sae("jumprelu")
    logits = slow_logits(llama, HOOK, PROMPT.ids, lambda a: slow_edit(sae, a, UP), [9])

    found = completion_logprobs(
        llama, HOOK, PROMPT, (7,), [SparseEdit(Dictionary(sae), UP)], tokens="generated", typical_norm=FAR
    )

    assert found.shape == (1, 1)
    assert float(found) == pytest.approx(float(logits[-1].log_softmax(-1)[7]), abs=1e-4)


def test_a_prompt_of_one_token_can_be_scored(llama: Any) -> None:
    tokens = torch.tensor([[5, *COMPLETION[:-1]]])
    expected = llama(tokens, attention_mask=torch.ones_like(tokens))[0].log_softmax(-1)

    (found,) = completion_logprobs(
        llama, HOOK, PromptTokens((5,), 0), COMPLETION, [None], tokens="all", typical_norm=FAR
    )

    torch.testing.assert_close(found, expected[range(6), list(COMPLETION)], atol=1e-4, rtol=1e-4)


def test_scoring_leaves_no_hook_behind(llama: Any) -> None:
    edit = SparseEdit(build_dictionary("jumprelu"), UP)
    completion_logprobs(llama, HOOK, PROMPT, COMPLETION, [edit], tokens="generated", typical_norm=FAR)

    assert hooks_on(llama) == []


def test_a_hook_that_never_ran_is_an_error(llama: Any) -> None:
    edit = SparseEdit(build_dictionary("jumprelu"), UP)

    with pytest.raises(HookNeverRan, match="ran 0 times in 2"):
        completion_logprobs(
            llama, "blocks.1.hook_mlp_in", PROMPT, COMPLETION, [edit], tokens="generated", typical_norm=FAR
        )
