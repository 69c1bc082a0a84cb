"""The price against plain whole runs without a cache, and its figures by hand."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from sas_core.contrast.pairs import PairSet
from sas_core.errors import BadInput
from sas_core.evaluation import price
from sas_core.evaluation.bootstrap import Estimate
from sas_core.evaluation.margin import Progress
from sas_core.evaluation.mcq import evaluate_mcq
from sas_core.evaluation.price import evaluate_price
from sas_core.evaluation.price_report import PriceReport, Reading, Writing, text_price, written_price
from sas_core.evaluation.texts import HeldOut, read_texts, shipped_texts
from sas_core.steering.controls import random_direction
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import Request
from sas_core.steering.spec import Lane, Sampling
from sas_core.vectors.build import steering_of
from sas_core.vectors.fields import VectorFile
from tests.helpers import slow_edit, slow_logits

SCALES = (-2.0, 0.0, 3.0)
PROMPTS = ("Tell me about your day.", "What is the sea like?")
SHORT = Sampling(8)


@pytest.fixture
def texts(engine: Engine, tmp_path) -> tuple[HeldOut, ...]:
    """Two from a file, of different lengths, and an answer to a question."""
    path = tmp_path / "t.jsonl"
    rows = ["The train was late again this morning.", "The sun is low and the days are still warm, we said."]
    path.write_text("\n".join(json.dumps({"text": row}) for row in rows))
    return (*read_texts(path, engine.turns, 10), shipped_texts(engine.turns)[0])


def run(engine: Engine, vector: VectorFile, **options: object) -> PriceReport:
    *_, report = evaluate_price(engine, vector, SCALES, sampling=SHORT, prompts=PROMPTS, **options)
    return report


def change_of(engine: Engine, vector: VectorFile, arm: str, scale: float, seed: int = 0) -> Callable | None:
    """The edit of one row, in full: the vector's own, or a random direction of its size."""
    if scale == 0.0:
        return None
    steering = steering_of(vector, scale)

    def own(residual: torch.Tensor) -> torch.Tensor:
        return slow_edit(engine.dictionary.sae, residual, steering)

    def random(residual: torch.Tensor) -> torch.Tensor:
        size = (own(residual) - residual).norm(dim=-1, keepdim=True)
        return residual + math.copysign(1.0, scale) * size * random_direction(residual.shape[-1], seed)

    return own if arm == "vector" else random


def plain_logprobs(engine: Engine, prompt, ids, change: Callable | None) -> torch.Tensor:
    """Log-probabilities `[token of ids, d_vocab]` of a whole run, edited from the prompt's last token on."""
    steered = range(len(prompt) - 1, len(prompt) + len(ids) - 1)
    logits = slow_logits(engine.model, engine.hook_name, [*prompt.ids, *ids], change, steered)
    return logits[len(prompt) - 1 : -1].double().log_softmax(dim=-1)


def kl(left: torch.Tensor, right: torch.Tensor) -> list[float]:
    return [float((p.exp() * (p - q)).sum()) for p, q in zip(left, right, strict=True)]


def test_reading_is_the_surprise_and_divergence_of_whole_runs_weighted_by_tokens(
    engine: Engine, vector: VectorFile, texts
) -> None:
    report = run(engine, vector, texts=texts)
    assert [(row.arm, row.scale) for row in report.rows] == [
        ("vector", -2.0), ("vector", 0.0), ("vector", 3.0), ("random-matched", -2.0), ("random-matched", 3.0)
    ]  # fmt: skip
    for row in report.rows:
        nats, extra, apart = [], [], []
        for text in texts:
            plain = plain_logprobs(engine, text.prompt, text.ids, None)
            steered = plain_logprobs(
                engine, text.prompt, text.ids, change_of(engine, vector, row.arm, row.scale)
            )
            for place, token in enumerate(text.ids):
                nats.append(-float(steered[place, token]))
                extra.append(float(plain[place, token] - steered[place, token]))
            apart += kl(steered, plain)
        assert row.texts.nats.value == pytest.approx(np.mean(nats), abs=1e-4)
        assert row.texts.extra.value == pytest.approx(np.mean(extra), abs=1e-4)
        assert row.texts.kl.value == pytest.approx(np.mean(apart), abs=1e-4)
        assert row.texts.perplexity.value == pytest.approx(math.exp(np.mean(nats)), rel=1e-4)
        assert row.texts.nats.low <= row.texts.nats.value <= row.texts.nats.high
    assert report.rows[2].texts.kl.value > 0.01, "the vector does something, so the test can fail"
    assert report.scored_tokens == sum(len(text.ids) for text in texts)


