"""The sweep: what it measures against plain computations, its rule, and where it says the zone ends."""

import math
import zlib
from dataclasses import replace
from typing import Any

import pytest
import torch

from sas_core.errors import BadInput
from sas_core.steering import zone
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Done, Request
from sas_core.steering.share import half_norm_scale
from sas_core.steering.spec import Sampling, Steering, Term
from sas_core.steering.zone import (
    Measures,
    ZonePoint,
    coherent_run,
    compression,
    default_scales,
    find_zone,
    repeated_share,
)
from tests.helpers import build_dictionary, slow_logits, term
from tests.steering.asking import PROMPT, UP, request_for

REQUEST = Request(PROMPT, (), Sampling(16))
ABLATE = Steering((Term("v", (2, 7), (1.0, 1.0), 1.0, "ablate"),))


def test_the_texts_are_those_the_engine_writes_at_each_strength(engine: Engine) -> None:
    scales = (-2.0, 0.5, 1.0, 3.0)

    found = find_zone(engine, UP, REQUEST, scales)

    assert [p.scale for p in found.points] == [-2.0, 0.0, 0.5, 1.0, 3.0]
    for point in found.points:
        lane = engine.run(request_for(UP.at(point.scale) if point.scale else None,
                                      sampling=REQUEST.sampling)).lanes[0]  # fmt: skip
        assert point.text == lane.text
        assert point.share == pytest.approx(lane.receipt.mean_share if lane.receipt else 0.0, rel=1e-4)
    assert len(engine.queue) == 0


def test_the_surprise_is_the_mean_over_the_text_under_the_unsteered_model(engine: Engine) -> None:
    prompt = engine.turns.encode(PROMPT)
    start = len(prompt)

    found = find_zone(engine, UP, REQUEST, (1.0, 2.0))

    for point in found.points:
        ids = engine.run(request_for(UP.at(point.scale) if point.scale else None,
                                     sampling=REQUEST.sampling)).lanes[0].token_ids  # fmt: skip
        logits = slow_logits(engine.model, engine.hook_name, [*prompt.ids, *ids], None, [])
        own = logits.log_softmax(-1)[range(start - 1, start + len(ids) - 1), list(ids)]
        assert point.measures.surprise == pytest.approx(-float(own.mean()), abs=1e-3)
        assert point.measures.perplexity == pytest.approx(math.exp(-float(own.mean())), rel=1e-2)
        assert point.measures.tokens == len(ids)
        assert point.measures.repeated == repeated_share(ids)


def test_texts_of_different_lengths_are_measured_over_their_own_tokens(engine: Engine) -> None:
    ids = [engine.run(request_for(s, sampling=Sampling(12))).lanes[0].token_ids for s in (None, UP)]
    engine.turns.stop_ids = frozenset({ids[1][4]})
    engine._unsteered.clear()
    prompt = engine.turns.encode(PROMPT)

    plain, steered = find_zone(engine, UP, replace(REQUEST, sampling=Sampling(12)), (1.0,)).points

    assert steered.measures.tokens == ids[1].index(ids[1][4]) + 1 < plain.measures.tokens
    short = ids[1][: steered.measures.tokens]
    logits = slow_logits(engine.model, engine.hook_name, [*prompt.ids, *short], None, [])
    own = logits.log_softmax(-1)[range(len(prompt) - 1, len(prompt) + len(short) - 1), list(short)]
    assert steered.measures.surprise == pytest.approx(-float(own.mean()), abs=1e-3)


@pytest.mark.parametrize(
    ("ids", "share"),
    [([], 0.0), ([1, 2, 3], 0.0), ([1, 2, 3, 4], 0.0), ([1, 1, 1, 1, 1, 1], 2 / 3),
     ([1, 2, 3, 4, 1, 2, 3, 4], 1 / 5), ([1, 2, 3, 4, 5, 1, 2, 3], 0.0)],
)  # fmt: skip
def test_a_repeated_four_gram_is_one_that_stood_there_before(ids: list[int], share: float) -> None:
    assert repeated_share(ids) == pytest.approx(share)


def test_compression_is_bytes_over_compressed_bytes() -> None:
    loop = "the sea and " * 30

    assert compression(loop) == len(loop) / len(zlib.compress(loop.encode(), 9)) > 10
    assert compression("\u00e9" * 10) == 20 / len(zlib.compress(("\u00e9" * 10).encode(), 9))
    assert compression("") == 0.0


def _points(*broken: tuple[float, str | None]) -> list[ZonePoint]:
    return [ZonePoint(scale, "", 0.0, None, reason) for scale, reason in broken]


def test_the_zone_ends_before_the_first_break_seen_from_zero() -> None:
    points = _points((-2, None), (-1, "x"), (-0.5, None), (0, None), (1, None), (2, "x"), (3, None))

    assert coherent_run(points) == (-0.5, 1)
    assert coherent_run(_points((0, None), (1, "x"))) == (0, 0)
    assert coherent_run(_points((0, None), (1, None), (2, None))) == (0, 2)


