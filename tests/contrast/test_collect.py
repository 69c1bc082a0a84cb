import numpy as np
import pytest
import torch

from sas_core.contrast.collect import Collected, collect
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.contrast.positions import OFTEN, Position
from sas_core.model.hooked import activations_at
from sas_core.model.sinks import is_sink
from sas_core.steering.engine import Engine

PAIRS = PairSet("tides", (
    Pair("Tell me of the sea.", "the waves and the tide came in slowly", "the office has a desk and a chair"),
    Pair("And then?", "a boat", "the meeting went on and on until it was over"),
))  # fmt: skip


def _plain(engine: Engine, prompt: str, completion: str, position: Position) -> np.ndarray:
    """Token by token, in plain loops."""
    before = engine.turns.encode([{"role": "user", "content": prompt}], chat=engine.turns.has_template).ids
    ids = [*before, *engine.turns.encode_completion(completion, chat=engine.turns.has_template, after="")]
    residual = activations_at(engine.model, engine.hook_name, torch.tensor([ids]))
    sink = is_sink(residual, engine.typical_norm)[0]
    rows = [
        engine.dictionary.encode(residual[0, at : at + 1])[0].tolist()
        for at in range(len(before), len(ids))
        if ids[at] not in engine.turns.special_ids and not sink[at]
    ]
    found = []
    for values in zip(*rows, strict=True):
        fires = sum(value > 0 for value in values)
        enough = fires >= OFTEN * len(values) if position == "completion-often" else fires > 0
        found.append(sum(values) / len(values) if enough else 0.0)
    return np.array(found)


def _active(found: Collected) -> np.ndarray:
    side = found.codes.positive
    return side.dense(np.arange(side.d_sae)) > 0


@pytest.mark.parametrize("position", ["completion-mean", "completion-often"])
def test_codes_are_those_of_the_plain_loop(engine: Engine, position: Position) -> None:
    *_, last = collect(engine, PAIRS, position)

    assert isinstance(last, Collected)
    for side, words in ((last.codes.positive, "positive"), (last.codes.negative, "negative")):
        for row, pair in enumerate(PAIRS.pairs):
            expected = _plain(engine, str(pair.prompt), getattr(pair, words), position)
            np.testing.assert_allclose(side.dense(np.arange(side.d_sae))[row], expected, rtol=1e-4, atol=1e-5)


def test_what_fires_at_a_few_tokens_is_active_in_the_mean_alone(engine: Engine) -> None:
    *_, anywhere = collect(engine, PAIRS, "completion-mean")
    *_, often = collect(engine, PAIRS, "completion-often")
    before, after = _active(anywhere), _active(often)

    assert not (after & ~before).any()
    assert 0 < after.sum() < before.sum()