def test_unsteered_surprise_is_the_loss_that_transformers_reports(
    engine: Engine, vector: VectorFile, texts, llama_folder
) -> None:
    reference = AutoModelForCausalLM.from_pretrained(llama_folder, dtype=torch.float32)
    ids = torch.tensor([[*texts[1].prompt.ids, *texts[1].ids]])
    with torch.no_grad():
        loss = float(reference(ids, labels=ids).loss)
    found = run(engine, vector, texts=texts[1:2], control=False).rows[1].texts
    assert found.nats.value == pytest.approx(loss, abs=1e-4)


def test_unsteered_reading_costs_exactly_nothing(engine: Engine, vector: VectorFile, texts) -> None:
    *_, report = evaluate_price(
        engine, vector, (1.0,), texts=texts, prompts=PROMPTS[:1], sampling=SHORT, control=False
    )
    plain, steered = report.rows
    assert (plain.scale, steered.scale) == (0.0, 1.0), "0 is measured all the same"
    assert plain.texts.extra == plain.texts.kl == plain.written.kl == Estimate(0.0, 0.0, 0.0)


def test_logits_that_do_not_fit_are_computed_in_parts_with_the_same_result(
    engine: Engine, vector: VectorFile, texts, monkeypatch
) -> None:
    whole = run(engine, vector, texts=texts)
    monkeypatch.setattr(price, "_MOST_LOGITS", 1)
    parts = run(engine, vector, texts=texts)
    for a, b in zip(whole.rows, parts.rows, strict=True):
        assert a.texts.nats.value == pytest.approx(b.texts.nats.value, abs=1e-5)
        assert a.texts.kl.value == pytest.approx(b.texts.kl.value, abs=1e-5)


def test_writing_is_measured_on_the_very_texts_that_are_generated(
    engine: Engine, vector: VectorFile, texts
) -> None:
    row = run(engine, vector, texts=texts).rows[2]
    nats, apart, ones, threes = [], [], [], []
    for prompt in PROMPTS:
        lane = Lane("x", steering_of(vector, 3.0))
        ids = engine.run(Request(prompt, (lane,), SHORT)).lanes[0].token_ids
        before = engine.turns.encode(prompt)
        plain = plain_logprobs(engine, before, ids, None)
        steered = plain_logprobs(engine, before, ids, change_of(engine, vector, "vector", 3.0))
        nats += [-float(plain[place, token]) for place, token in enumerate(ids)]
        apart += kl(steered, plain)
        ones.append(len(set(ids)) / len(ids))
        threes.append(len({ids[i : i + 3] for i in range(len(ids) - 2)}) / (len(ids) - 2))
    assert row.written.nats.value == pytest.approx(np.mean(nats), abs=1e-4)
    assert row.written.kl.value == pytest.approx(np.mean(apart), abs=1e-4)
    assert row.written.distinct[0].value == pytest.approx(np.mean(ones))
    assert row.written.distinct[2].value == pytest.approx(np.mean(threes))
    assert (row.written.texts, row.not_finite, row.written.without_effect) == (2, 0.0, 0.0)


def test_accuracy_is_the_share_of_items_whose_right_letter_wins_in_the_mean_of_both_orders(
    engine: Engine, vector: VectorFile, texts, letters: PairSet
) -> None:
    report = run(engine, vector, texts=texts[:1], items=letters)
    *_, asked = evaluate_mcq(engine, vector, letters, SCALES)
    shares = [sum(p > 0.5 for p in row) / len(row) for row in asked.items]
    own = [row for row in report.rows if row.arm == "vector"]
    assert [row.accuracy.value for row in own] == shares
    assert {row.accuracy for row in report.rows if row.arm != "vector"} == {None}
    assert report.items == 2
    assert report.capability_at_chance == (own[1].accuracy.low <= 0.5 <= own[1].accuracy.high)