PLAIN = Measures(40, 1.0, 0.05, 1.3)


@pytest.mark.parametrize(
    ("found", "reason"),
    [(Measures(40, 2.49, 0.14, 1.94), None),
     (Measures(40, 2.51, 0.0, 1.3), "its perplexity is 12.3, against 2.72 unsteered"),
     (Measures(40, 1.0, 0.16, 1.3), "16% of its 4-grams repeat"),
     (Measures(40, 0.5, 0.0, 1.96), "it compresses 2 times, against 1.3 unsteered")],
)  # fmt: skip
def test_each_sign_of_breakdown_is_told_in_words(engine: Engine, found: Measures, reason: str | None) -> None:
    lane = engine.run(request_for(None, sampling=Sampling(2))).lanes[0]

    assert zone._broken(lane, found, PLAIN) == reason
    assert zone._broken(lane, PLAIN, PLAIN) is None
    assert zone._broken(lane, replace(PLAIN, repeated=0.4), replace(PLAIN, repeated=0.4)) is None


def test_a_strength_that_overflows_is_the_end_of_the_zone(engine: Engine) -> None:
    steering = Steering((term({7: 1e36}),))

    found = find_zone(engine, steering, REQUEST, (1e-40, 1e3))

    assert found.points[-1].measures is None
    assert "stopped being finite" in str(found.points[-1].broken)
    assert found.highest < 1e3


def test_a_sweep_is_one_decode_and_one_scoring(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    scored: list[int] = []

    def stream(request: Request, session: str) -> Any:
        asked.append(len(request.lanes))
        return generate(request, session)

    def score(*arguments: Any, **options: Any) -> torch.Tensor:
        scored.append(len(arguments[3]))
        return logits(*arguments, **options)

    generate, logits = engine.stream, zone.completion_logits
    monkeypatch.setattr(engine, "stream", stream)
    monkeypatch.setattr(zone, "completion_logits", score)

    find_zone(engine, UP, replace(REQUEST, sampling=Sampling(3)), (0.5, 1.0))

    assert (asked, scored) == ([3], [3])


def test_at_the_half_norm_scale_half_the_typical_norm_is_added(engine: Engine) -> None:
    found = find_zone(engine, UP, REQUEST, (1.0,))
    W_dec = engine.dictionary.sae.W_dec
    added = found.half_norm * (4.0 * W_dec[2] + 3.0 * W_dec[7] + 5.0 * W_dec[30])

    assert float(added.norm()) == pytest.approx(0.5 * engine.typical_norm, rel=1e-5)
    assert engine.added_share(UP.at(found.half_norm)) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("normalisation", ["none", "layer_norm"])
def test_clamps_count_from_silence_and_the_sign_is_the_steerings_own(normalisation: str) -> None:
    dictionary = build_dictionary("standard", normalize_activations=normalisation)
    clamp = Steering((Term("v", (2, 7), (4.0, 3.0), 1.0, "clamp"),), -3.0)
    add = Steering((Term("v", (2, 7), (4.0, 3.0)),))

    assert half_norm_scale(dictionary, 10.0, clamp) == pytest.approx(-half_norm_scale(dictionary, 10.0, add))
    assert half_norm_scale(dictionary, 10.0, ABLATE) is None


def test_without_strengths_the_sweep_looks_at_shares_of_the_residual(engine: Engine) -> None:
    scales = default_scales(engine, UP)

    shares = [engine.added_share(UP.at(scale)) for scale in scales]
    torch.testing.assert_close(torch.tensor(shares), torch.tensor(zone.SHARES), atol=0, rtol=0.01)
    assert default_scales(engine, UP.at(-1.0)) == tuple(-s for s in scales)
    assert default_scales(engine, ABLATE) == zone.SCALES


def test_a_vector_of_next_to_nothing_is_not_swept_beyond_usable_strengths(engine: Engine) -> None:
    assert all(abs(s) <= 1e4 for s in default_scales(engine, Steering((term({2: 1e-4}),))))


@pytest.mark.parametrize(
    ("scales", "reason"),
    [([float(i) for i in range(1, 18)], "17 strengths asked; a sweep takes 16"), ([math.nan], "unusable"),
     ([1e9], "unusable")],
)  # fmt: skip
def test_a_sweep_that_cannot_be_run_is_refused(engine: Engine, scales: list[float], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        find_zone(engine, UP, REQUEST, scales)


def test_a_model_that_is_not_finite_unsteered_is_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stream(request: Any, session: str) -> Any:
        done = original(request, session)
        for event in done:
            if isinstance(event, Done):
                broken = replace(event.lanes[0], stop="not finite", problem="layer 2")
                event = Done((broken, *event.lanes[1:]), event.prompt_ids)
            yield event

    original = engine.stream
    monkeypatch.setattr(engine, "stream", stream)

    with pytest.raises(BadInput, match="layer 2"):
        find_zone(engine, UP, replace(REQUEST, sampling=Sampling(2)), (1.0,))
