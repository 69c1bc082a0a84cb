"""The smallest part of a vector on a tiny model: every figure against a plain loop over the full SAE."""

import dataclasses
import itertools
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from sas_core.contrast.pairs import Pair, PairSet
from sas_core.errors import BadInput, Cancelled, Mismatch, NoEffect
from sas_core.evaluation import completions
from sas_core.evaluation.subset.search import Step, SubsetReport, smallest_subset
from sas_core.evaluation.sweep.summary import dev_units
from sas_core.steering.engine import Engine
from sas_core.steering.spec import Steering, Term
from sas_core.vectors.build import latents_file, steering_of
from sas_core.vectors.fields import VectorFile
from tests.evaluation.plain import plain_change

SCALE = 3.0
SIDES = (
    ("Tell me about your day.", "We walked along the warm river.", "The train was late."),
    ("What is the sea like?", "It is low and warm in autumn.", "It is late this morning again."),
    ("Tell me more.", "In most years the sun is kind.", "In winter the book is late."),
    ("And then?", "The river is wide.", "The harvest begins in autumn."),
    ("What of the book?", "She had lent me the book.", "The days are still warm."),
)  # fmt: skip


@pytest.fixture
def moved(engine: Engine, vector: VectorFile) -> PairSet:
    """Pairs whose margin the vector raises at SCALE, each turned so that it does."""
    pairs = tuple(Pair(*sides, row) for row, sides in enumerate(SIDES, 1))
    change = plain_change(engine, PairSet("", pairs), steering_of(vector, SCALE))
    return PairSet(
        "weather (held out)",
        tuple(
            p if up > 0 else dataclasses.replace(p, positive=p.negative, negative=p.positive)
            for p, up in zip(pairs, change, strict=True)
        ),
    )


def measured(engine: Engine, vector: VectorFile, pairs: PairSet, **options: Any) -> SubsetReport:
    *_, report = smallest_subset(engine, vector, pairs, SCALE, **options)
    return report


def halves(pairs: PairSet) -> tuple[PairSet, PairSet]:
    dev = dev_units(len(pairs), 0.5, 0)
    return tuple(
        dataclasses.replace(pairs, pairs=tuple(p for p, d in zip(pairs.pairs, dev, strict=True) if d == half))
        for half in (True, False)
    )


def plain_effect(engine: Engine, vector: VectorFile, pairs: PairSet, latents: Sequence[int]) -> float:
    """Mean change of the margin with these latents of the vector alone."""
    if not latents:
        return 0.0
    values = {f.index: f.value for f in vector.features}
    steering = Steering((Term("part", tuple(latents), tuple(values[i] for i in latents)),), SCALE)
    change = plain_change(engine, pairs, steering)
    return sum(change) / len(change)


def test_every_figure_equals_the_plain_loop(engine, vector, moved) -> None:
    report = measured(engine, vector, moved, keep=0.8)
    dev, test = halves(moved)
    assert (report.dev, report.test, report.size) == (len(dev), len(test), 5) == (2, 3, 5)
    chosen = [latent.index for latent in report.latents]
    assert 2 <= len(chosen) < 5, "the case says nothing when all or one is left"

    def effect(pairs: PairSet, latents: Sequence[int]) -> Any:
        return pytest.approx(plain_effect(engine, vector, pairs, latents), abs=1e-4)

    every = [f.index for f in vector.features]
    assert report.full_dev == effect(dev, every)
    assert report.subset_dev == effect(dev, chosen)
    assert report.full.value == effect(test, every)
    assert report.subset.value == effect(test, chosen)
    for latent in report.latents:
        rest = [i for i in chosen if i != latent.index]
        assert report.subset_dev - latent.lost_dev == effect(dev, rest)
        assert report.subset.value - latent.lost.value == effect(test, rest)
        assert latent.alone.value == effect(test, [latent.index])
    for met in report.interference.meetings:
        assert met.both.value == effect(test, [met.one, met.other])
        own = [plain_effect(engine, vector, test, [i]) for i in (met.one, met.other)]
        assert met.extra.value == pytest.approx(met.both.value - sum(own), abs=1e-4)
    assert len(report.interference.meetings) == len(chosen) * (len(chosen) - 1) / 2
    assert max(abs(met.extra.value) for met in report.interference.meetings) > 1e-4


def test_the_share_stays_on_the_half_that_chose_and_no_single_latent_can_go(engine, vector, moved) -> None:
    report = measured(engine, vector, moved, keep=0.8)
    dev, _ = halves(moved)
    chosen = list(report.values())
    full = plain_effect(engine, vector, dev, [f.index for f in vector.features])
    assert plain_effect(engine, vector, dev, chosen) / full >= 0.8
    for index in chosen:
        assert plain_effect(engine, vector, dev, [i for i in chosen if i != index]) / full < 0.8


def test_random_parts_have_the_size_of_the_subset_and_come_from_the_same_vector(
    engine, vector, moved
) -> None:
    report = measured(engine, vector, moved, keep=0.8, seeds=4)
    _, test = halves(moved)
    every = [f.index for f in vector.features]
    size = len(report.latents)
    possible = [
        plain_effect(engine, vector, test, part)
        for part in itertools.combinations(every, size)
    ]  # fmt: skip
    assert len(report.random) == 4
    for part in report.random:
        assert min(abs(part.value - each) for each in possible) < 1e-4
    assert len({round(part.value, 5) for part in report.random}) > 1


