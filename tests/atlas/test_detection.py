"""Detection: planted latents are read as one thing, scattered ones are not; figures by slow oracles."""

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sas_core.atlas.intervals import area_variance, area_within, share_within
from sas_core.atlas.reading.draw import draw_tasks
from sas_core.atlas.reading.embedding import EmbeddingJudge, judge_hook, own_directions, read_places
from sas_core.atlas.reading.judge import judge_latents
from sas_core.atlas.reading.places import Halves, Place, Pool, Task, Window, halves, shuffled, task_of
from sas_core.atlas.reading.report import Report, Step, scores, spread, told
from sas_core.atlas.reading.words import WordJudge
from sas_core.atlas.store import Atlas
from sas_core.errors import BadInput, Mismatch
from sas_core.model.presets import custom_preset, load_engine
from sas_core.steering.engine import Engine
from tests.atlas.tiny_atlas import brute_force, facts, tiny_atlas, write_atlas
from tests.helpers import D_MODEL, D_SAE

PLANTED = 20
"""Latents 0 to 19 fire where their word ends, 20 to 44 anywhere."""
FEW, EVERYWHERE, DEAD = 45, 46, 47
WORDS = tuple(a + b for a in ("ta", "mo", "ri", "ke", "su") for b in ("l", "n", "x", "v"))


def planted(path: Path, engine: Engine, documents: int = 170, **others: Any) -> Path:
    """An atlas of this engine whose latents are known; every document is one window."""
    draw = np.random.default_rng(0)
    ids, activations = [], []
    for number in range(documents):
        chosen = draw.choice(PLANTED, 4, replace=False).tolist()
        read, codes = _document(engine, chosen, draw)
        codes[:, FEW] = draw.random(len(read)) * (number < 7)
        ids.append(read)
        activations.append(codes)
    made = facts(engine, **{"top_k": 20, "window": 64, "documents": documents, **others})
    expected = brute_force(ids, range(documents), [0] * documents, [[0]] * documents, activations, 20, 0)
    pieces = [engine.turns.tokenizer.decode([token]) for token in range(len(engine.turns.tokenizer))]
    return write_atlas(path, expected, pieces, made)


def _document(engine: Engine, chosen: list[int], draw: np.random.Generator) -> tuple[list[int], np.ndarray]:
    read: list[int] = engine.turns.tokenizer.encode("A:", add_special_tokens=False)
    ends = []
    for word in chosen:
        read += engine.turns.tokenizer.encode(f" {WORDS[word]}", add_special_tokens=False)
        ends.append(len(read) - 1)
    codes = np.where(draw.random((len(read), D_SAE)) < 0.03, draw.random((len(read), D_SAE)), 0.0)
    codes[:, :PLANTED] = 0.0
    for word, end in zip(chosen, ends, strict=True):
        codes[end, word] = 1 + draw.random()
    codes[:, EVERYWHERE] = 1 + draw.random(len(read))
    codes[:, DEAD] = 0.0
    return read, codes


