"""A prompt, five lanes and a Decoder for them: shared by the tests of `generate.py`."""

from collections.abc import Sequence
from typing import Any

from sas_core.model.chat import PromptTokens
from sas_core.model.dictionary import Dictionary
from sas_core.steering.edit import SparseEdit
from sas_core.steering.generate import Chosen, Decoder, Step
from sas_core.steering.hook import typical_norm
from sas_core.steering.prefix import Prefixes
from sas_core.steering.spec import Sampling, SteeredTokens, Steering
from tests.helpers import term

HOOKS = ("blocks.1.hook_resid_pre", "blocks.1.hook_resid_post", "blocks.1.hook_mlp_out")
REGIONS: tuple[SteeredTokens, ...] = ("generated", "after-instruction", "all")
PROMPT = PromptTokens((5, 17, 300, 42, 8, 61, 99, 12, 250, 33), 7)
FIRST = {"generated": 9, "after-instruction": 7, "all": 1}
COUNT = 26
LANES = (
    None,
    Steering((term({2: 4.0, 7: 3.0, 30: 5.0}),), 1.0),
    Steering((term({2: 4.0, 7: 3.0, 30: 5.0}),), -1.0),
    Steering((term({1: 3.0, 40: -2.0}), term({40: 6.0}, 0.5)), 1.5, "jumprelu"),
    Steering((term({9: 5.0, 21: 4.0}),), -1.0, "none"),
)


def decoder_for(
    model: Any, dictionary: Dictionary, steerings: Sequence[Steering | None], *, count: int = COUNT,
    tokens: SteeredTokens = "generated", prompt: PromptTokens = PROMPT,
    stop_ids: frozenset[int] = frozenset(), sampling: Sampling | None = None,
    prefixes: Prefixes | None = None,
) -> Decoder:  # fmt: skip
    hook_name = dictionary.identity.hook_name
    edits = [None if s is None else SparseEdit(dictionary, s) for s in steerings]
    return Decoder(
        model, hook_name, prompt, edits, sampling or Sampling(count), tokens=tokens, stop_ids=stop_ids,
        typical_norm=typical_norm(model, hook_name, range(3, 60)), prefixes=prefixes,
    )  # fmt: skip


def by_lane(steps: Sequence[Step], lanes: int) -> list[list[Chosen]]:
    return [[c for step in steps for c in step.chosen if c.lane == lane] for lane in range(lanes)]


def tokens_of(decoder: Decoder, lanes: int) -> list[list[int]]:
    return [[c.token_id for c in lane] for lane in by_lane(list(decoder.steps()), lanes)]