def test_latents_stand_in_the_order_of_what_is_lost_without_them(engine, vector, moved) -> None:
    report = measured(engine, vector, moved, keep=1.0)
    lost = [latent.lost_dev for latent in report.latents]
    assert lost == sorted(lost, reverse=True)
    values = {f.index: f.value for f in vector.features}
    assert report.values() == {latent.index: values[latent.index] for latent in report.latents}


def test_only_the_most_needed_latents_are_tried_two_at_a_time(engine, vector, moved) -> None:
    report = measured(engine, vector, moved, keep=0.99, strongest=2)
    first, second = report.latents[:2]
    (met,) = report.interference.meetings
    assert (met.one, met.other) == (first.index, second.index)


def test_the_same_call_gives_the_same_report(engine, vector, moved) -> None:
    assert measured(engine, vector, moved) == measured(engine, vector, moved)


def test_rows_run_in_several_parts_give_the_same_report(engine, vector, moved, monkeypatch) -> None:
    whole = measured(engine, vector, moved, keep=0.8)
    monkeypatch.setattr(completions, "_ROWS", 2)
    parted = measured(engine, vector, moved, keep=0.8)
    assert parted.rounds == whole.rounds
    assert list(parted.values()) == list(whole.values())
    assert parted.subset.value == pytest.approx(whole.subset.value, abs=1e-5)
    assert parted.interference.alone[0].low == pytest.approx(whole.interference.alone[0].low, abs=1e-5)


def test_the_vectors_own_nonlinearity_and_steered_tokens_are_used(engine, vector, moved) -> None:
    wider = vector.model_copy(update={"steered_tokens": "all"})
    assert measured(engine, wider, moved).full.value != pytest.approx(
        measured(engine, vector, moved).full.value, abs=1e-3
    )


def test_latents_without_a_value_are_not_counted(engine, vector, moved) -> None:
    more = (*vector.features, vector.features[0].model_copy(update={"index": 50, "value": 0.0}))
    padded = vector.model_copy(update={"features": more})
    assert measured(engine, padded, moved) == measured(engine, vector, moved)
    empty = vector.model_copy(update={"features": (more[-1],)})
    with pytest.raises(BadInput, match="Every value"):
        measured(engine, empty, moved)


def test_steps_count_the_pairs_of_a_pass_and_say_how_many_latents_are_left(engine, vector, moved) -> None:
    *steps, report = smallest_subset(engine, vector, moved, SCALE, keep=0.8)
    assert all(isinstance(step, Step) for step in steps)
    assert (steps[0].done, steps[0].total, steps[0].left, steps[0].kept) == (1, 2, 5, 1.0)
    left = [step.left for step in steps]
    assert left == sorted(left, reverse=True)
    assert (steps[-1].done, steps[-1].total, steps[-1].left) == (3, 3, len(report.latents))
    assert steps[-1].kept == pytest.approx(report.subset_dev / report.full_dev)


def test_closing_it_leaves_no_ticket(engine, vector, moved) -> None:
    with closing(smallest_subset(engine, vector, moved, SCALE)) as events:
        next(events)
        assert len(engine.queue) == 0
    assert len(engine.queue) == 0


def test_a_newer_request_of_the_session_stops_it_while_it_waits(engine, vector, moved) -> None:
    with engine.turn("somebody") as ticket:
        assert ticket.wait(1.0)
        events = smallest_subset(engine, vector, moved, SCALE, session="mine")
        assert next(events).waiting == 1
        with engine.turn("mine"), pytest.raises(Cancelled):
            list(events)


def test_a_vector_that_moves_the_pairs_the_wrong_way_has_no_effect_to_keep(engine, vector, moved) -> None:
    turned = tuple(
        dataclasses.replace(p, positive=p.negative, negative=p.positive) for p in moved.pairs
    )  # fmt: skip
    with pytest.raises(NoEffect, match="no effect to keep"):
        measured(engine, vector, dataclasses.replace(moved, pairs=turned))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"keep": 0.0}, "above 0"),
        ({"keep": 1.5}, "above 0, up to 1"),
        ({"keep": float("nan")}, "above 0"),
        ({"strongest": 0}, "choose 1 to 40"),
        ({"seeds": 0}, "0 random parts"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_measured(
    engine, vector, moved, options, sentence
) -> None:
    with pytest.raises(BadInput, match=sentence):
        measured(engine, vector, moved, **options)


def test_strength_zero_is_refused(engine, vector, moved) -> None:
    with pytest.raises(BadInput, match="strength other than 0"):
        list(smallest_subset(engine, vector, moved, 0.0))


def test_one_usable_pair_is_too_few_to_choose_and_to_report(engine, vector, moved) -> None:
    same = Pair("Tell me.", "same", "same", 9)
    few = dataclasses.replace(moved, pairs=(moved.pairs[0], same))
    with pytest.raises(BadInput, match="1 usable pairs"):
        measured(engine, vector, few)


def test_a_vector_of_another_sae_is_refused(engine, vector, moved) -> None:
    other = vector.model_copy(update={"sae": vector.sae.model_copy(update={"sha256": "0" * 64})})
    with pytest.raises(Mismatch, match="weather"):
        measured(engine, other, moved)


def test_a_vector_of_one_latent_is_its_own_subset(engine, moved) -> None:
    alone = latents_file(engine, "one", {2: 1.5}, verify=False)
    dev, _ = halves(moved)
    if plain_effect(engine, alone, dev, [2]) <= 0:
        alone = latents_file(engine, "one", {2: -1.5}, verify=False)
    report = measured(engine, alone, moved)
    assert [latent.index for latent in report.latents] == [2]
    assert report.latents[0].lost.value == pytest.approx(report.subset.value, abs=1e-5)
    assert report.interference.meetings == ()
    assert report.random[0] == report.subset == report.full