@pytest.fixture(scope="module")
def path(llama_folder: Path, sae_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planted atlas of the usual engine. Read-only."""
    engine = load_engine(custom_preset(str(llama_folder), sae_path=str(sae_folder)), device="cpu")
    return planted(tmp_path_factory.mktemp("planted") / "planted.db", engine)


def judged(engine: Engine, path: Path, sample: int = 30, seed: int = 0) -> tuple[list[Step], Report]:
    with closing(Atlas.open(path)) as atlas:
        *steps, report = judge_latents(engine, atlas, draw_tasks(atlas, sample, seed), seed)
    return steps, report


def test_planted_latents_are_read_as_one_thing_and_scattered_ones_are_not(engine: Engine, path: Path) -> None:
    steps, report = judged(engine, path, 40)
    for judge in ("embedding", "words"):
        of = {each.latent: getattr(each.judged, judge) for each in report.latents}
        one = [reading.top for latent, reading in of.items() if latent < PLANTED]
        scattered = [reading.top.area.value for latent, reading in of.items() if latent >= PLANTED]
        assert len(one) > 10 and len(scattered) > 10
        # the model is a random one: much of what it holds at a place is not of the word there
        found, least = np.mean([each.area.value for each in one]), 0.75 if judge == "embedding" else 0.95
        assert found > least and found - np.mean(scattered) > 0.2, judge
        assert np.mean([each.one_thing for each in one]) > 0.5, judge
        assert np.mean(scattered) == pytest.approx(0.5, abs=0.12), judge
        nobody = [getattr(each, judge).every.area.value for each in report.nobody]
        assert len(nobody) > 20 and np.mean(nobody) == pytest.approx(0.5, abs=0.06), judge
    assert report.directions and report.remarks == ()
    assert {step.sentence for step in steps} == {
        "Following random directions",
        "Reading what is to be judged",
    }
    assert steps[-1].done == steps[-1].total


def test_the_same_seed_gives_the_same_report_and_another_other_latents(engine: Engine, path: Path) -> None:
    first, again, other = (judged(engine, path, 10, seed)[1] for seed in (0, 0, 1))
    assert first == again
    assert [each.latent for each in first.latents] != [each.latent for each in other.latents]


def test_latents_with_few_contexts_and_those_that_are_never_silent_are_counted_and_left_out(
    path: Path,
) -> None:
    with closing(Atlas.open(path)) as atlas:
        found = draw_tasks(atlas, D_SAE - 3, 0)
        assert (found.live, found.tried, found.few, found.everywhere) == (D_SAE - 1, D_SAE - 1, 1, 1)
        assert {task.latent for task in found.tasks} == set(range(D_SAE)) - {FEW, EVERYWHERE, DEAD}
        with pytest.raises(BadInput, match="smaller --sample"):
            draw_tasks(atlas, D_SAE, 0)


def test_places_against_are_peaks_of_others_in_windows_where_the_latent_is_silent(path: Path) -> None:
    with closing(Atlas.open(path)) as atlas:
        found = draw_tasks(atlas, 30, 0)
        contexts = {latent: atlas.contexts(latent) for latent in range(D_SAE)}
    fires = Counter((c.window, latent) for latent, some in contexts.items() for c in some)
    peaks = {(c.window, c.peak) for some in contexts.values() for c in some}
    for task in found.tasks:
        against = task.top_against + task.sampled_against
        assert (len(task.top_against), len(task.sampled_against)) == (len(task.top), len(task.sampled))
        assert all((place.window, place.position) in peaks for place in against)
        assert not any(fires[place.window, task.latent] for place in against)
        assert len({place.window for place in task.places}) == len(task.places)
        taught = {place.document for place in task.learn}
        assert not taught & {place.document for place in task.places[len(task.learn) :]}
        own = {(c.window, c.peak): c.band for c in contexts[task.latent]}
        assert all((place.window, place.position) in own for place in task.learn + task.top + task.sampled)


def place(window: int, document: int | None = None, ending: tuple[int, ...] = ()) -> Place:
    return Place(window, window if document is None else document, 3, ending)


def test_documents_take_turns_and_what_was_learnt_is_not_asked_again() -> None:
    top = [place(at, at // 2, (at, 1)) for at in range(20)]
    sampled = [
        place(30, 0),  # of a document that is learnt from
        place(31, 90, (4, 1)),  # ends as one that is
        place(2, 1),  # asked already
        *(place(at, at) for at in range(40, 64)),
    ]
    found = halves(top, sampled)
    assert found is not None
    assert [p.document for p in found.learn] == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]
    assert [p.document for p in found.top] == [1, 1, 3, 3, 5, 5, 7, 7, 9, 9]
    assert [p.window for p in found.sampled] == list(range(40, 64, 3))


def test_of_one_document_nothing_can_be_learnt_and_asked() -> None:
    assert halves([place(at, 0) for at in range(20)], []) is None
    assert halves([place(at) for at in range(9)], []) is None
    assert halves([place(at) for at in range(10)], []) is not None


def test_without_enough_silent_windows_there_is_no_task() -> None:
    own = Halves(*(tuple(place(at) for at in part) for part in ((0, 1, 2), (3, 4, 5), (6, 7))))
    pool = Pool(tuple(map(place, range(20))), tuple(map(place, range(20))))
    draw = np.random.default_rng(0)
    made = task_of(1, own, pool, lambda window: window < 13, draw)
    assert made and {p.window for p in made.top_against + made.sampled_against} == set(range(8, 13))
    assert task_of(1, own, pool, lambda window: window < 12, draw) is None
    assert shuffled(made, pool, draw) is None


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        high, low = draw.integers(0, 6, 7) + 1.0, draw.integers(0, 6, 9) + 0.0
        pairs = [1.0 if h > n else 0.5 if h == n else 0.0 for h in high for n in low]
        found = told(high, low)
        assert found.area.value == pytest.approx(np.mean(pairs)) and found.count == 7


def slow_variance(area: float, n: int, m: int) -> float:
    """Of Mann and Whitney's statistic where both sides are exponential, as Hanley and McNeil took them."""
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    return (area * (1 - area) + (n - 1) * (q1 - area**2) + (m - 1) * (q2 - area**2)) / (n * m)


@pytest.mark.parametrize(("area", "n", "m"), [(0.5, 10, 10), (0.8, 10, 30), (1.0, 10, 10), (0.03, 6, 5)])
def test_the_interval_of_an_area_holds_every_truth_that_does_not_surprise(
    area: float, n: int, m: int
) -> None:
    truths = np.linspace(0, 1, 100_001)
    near = [t for t in truths if abs(area - t) <= 1.959964 * math.sqrt(slow_variance(t, n, m))]
    found = area_within(area, n, m)
    assert (found.low, found.high) == pytest.approx((min(near), max(near)), abs=2e-5)
    assert found.low <= area <= found.high and found.low < 1


def test_the_variance_of_an_area_is_that_of_exponential_scores() -> None:
    draw = np.random.default_rng(0)
    rate, n, m = 4.0, 8, 12
    high, low = draw.exponential(rate, (20_000, n, 1)), draw.exponential(1.0, (20_000, 1, m))
    areas = (high > low).mean(axis=(1, 2))
    assert areas.mean() == pytest.approx(rate / (1 + rate), abs=0.005)
    assert area_variance(rate / (1 + rate), n, m) == pytest.approx(areas.var(), rel=0.05)


def test_a_share_has_wilsons_interval() -> None:
    found = share_within(8, 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert share_within(0, 10).low == 0 and share_within(10, 10).high == pytest.approx(1)
    assert share_within(10, 10).low == pytest.approx(10 / (10 + 1.959964**2))


def test_one_thing_needs_a_large_area_that_is_not_chance() -> None:
    ordered = np.arange(10.0)
    assert told(ordered + 20, ordered).one_thing
    assert not told(ordered, ordered).one_thing
    few = told(np.array([3.0, 1.0]), np.array([0.0, 0.5]))
    assert few.area.value == 1 and few.area.low < 0.5 and not few.one_thing
    many = np.arange(100.0)
    below = told(many + 20, many)
    assert below.area.low > 0.5 and below.area.value < 0.8 and not below.one_thing


def test_the_spread_counts_and_has_the_nine_deciles() -> None:
    ordered = np.arange(10.0)
    found = spread([told(ordered + shift, ordered) for shift in range(21)])
    areas = sorted(told(ordered + shift, ordered).area.value for shift in range(21))
    assert found.count == 21 and found.mean == pytest.approx(np.mean(areas))
    assert found.deciles == pytest.approx(areas[2:20:2]) and found.median == pytest.approx(areas[10])
    assert found.one_thing and found.one_thing.value == pytest.approx(np.mean([a >= 0.8 for a in areas]))
    assert spread([]).one_thing is None and spread([]).deciles == ()


def test_scores_are_told_of_the_latents_that_have_one() -> None:
    found = scores([None, 0.0, 0.05, 0.2, 0.01, None, 0.4])
    assert (found.count, found.quartiles) == (5, pytest.approx((0.01, 0.05, 0.2)))
    assert found.above == pytest.approx((0.6, 0.4))
    assert scores([None]).count == 0


def whole(engine: Engine, hook_name: str, ids: Sequence[int]) -> torch.Tensor:
    with torch.no_grad():
        return engine.model.run_with_cache(torch.tensor([list(ids)]))[1][hook_name][0]


@pytest.mark.parametrize("which", ["engine", "raw_engine"])
def test_a_place_is_half_its_own_residual_and_half_the_mean_around_it(which: str, request) -> None:
    engine = request.getfixturevalue(which)
    draw = np.random.default_rng(0)
    windows = {
        number: Window(
            number, number, tuple(draw.integers(3, 300, size).tolist()), ("a",) * size, frozenset({0, 7})
        )
        for number, size in enumerate((40, 9, 25, 1 + 8, 33))
    }
    places = [Place(number, number, at) for number in windows for at in (1, 5, 8)] + [Place(0, 0, 36)]
    hook_name = judge_hook(engine)
    *_, held = read_places(engine, hook_name, windows, places)
    assert hook_name != engine.hook_name and set(held) == set(places)
    for each in places:
        residual = whole(engine, hook_name, windows[each.window].ids)
        near = [at for at in range(len(residual)) if -10 <= at - each.position <= 5 and at not in (0, 7)]
        expected = (residual[near].mean(dim=0) + residual[each.position]) / 2
        np.testing.assert_allclose(held[each], expected.numpy(), rtol=1e-3, atol=1e-4)


def task(learn: Sequence[Place], asked: Sequence[Place]) -> Task:
    return Task(None, tuple(learn), tuple(asked), (), (), ())


def test_likeness_is_the_cosine_with_what_was_learnt_and_forgets_the_latents_own_directions() -> None:
    draw = np.random.default_rng(0)
    places = [place(at) for at in range(12)]
    held = {each: draw.normal(3.0, 2.0, D_MODEL) for each in places}
    asked, own = places[5:], draw.normal(size=(2, D_MODEL))
    usual = np.stack([held[each] for each in asked])

    def slow(vector: np.ndarray, taken: np.ndarray | None) -> np.ndarray:
        seen = vector - usual.mean(axis=0)
        if taken is not None:
            seen = seen - np.linalg.pinv(taken) @ (taken @ seen)
        seen = seen / usual.std(axis=0)
        return seen / np.sqrt((seen**2).sum())

    for taken in (None, own):
        learnt = sum(slow(held[each], taken) for each in places[:5])
        expected = [float(slow(held[each], taken) @ learnt) / np.sqrt(learnt @ learnt) for each in asked]
        found = EmbeddingJudge(held, asked).likeness(task(places[:5], asked), asked, taken)
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    traced = held | {each: held[each] + 50 * own[0] - 9 * own[1] for each in places[:5]}
    one, other = (
        EmbeddingJudge(some, asked).likeness(task(places[:5], asked), asked, own) for some in (held, traced)
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_latents_own_directions_are_what_it_reads_and_writes(engine: Engine) -> None:
    sae = engine.dictionary.sae
    found = own_directions(engine, [3, 17])
    for row, latent in zip(found, (3, 17), strict=True):
        np.testing.assert_allclose(row[0], sae.W_enc[:, latent].numpy(), rtol=1e-6)
        np.testing.assert_allclose(row[1], sae.W_dec[latent].numpy(), rtol=1e-6)


def test_words_are_compared_by_how_rare_they_are_and_the_one_at_the_place_counts_fourfold() -> None:
    texts = (
        "the | sea| was| wide|.",
        "The| SEA| rose|,| the| wind",
        "a| book| of| the| sea",
        "no| book|\n| at all",
    )
    windows = {
        at: Window(at, at, tuple(range(len(text.split("|")))), tuple(text.split("|")), frozenset())
        for at, text in enumerate(texts)
    }
    places = [Place(at, at, 1) for at in windows]
    words = (
        {"the": 1, "sea": 4, "was": 1, "wide": 1, ".": 1},
        {"the": 2, "sea": 4, "rose": 1, ",": 1, "wind": 1},
        {"a": 1, "book": 4, "of": 1, "the": 1, "sea": 1},
        {"no": 1, "book": 4, "\n": 1, "at": 1, "all": 1},
    )
    every = sorted({word for counted in words for word in counted})
    rarity = {word: math.log(5 / (1 + sum(word in counted for counted in words))) for word in every}
    rows = np.array([[counted.get(word, 0) * rarity[word] for word in every] for counted in words])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = WordJudge(windows, places).likeness(task(places[:2], places), places)
    np.testing.assert_allclose(found, rows @ (rows[0] + rows[1]), rtol=1e-9)
    assert found[1] > found[2] > found[3] == 0


def test_without_an_output_score_the_rest_is_told(engine: Engine, path: Path) -> None:
    engine.typical_norm = 1e-6
    report = judged(engine, path, 5)[1]
    assert "no output score" in report.remarks[0]
    assert [each.output_score for each in report.latents] == [None] * 5


def test_an_atlas_of_another_sae_is_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="another SAE"):
        judged(engine, planted(tmp_path / "other.db", engine, sae_sha256="b" * 64), 5)


def test_an_atlas_of_little_text_is_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="atlas of more text"):
        judged(engine, tiny_atlas(tmp_path / "tiny.db", engine=engine), 5)


def test_a_model_of_one_block_has_no_other_place_to_judge_from(engine: Engine, monkeypatch) -> None:
    monkeypatch.setattr(engine, "hook_name", "blocks.0.hook_resid_post")
    assert judge_hook(engine) == "blocks.2.hook_resid_post"
    monkeypatch.setattr(engine.model.cfg, "n_layers", 1)
    with pytest.raises(BadInput, match="one block"):
        judge_hook(engine)
