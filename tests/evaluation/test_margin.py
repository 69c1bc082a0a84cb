"""Every figure of a margin report against a plain loop without cache, batch or hooks of ours."""

import dataclasses
from collections.abc import Sequence
from contextlib import closing

import pytest
import torch

from sas_core.contrast.pairs import Pair, PairSet
from sas_core.errors import BadInput, Cancelled, Mismatch
from sas_core.evaluation import completions
from sas_core.evaluation.controls import random_direction
from sas_core.evaluation.margin import Progress, evaluate_margin, neutral_texts
from sas_core.evaluation.margin_report import MarginReport
from sas_core.model.sinks import SINK_NORM_MULTIPLE
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Request
from sas_core.steering.spec import Lane, Sampling
from sas_core.vectors.build import latents_file, steering_of
from sas_core.vectors.fields import VectorFile
from tests.evaluation.plain import Change, plain_margins, plain_score
from tests.helpers import slow_edit

SCALES = (-2.0, 3.0)
ALL = ("random", "random-matched", "dense")


def plain_edit(engine: Engine, vector: VectorFile, curve: str, scale: float, seed: int = 0) -> Change:
    """What each curve stands for, written out on the full SAE."""
    if scale == 0.0:
        return None
    steering = steering_of(vector, scale)
    dense = sum(f.value * engine.dictionary.sae.W_dec[f.index] for f in vector.features)
    direction = random_direction(len(dense), seed) * (1 if scale > 0 else -1)

    def change(residual: torch.Tensor) -> torch.Tensor:
        own = slow_edit(engine.dictionary.sae, residual, steering) - residual
        return (
            residual
            + {
                "vector": own,
                "dense": (scale * dense).expand_as(residual),
                "random": (abs(scale) * dense.norm() * direction).expand_as(residual),
                "random-matched": own.norm(dim=-1, keepdim=True) * direction,
            }[curve]
        )

    return change


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def check_against_the_plain_loop(
    report: MarginReport,
    engine: Engine,
    vector: VectorFile,
    pairs: PairSet,
    scored: Sequence[int] | None = None,
) -> None:
    base = plain_margins(engine, pairs, None, scored)
    assert [curve.name for curve in report.curves] == ["vector", "dense", "random", "random-matched"]
    for curve in report.curves:
        for scale in SCALES:
            seeds = range(report.seeds) if curve.name.startswith("random") else [0]
            runs = [
                plain_margins(engine, pairs, plain_edit(engine, vector, curve.name, scale, seed), scored)
                for seed in seeds
            ]
            wanted = [mean(one) for one in zip(*runs, strict=True)]
            cell = curve.at(scale)
            assert cell.margin == pytest.approx(mean(wanted), abs=1e-4)
            moved = [a - b for a, b in zip(wanted, base, strict=True)]
            assert cell.changes == pytest.approx(moved, abs=1e-4)
            assert cell.change == pytest.approx(mean(moved), abs=1e-4)
            assert max(abs(one) for one in moved) > 0.01, "the case says nothing when nothing moves"


def test_every_curve_of_a_chat_model_equals_the_plain_loop(engine, vector, pairs, measure) -> None:
    report = measure(engine, vector, pairs, SCALES, controls=ALL, seeds=2)
    check_against_the_plain_loop(report, engine, vector, pairs)
    assert (report.count, report.unit) == (3, "nats per token")


def test_every_curve_of_a_model_without_template_equals_the_plain_loop(raw_engine, pairs, measure) -> None:
    vector = latents_file(raw_engine, "weather", {1: 2.0, 5: -1.5}, verify=False)
    report = measure(raw_engine, vector, pairs, SCALES, controls=ALL, seeds=1)
    check_against_the_plain_loop(report, raw_engine, vector, pairs)


def test_multiple_choice_is_scored_at_the_letter_alone(engine, vector, letters, measure) -> None:
    pieces = engine.turns.pieces(engine.turns.encode_completion("(A)", chat=True))
    assert pieces == ["(", "A", ")"]
    report = measure(engine, vector, letters, SCALES, controls=ALL, seeds=1)
    check_against_the_plain_loop(report, engine, vector, letters, scored=[1])
    assert report.unit == "nats at the answer letter"