def test_progress_counts_texts_prompts_and_items_and_closing_stops_at_once(
    engine: Engine, vector: VectorFile, texts, letters: PairSet
) -> None:
    options = {"texts": texts, "prompts": PROMPTS, "items": letters, "sampling": SHORT, "control": False}
    *steps, _ = evaluate_price(engine, vector, (1.0,), **options)
    assert steps == [Progress(done, 7) for done in range(1, 8)]
    events = evaluate_price(engine, vector, (1.0,), **options)
    assert next(events) == Progress(1, 7)
    events.close()
    assert len(engine.queue) == 0


def test_another_seed_draws_another_direction_for_the_control_alone(
    engine: Engine, vector: VectorFile, texts
) -> None:
    first, second = (run(engine, vector, texts=texts[:1], seed=seed) for seed in (0, 1))
    assert first.rows[:3] == second.rows[:3]
    assert first.rows[4].texts != second.rows[4].texts


def test_activations_that_are_not_finite_are_told_and_not_averaged(engine: Engine, vector, texts) -> None:
    features = tuple(f.model_copy(update={"value": 1e38}) for f in vector.features)
    wild = vector.model_copy(update={"features": features})
    *_, report = evaluate_price(
        engine, wild, (1000.0,), texts=texts, prompts=PROMPTS, sampling=SHORT, control=False
    )
    plain, broken = report.rows
    assert (broken.texts, broken.written, broken.not_finite) == (None, None, 1.0)
    assert plain.texts is not None and plain.written.texts == 2


def test_a_strength_that_changes_nothing_is_counted(engine: Engine, vector: VectorFile, texts) -> None:
    # too small for the residual's number format
    tiny = tuple(f.model_copy(update={"value": 1e-30}) for f in vector.features)
    report = run(engine, vector.model_copy(update={"features": tiny}), texts=texts[:1], control=False)
    assert [row.written.without_effect for row in report.rows] == [1.0, 0.0, 1.0]
    assert report.rows[2].written.kl.value == pytest.approx(0.0, abs=1e-6)


def test_what_cannot_be_measured_is_refused(engine: Engine, vector: VectorFile, texts) -> None:
    zeros = tuple(f.model_copy(update={"value": 0.0}) for f in vector.features)
    with pytest.raises(BadInput, match="Every value of 'weather' is zero"):
        run(engine, vector.model_copy(update={"features": zeros}), texts=texts)
    with pytest.raises(BadInput, match="no text or no prompt"):
        run(engine, vector, texts=())
    with pytest.raises(BadInput, match="strength other than 0"):
        list(evaluate_price(engine, vector, (0.0,), texts=texts))


def test_text_and_written_prices_by_hand() -> None:
    plain = [Reading(1, 2.0, 0.0), Reading(3, 4.0, 0.0)]
    steered = [Reading(1, 3.0, 0.5), Reading(3, 8.0, 1.5)]
    found = text_price(steered, plain)
    assert (found.nats.value, found.extra.value, found.kl.value) == (6.75, 3.25, 1.25)
    assert text_price([Reading(1, math.nan, 0.0)], plain[:1]) is None
    texts = [
        Writing(10, 1.0, 0.2, (0.5, 0.6, 0.7), 0.1, 1.0, False),
        Writing(30, 2.0, 0.6, (1.0, 1.0, 1.0), 0.3, 3.0, True),
    ]
    written = written_price(texts)
    assert (written.nats.value, written.kl.value) == (1.75, pytest.approx(0.5))
    assert [each.value for each in written.distinct] == pytest.approx([0.75, 0.8, 0.85])
    assert (written.repeated.value, written.compression.value) == (pytest.approx(0.2), 2.0)
    assert (written.tokens.value, written.without_effect) == (20.0, 0.5)
    assert written_price([]) is None
