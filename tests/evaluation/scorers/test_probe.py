"""The probe against text-by-text runs of the model, and what it is told apart by."""

import numpy as np
import pytest
import torch

from sas_core.contrast.collect import Progress, as_messages
from sas_core.contrast.pairs import Pair, PairSet
from sas_core.errors import BadInput, Cancelled
from sas_core.evaluation.scorers import probe as probes
from sas_core.evaluation.scorers.logistic import Fitted, best_strength, fit
from sas_core.evaluation.scorers.probe import Probe, ProbeAccuracy, ProbeScorer, train_probe
from sas_core.steering.engine import Engine

LATER = "blocks.2.hook_resid_post"


def made(count: int, start: int = 0) -> PairSet:
    """Warm sea against late trains; every text another."""
    return PairSet(
        "made",
        tuple(
            Pair(f"Ask {i}", f"The sea is warm {i} and wide.", f"The train was late {i} again.", i + 1)
            for i in range(start, start + count)
        ),
    )


def trained(engine: Engine, pairs: PairSet, **options: object) -> Probe:
    *_, probe = train_probe(engine, pairs, **options)
    return probe


def slow_mean(engine: Engine, prompt: object, text: str, hook_name: str) -> np.ndarray:
    """One text alone through HookedTransformer's own cache; special tokens left out."""
    turns = engine.turns
    ids = turns.encode(prompt).ids
    after = prompt if isinstance(prompt, str) else ""
    more = turns.encode_completion(text, chat=turns.has_template, after=after)
    _, cache = engine.model.run_with_cache(torch.tensor([[*ids, *more]]))
    kept = [len(ids) + i for i, token in enumerate(more) if token not in turns.special_ids]
    return cache[hook_name][0].flatten(1).double()[kept].mean(dim=0).numpy()


def slow_sides(engine: Engine, pairs: PairSet, hook_name: str) -> tuple[np.ndarray, np.ndarray]:
    positive, negative = (
        np.stack([slow_mean(engine, as_messages(p.prompt), getattr(p, side), hook_name) for p in pairs.pairs])
        for side in ("positive", "negative")
    )
    return positive, negative


@pytest.mark.parametrize("hook_name", [None, LATER], ids=["the SAE's hook", "a later hook"])
def test_it_is_a_regression_on_the_mean_residuals_of_the_completions(engine, hook_name) -> None:
    pairs = made(6)
    probe = trained(engine, pairs, hook_name=hook_name)
    at = hook_name or engine.hook_name
    positive, negative = slow_sides(engine, pairs, at)
    x, is_positive = np.concatenate([positive, negative]), np.arange(12) < 6
    l2 = best_strength(x, is_positive, np.arange(12) % 6)
    (expected,) = fit(x, is_positive, (l2,))
    assert (probe.hook_name, probe.l2, probe.pairs) == (at, l2, 6)
    np.testing.assert_allclose(probe.fitted.log_odds(x), expected.log_odds(x), atol=1e-3)


def test_a_text_is_read_after_its_prompt_by_the_unsteered_model(engine) -> None:
    probe = trained(engine, made(6))
    scorer = ProbeScorer(engine, probe)
    talk = ({"role": "user", "content": "Ask"}, {"role": "assistant", "content": "The"})
    for prompt, text in (("Ask 3", "The sea is low."), ("Tell me", "late"), (talk, " sea is low.")):
        mean = slow_mean(engine, prompt, text, engine.hook_name)
        expected = mean @ probe.fitted.weights + probe.fitted.bias
        assert scorer.score(prompt, text) == {"probe": pytest.approx(expected, abs=1e-3)}
    assert scorer.score("Ask 3", "The sea is low.") != scorer.score("Tell me", "The sea is low.")


def test_without_a_template_a_text_is_read_as_it_was_written(raw_engine) -> None:
    probe = trained(raw_engine, made(4))
    ids = [
        *raw_engine.turns.encode("Ask").ids,
        *raw_engine.turns.tokenizer.encode("ing", add_special_tokens=False),
    ]
    _, cache = raw_engine.model.run_with_cache(torch.tensor([ids]))
    start = len(raw_engine.turns.encode("Ask").ids)
    mean = cache[raw_engine.hook_name][0].flatten(1).double()[start:].mean(dim=0).numpy()
    expected = mean @ probe.fitted.weights + probe.fitted.bias
    found = ProbeScorer(raw_engine, probe).score("Ask", "ing")
    assert found == {"probe": pytest.approx(expected, abs=1e-3)}, "no space was put before it"