def test_the_price_is_what_neutral_text_loses_in_the_plain_loop(engine, vector, pairs, measure) -> None:
    report = measure(engine, vector, pairs, (2.0,), controls=("dense",))
    for curve in report.curves:
        change = plain_edit(engine, vector, curve.name, 2.0)
        lost = [
            plain_score(engine, q, a, None) - plain_score(engine, q, a, change) for q, a in neutral_texts()
        ]
        assert curve.at(2.0).price == pytest.approx(mean(lost), abs=1e-4)
        assert abs(mean(lost)) > 0.01
    assert report.neutral_texts == len(neutral_texts())


def test_the_added_norm_is_that_of_the_plain_edit_over_all_steered_tokens(
    engine, vector, pairs, measure
) -> None:
    report = measure(engine, vector, pairs, SCALES, controls=ALL, seeds=2)
    for scale in SCALES:
        shares = []
        for pair in pairs.pairs:
            for side in (pair.positive, pair.negative):
                shares += plain_shares(engine, pair.prompt, side, plain_edit(engine, vector, "vector", scale))
        assert report.curves[0].at(scale).share == pytest.approx(mean(shares), rel=1e-4)
        assert report.curve("random-matched").at(scale).share == pytest.approx(mean(shares), rel=1e-4)
        dense, chance = report.curve("dense").at(scale), report.curve("random").at(scale)
        assert chance.share == pytest.approx(dense.share, rel=1e-5)
        assert report.curves[0].at(scale).share > 0.01


def plain_shares(engine: Engine, prompt: str, text: str, change: Change) -> list[float]:
    """Added norm / residual norm at every position the model is steered at when it writes `text`."""
    before = engine.turns.encode(prompt).ids
    ids = [*before, *engine.turns.encode_completion(text, chat=True)][:-1]
    _, cache = engine.model.run_with_cache(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        names_filter=engine.hook_name,
    )
    residual = cache[engine.hook_name][0, len(before) - 1 :]
    norms = residual.norm(dim=-1)
    assert bool((norms <= SINK_NORM_MULTIPLE * engine.typical_norm).all())
    return ((change(residual) - residual).norm(dim=-1) / norms).tolist()


@pytest.mark.parametrize("scales", [(2.0,), (2.0, -0.0), (0, 2, 2)])
def test_at_lambda_zero_the_change_is_exactly_zero_for_every_curve(
    engine, vector, pairs, measure, scales
) -> None:
    report = measure(engine, vector, pairs, scales, controls=ALL)
    assert report.scales == (0.0, 2.0)
    for curve in report.curves:
        cell = curve.at(0.0)
        assert cell.changes == (0.0, 0.0, 0.0)
        assert (cell.change, cell.interval.low, cell.interval.high) == (0.0, 0.0, 0.0)
        assert (cell.price, cell.share, cell.right_way, cell.problem) == (0.0, 0.0, None, None)


def test_rows_run_in_several_batches_give_the_same_report(
    engine, vector, pairs, measure, monkeypatch
) -> None:
    whole = measure(engine, vector, pairs, SCALES, controls=ALL)
    monkeypatch.setattr(completions, "_MOST_LOGITS", 3 * 15 * engine.model.cfg.d_vocab)
    parted = measure(engine, vector, pairs, SCALES, controls=ALL)
    for a, b in zip(whole.curves, parted.curves, strict=True):
        for one, other in zip(a.cells, b.cells, strict=True):
            assert other.changes == pytest.approx(one.changes, abs=1e-4)
            assert other.price == pytest.approx(one.price, abs=1e-4)


def test_the_steered_tokens_of_the_file_are_the_ones_steered(engine, vector, pairs, measure) -> None:
    wider = vector.model_copy(update={"steered_tokens": "all"})
    narrow, wide = (measure(engine, v, pairs, (2.0,)).curves[0].at(2.0) for v in (vector, wider))
    assert wide.changes != pytest.approx(narrow.changes, abs=1e-3)


def test_the_same_call_gives_the_same_report(engine, vector, pairs, measure) -> None:
    assert measure(engine, vector, pairs, SCALES) == measure(engine, vector, pairs, SCALES)