def test_a_text_without_a_readable_token_has_no_figure(engine) -> None:
    scorer = ProbeScorer(engine, trained(engine, made(4)))
    assert scorer.score("Ask", "") == {}
    assert scorer.score("Ask", "<|im_end|>") == {}
    engine.typical_norm = 1e-9
    assert scorer.score("Ask", "The sea") == {}, "sinks alone"


def test_a_text_longer_than_the_context_is_cut_where_that_ends(engine) -> None:
    scorer = ProbeScorer(engine, trained(engine, made(4)))
    before = engine.turns.encode("Ask").ids
    ids = engine.turns.encode_completion("The sea is warm. " * 60, chat=True)
    assert len(before) + len(ids) > engine.turns.n_ctx
    _, cache = engine.model.run_with_cache(torch.tensor([[*before, *ids][: engine.turns.n_ctx]]))
    mean = cache[engine.hook_name][0].double()[len(before) :].mean(dim=0).numpy()
    expected = mean @ scorer.probe.fitted.weights + scorer.probe.fitted.bias
    found = scorer.score("Ask", "The sea is warm. " * 60)
    assert found == {"probe": pytest.approx(expected, abs=1e-3)}


def test_held_out_pairs_tell_a_good_probe_from_a_bad_one(engine) -> None:
    heldout = made(8, start=20)
    good = trained(engine, made(10)).accuracy(engine, heldout)
    assert good.pairs == 8
    assert good.accuracy.value == good.auroc.value == good.auroc.low == 1.0
    assert not good.at_chance and "chance" not in good.sentence()

    same = [f"The sea is warm {i}." for i in range(40)]
    alike = PairSet("alike", tuple(Pair("Ask", same[i], same[i + 20], i) for i in range(10)))
    other = PairSet("other", tuple(Pair("Ask", same[i + 20], same[i], i) for i in range(10, 20)))
    bad = trained(engine, alike).accuracy(engine, other)
    assert bad.at_chance
    assert bad.sentence().endswith("That is chance: do not go by it.")


def test_accuracy_and_order_are_counted_by_hand_and_bootstrapped_over_pairs(engine, monkeypatch) -> None:
    heldout = made(4, start=20)
    positive, negative = slow_sides(engine, heldout, engine.hook_name)
    direction = np.random.default_rng(1).normal(size=positive.shape[1])
    probe = Probe(engine.hook_name, Fitted(direction, -float(np.median(positive @ direction))), 1.0, 4)
    found = probe.accuracy(engine, heldout)
    p, n = (side @ direction + probe.fitted.bias for side in (positive, negative))
    assert found.accuracy.value == pytest.approx(np.mean([*(p > 0), *(n < 0)]))
    assert found.auroc.value == pytest.approx(np.mean([a > b for a in p for b in n]))
    drawn = np.random.default_rng(0).integers(4, size=(probes.RESAMPLES, 4))
    areas = [np.mean([[(a > b) + (a == b) / 2 for b in n[d]] for a in p[d]]) for d in drawn]
    assert (found.auroc.low, found.auroc.high) == pytest.approx(np.quantile(areas, (0.025, 0.975)))
    assert isinstance(found, ProbeAccuracy)


def test_the_same_pairs_give_the_same_probe_and_progress_is_told(engine) -> None:
    *progress, first = train_probe(engine, made(5))
    second = trained(engine, made(5))
    assert np.array_equal(first.fitted.weights, second.fitted.weights)
    assert progress[-1] == Progress(10, 10)


def test_pairs_that_teach_nothing_are_refused(engine, letters) -> None:
    with pytest.raises(BadInput, match="multiple choice"):
        trained(engine, letters)
    with pytest.raises(BadInput, match="at least two pairs"):
        trained(engine, made(1))
    empty = PairSet("e", (Pair("Ask", "<|im_end|>", "The sea", 1), Pair("Ask", "", "late", 2)))
    with pytest.raises(BadInput, match="readable token"):
        trained(engine, empty)
    with pytest.raises(BadInput, match=r"no hook point named 'blocks\.9"):
        trained(engine, made(3), hook_name="blocks.9.hook_resid_post")


def test_a_pair_with_an_unreadable_side_is_passed_over_whole(engine) -> None:
    damaged = PairSet("d", (*made(5).pairs, Pair("Ask", "The sea", "<|im_end|>", 6)))
    assert trained(engine, damaged).pairs == 5
    assert np.array_equal(
        trained(engine, damaged).fitted.weights.round(6), trained(engine, made(5)).fitted.weights.round(6)
    )


def test_a_newer_request_of_the_session_stops_the_training(engine) -> None:
    training = train_probe(engine, made(40), session="me")
    next(training)
    ticket = engine.queue.enter("me")
    with pytest.raises(Cancelled):
        list(training)
    engine.queue.leave(ticket)