def test_progress_counts_pairs_and_neutral_texts_and_the_report_comes_last(engine, vector, pairs) -> None:
    *events, report = evaluate_margin(engine, vector, pairs, (1.0,))
    total = 3 + len(neutral_texts())
    assert [event.done for event in events] == list(range(1, total + 1))
    assert {event.total for event in events} == {total}
    assert isinstance(report, MarginReport)


def test_others_are_served_between_two_pairs(engine, vector, pairs) -> None:
    request = Request("Tell me more.", (Lane("unsteered"),), Sampling(2))
    alone = engine.run(request)
    with closing(evaluate_margin(engine, vector, pairs, (1.0,))) as events:
        for _ in range(2):
            assert isinstance(next(events), Progress)
            assert len(engine.queue) == 0
            assert engine.run(request).lanes[0].token_ids == alone.lanes[0].token_ids


def test_while_others_go_first_it_says_how_many(engine, vector, pairs) -> None:
    with closing(evaluate_margin(engine, vector, pairs, (1.0,))) as events:
        with engine.turn("somebody") as ticket:
            assert ticket.wait(1.0)
            assert next(events) == Progress(0, 3 + len(neutral_texts()), waiting=1)
        assert next(events).done == 1


def test_closing_it_leaves_no_ticket_and_no_hook(engine, vector, pairs) -> None:
    ids = torch.tensor([engine.turns.encode("Tell me more.").ids])
    before = engine.model(ids)
    with closing(evaluate_margin(engine, vector, pairs, (5.0,))) as events:
        next(events)
    assert len(engine.queue) == 0
    assert torch.equal(engine.model(ids), before)


def test_a_newer_request_of_the_session_stops_it_while_it_waits(engine, vector, pairs) -> None:
    with engine.turn("somebody") as ticket:
        assert ticket.wait(1.0)
        events = evaluate_margin(engine, vector, pairs, (1.0,), session="mine")
        assert next(events).waiting == 1
        with engine.turn("mine"), pytest.raises(Cancelled):
            list(events)


def test_pairs_with_two_equal_sides_are_left_out(engine, vector, pairs, measure) -> None:
    twice = dataclasses.replace(pairs, pairs=(*pairs.pairs, Pair("Tell me more.", "the sea", "the sea", 4)))
    assert measure(engine, vector, twice, (1.0,)) == measure(engine, vector, pairs, (1.0,))


def test_suppressing_what_never_fires_is_reported_as_a_problem(engine, pairs, measure) -> None:
    engine.dictionary.sae.threshold.data[5] = 1e6
    report = measure(engine, latents_file(engine, "silent", {5: 1.0}, verify=False), pairs, (-1.0, 1.0))
    cell = report.curves[0].at(-1.0)
    assert cell.changes == pytest.approx((0.0, 0.0, 0.0), abs=1e-5)
    assert "Nothing was added" in cell.problem
    assert report.holds(-1.0) is False
    assert report.curves[0].at(1.0).problem is None


def test_strengths_that_measure_nothing_are_refused(engine, vector, pairs, measure) -> None:
    with pytest.raises(BadInput, match="strength other than 0"):
        measure(engine, vector, pairs, (0.0,))


def test_a_set_without_usable_pairs_is_refused(engine, vector, measure) -> None:
    with pytest.raises(BadInput, match="no usable pairs"):
        measure(engine, vector, PairSet("none", (Pair("Tell me.", "same", "same", 1),)), (1.0,))


def test_a_pair_longer_than_the_model_reads_is_named(engine, vector, pairs, measure) -> None:
    long = dataclasses.replace(pairs, pairs=(Pair("Tell me.", "the sea " * 200, "the book", 7),))
    with pytest.raises(BadInput, match=r"Row 7 has .* the model reads 192"):
        measure(engine, vector, long, (1.0,))


def test_a_vector_of_another_sae_is_refused(engine, vector, pairs, measure) -> None:
    other = vector.model_copy(update={"sae": vector.sae.model_copy(update={"sha256": "0" * 64})})
    with pytest.raises(Mismatch, match="weather"):
        measure(engine, other, pairs, (1.0,))


def test_neutral_texts_are_questions_with_answers() -> None:
    texts = neutral_texts()
    assert len(texts) >= 10
    assert all(question.endswith("?") and answer.endswith(".") for question, answer in texts)
