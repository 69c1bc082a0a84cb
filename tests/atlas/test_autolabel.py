"""Automatic labels find planted rules, are silent on random latents, never tested on what made them."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sas_core.atlas.autolabel import summary, table
from sas_core.atlas.autolabel.features import read_features
from sas_core.atlas.autolabel.label import FEW, MOST_CHARS, UNCLEAR, Labeller, in_words
from sas_core.atlas.autolabel.make import affordable, relabel
from sas_core.atlas.autolabel.passages import AGAINST_AT_MOST, Contexts, Corpus, contexts_of
from sas_core.atlas.autolabel.rules import PRICE, ROWS, Rule, RuleMaker, balanced
from sas_core.atlas.autolabel.spelling import CLASSES, read_spelling
from sas_core.atlas.labels import LabelBook
from sas_core.atlas.search import by_words
from sas_core.atlas.store import Atlas, read_made_of
from sas_core.atlas.types import AUTO_KINDS, AutoLabel, Filter
from sas_core.errors import BadInput
from tests.atlas import planted as plant
from tests.atlas.tiny_atlas import facts, tiny_atlas


@pytest.fixture(scope="module")
def made():
    return plant.planted()


@pytest.fixture(scope="module")
def bare(made, tmp_path_factory) -> Path:
    """Without labels, as an older release wrote it."""
    path = plant.planted_atlas(tmp_path_factory.mktemp("planted") / "bare.db", made)
    without_table(path)
    return path


@pytest.fixture(scope="module")
def path(bare, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("labelled") / "a.db"
    shutil.copy(bare, path)
    *_, last = relabel(path)
    assert 0 <= last < 1
    return path


@pytest.fixture(scope="module")
def labels(path) -> dict[int, AutoLabel]:
    with closing(Atlas.open(path)) as atlas:
        return dict(atlas.every_auto_label())


@pytest.fixture(scope="module")
def corpus(path) -> Corpus:
    with closing(sqlite3.connect(path)) as db:
        return Corpus(db, 0, plant.DOCUMENTS)


@pytest.fixture(scope="module")
def contexts(path) -> list[Contexts]:
    with closing(sqlite3.connect(path)) as db:
        return list(contexts_of(db, plant.RANDOM.stop))


def without_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE auto_labels")
        db.execute("DROP TABLE auto_labels_fts")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm007_automatic_labels'")


def rows(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT * FROM auto_labels ORDER BY latent").fetchall()


# What is found


@pytest.mark.parametrize(
    ("latent", "kind", "texts"),
    [
        (plant.SEA, "words", {"“sea”, “ocean”", "“ocean”, “sea”"}),
        (plant.ENDING, "pieces", {"“-ing”"}),
        (plant.NUMBER, "class", {"numbers"}),
        (plant.AFTER, "after", {"after “the”"}),
        (plant.TOPIC, "topic", {f"in texts with “{word.strip()}”" for word in plant.SCHOOL}),
        (plant.WEAK, "words", {"“lamp”"}),
        (plant.SPLIT, "words", {"“harbour”"}),
    ],
)
def test_a_planted_rule_is_found_and_holds_where_it_was_not_made(labels, latent, kind, texts):
    label = labels[latent]
    assert label.kind == kind and label.text.lower() in texts
    # a text about school may mention it outside the passage
    assert label.clear and label.confidence >= (0.8 if kind == "topic" else 1.0)
    assert 0.5 < label.low < label.confidence <= label.high + 1e-9 and label.tested >= 10


def test_of_random_latents_hardly_any_gets_a_label(labels):
    said = [labels[latent] for latent in plant.RANDOM]
    # an interval of 95 % is above chance for one in forty of those of which nothing is true
    assert sum(label.clear for label in said) <= 3
    assert all(label.text == UNCLEAR for label in said if not label.clear)
    assert 0.4 < np.mean([label.confidence for label in said]) < 0.6


def test_shuffling_which_contexts_belong_to_which_latent_leaves_chance(corpus, contexts):
    random = np.random.default_rng(1)
    windows = np.concatenate([one.windows for one in contexts])
    labeller, found = Labeller(corpus.features), []
    for one in contexts:
        drawn = random.choice(len(windows), len(one.windows))
        peaks = random.integers(0, plant.LENGTH, len(drawn))
        if len(one.windows):
            found.append(labeller.label(*corpus.of(replace(one, windows=windows[drawn], peaks=peaks))))
    tested = [label for label in found if label.confidence is not None]
    assert len(tested) > 40 and sum(label.clear for label in tested) <= 4
    assert abs(np.mean([label.confidence for label in tested]) - 0.5) < 0.05


def test_too_few_texts_are_said_and_the_dead_get_nothing(labels):
    assert labels[plant.RARE] == AutoLabel(FEW, "few", None, None, None, 0)
    assert "too few" in labels[plant.RARE].said and not labels[plant.RARE].clear
    assert plant.DEAD not in labels and len(labels) == plant.RANDOM.stop - 1


# What it is made from, and tested on


def test_no_document_is_in_both_halves_and_no_passage_of_the_others_holds_the_latent(corpus, contexts, made):
    for one in contexts:
        made_from, held_out = corpus.of(one)
        both = set(documents(made_from.firing)) & set(documents(held_out.firing))
        assert not both and not set(documents(made_from.silent)) & set(documents(held_out.silent))
        for half in (made_from, held_out):
            assert all(made.codes[d][:, one.latent].max() == 0 for d in documents(half.silent))
        assert len(held_out.silent) <= len(held_out.firing) and len(made_from.silent) <= AGAINST_AT_MOST


def documents(passages: np.ndarray) -> list[int]:
    return (passages[:, 0] // plant.LENGTH).tolist()


def test_the_passages_are_those_in_which_it_fires_strongly_each_with_its_peak(corpus, contexts, made):
    for one in contexts:
        strongest = sorted((float(codes[:, one.latent].max()) for codes in made.codes), reverse=True)
        least = 0.5 * np.median([value for value in strongest[: plant.TOP_K] if value > 0] or [0])
        for half in corpus.of(one):
            for passage, peak in zip(half.firing, half.peaks, strict=True):
                column = made.codes[peak // plant.LENGTH][:, one.latent]
                assert peak in passage and column[peak % plant.LENGTH] == column.max() >= least


def test_the_held_out_half_has_no_part_in_the_rule(corpus, contexts):
    labeller = Labeller(corpus.features)
    halves = {one.latent: corpus.of(one) for one in contexts}
    for latent in (plant.SEA, plant.ENDING, plant.TOPIC):
        made_from, held_out = halves[latent]
        mine = labeller.label(made_from, held_out)
        order = np.random.default_rng(0).permutation(len(held_out.firing))
        mixed = replace(held_out, firing=held_out.firing[order], peaks=held_out.peaks[order])
        assert labeller.label(made_from, mixed) == mine
        another = labeller.label(made_from, halves[plant.NUMBER][1])
        assert not another.clear and another.confidence < 0.7


def test_the_confidence_is_the_balanced_accuracy_of_the_rule_read_as_text(corpus, contexts, labels, made):
    for latent, words in ((plant.SEA, {"sea", "ocean"}), (plant.WEAK, {"lamp"})):
        _, held_out = corpus.of(contexts[latent])
        told = [text_at(made, peak) in words for peak in held_out.peaks.tolist()]
        quiet = [
            not words
            & {text_at(made, position) for position in passage if position < corpus.features.nowhere}
            for passage in held_out.silent.tolist()
        ]
        slow = (sum(told) / len(told) + sum(quiet) / len(quiet)) / 2
        assert labels[latent].confidence == slow and labels[latent].tested == len(told) + len(quiet)


def text_at(made: plant.Planted, position: int) -> str:
    return made.pieces[made.ids[position // plant.LENGTH][position % plant.LENGTH]].strip().lower()


def test_the_best_rule_has_what_it_needs_and_no_more_and_prices_prefer_the_simple(corpus, contexts):
    best = RuleMaker(corpus.features).best(corpus.of(contexts[plant.SEA])[0])
    assert best is not None and best.kind == "words" and len(best.items) == 2
    assert PRICE["class"] < PRICE["words"] < PRICE["pieces"] < PRICE["after"] < PRICE["topic"]
    assert set(PRICE) == {*ROWS, "class"} and set(AUTO_KINDS) == {*PRICE, "unclear", "few"}


def test_balanced_accuracy_weighs_both_sides_alike():
    assert balanced((np.array([True, False]), np.array([True] * 8))) == 0.75


# What stands at a position


def test_words_run_over_their_tokens_and_specials_are_nothing():
    pieces = ["<|im_start|>", "ass", "istant", "\n", "I", "'m", " Cafés", " ", "1", "9", " (", "x", " CAFES"]
    counted = np.array([False] + [True] * 12)
    features = read_features(read_spelling(pieces), np.arange(13), np.array([0]), counted)
    read = [features.name(number) if number else "" for number in features.ids[0, :13]]
    assert read[:7] == ["", "assistant", "assistant", "[line break]", "I", "'m", "Cafés"]
    assert read[7:] == ["19", "19", "19", "(", "x", "Cafés"]
    pair, before = (features.name(features.ids[row, 5]) for row in (1, 5))
    assert (pair, before) == ("I 'm", "I")
    assert features.name(features.ids[2, 2]) == "-istant" and features.ids[2, 4] == 0
    answer = features.classes[:13] >> CLASSES.index("the first word of the model's answer") & 1
    assert answer.tolist() == [0] * 4 + [1] + [0] * 8
    assert not features.ids[:, 0].any() and not features.ids[:, features.nowhere].any()


def test_a_topic_is_named_by_words_that_few_windows_have():
    windows, pieces = 40, [" and", " (", " harbour", " boats"]
    ids = np.tile([0, 1], windows)
    ids[[3, 5]], ids[1] = 2, 3
    features = read_features(read_spelling(pieces), ids, np.arange(0, len(ids), 2), np.ones(len(ids), bool))
    topical = {features.name(int(number)) for number in features.topical.nonzero()[0]}
    # in two of forty windows, and in one; "(" has no letter and "and" is in every one
    assert topical == {"harbour", "boats"}


def test_a_part_of_a_character_is_named_for_what_it_is():
    spelling = read_spelling([" \ufffd", "\ufffd", "a"])
    first, second = (spelling.written[number] for number in spelling.letters[:2])
    assert first == second == "[part of a character]"


@pytest.mark.parametrize(
    ("piece", "name"),
    [
        (" 12", "numbers"), ("\n\n", "line breaks"), (" (", "brackets"), ("“", "quotation marks"),
        (",", "punctuation"), (" =>", "operators and signs"), ("    ", "indentation"),
        (" naïve", "letters outside English"), (" Sea", "capitalised words"), (" NASA", "words in capitals"),
    ],
)  # fmt: skip
def test_a_token_belongs_to_the_class_that_its_letters_say(piece, name):
    classes = int(read_spelling([piece]).classes[0])
    assert [each for bit, each in enumerate(CLASSES) if classes >> bit & 1] == [name]


def test_a_label_is_short_and_leaves_out_what_does_not_fit(corpus):
    every = tuple(range(1, 12))
    for kind in ("words", "after", "topic"):
        text = in_words(corpus.features, Rule(kind, every))
        assert len(text) <= MOST_CHARS and text.count("“") < len(every)


# In the file


def test_an_atlas_of_an_older_release_opens_without_labels_and_can_be_given_some(bare, path, tmp_path):
    with closing(Atlas.open(bare)) as atlas:
        assert atlas.auto_labels([0, 1]) == {} and atlas.every_auto_label() == ()
        assert atlas.latent(0).auto is None and atlas.rows([0])[0].auto is None
        assert by_words(atlas, "sea")[0].how == "words"
    copy = tmp_path / "again.db"
    shutil.copy(bare, copy)
    for _ in relabel(copy):
        pass
    assert rows(copy) == rows(path)
    for _ in relabel(copy):
        pass
    assert rows(copy) == rows(path)


def test_a_stopped_labelling_leaves_what_was_there(path, bare, tmp_path):
    for source, before in ((path, rows(path)), (bare, [])):
        copy = tmp_path / source.name
        shutil.copy(source, copy)
        steps = relabel(copy)
        next(steps)
        steps.close()
        assert rows(copy) == before


def test_an_unfinished_or_damaged_atlas_is_refused(tmp_path, bare):
    with pytest.raises(BadInput, match="not finished"):
        next(relabel(tiny_atlas(tmp_path / "half.db", finished=None)))
    copy = tmp_path / "damaged.db"
    shutil.copy(bare, copy)
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute("DELETE FROM windows WHERE id % 2")
    with pytest.raises(BadInput, match="damaged"):
        list(relabel(copy))


def test_an_atlas_in_which_nothing_fires_has_no_labels(tmp_path):
    path = tiny_atlas(tmp_path / "dead.db")
    with closing(sqlite3.connect(path)) as db, db:
        for name in ("contexts", "windows", "cofiring"):
            db.execute(f"DELETE FROM {name}")
    list(relabel(path))
    assert rows(path) == []


def test_a_card_a_row_and_a_request_for_many_say_the_same(path, labels):
    with closing(Atlas.open(path)) as atlas:
        wanted = [plant.SEA, plant.DEAD, plant.RARE]
        assert atlas.auto_labels(wanted) == {at: labels[at] for at in wanted if at in labels}
        assert [row.auto for row in atlas.rows(wanted)] == [labels.get(at) for at in wanted]
        assert [atlas.latent(at).auto for at in wanted] == [labels.get(at) for at in wanted]


def test_words_find_the_users_labels_then_automatic_ones_then_contexts(path, tmp_path):
    with closing(LabelBook(tmp_path / "l.db")) as book, closing(Atlas.open(path, book)) as atlas:
        book.put(atlas.made_of.sae_sha256, plant.NUMBER, "not the sea")
        hits = by_words(atlas, "sea", limit=6)
        assert [(hit.row.index, hit.how) for hit in hits[:2]] == [
            (plant.NUMBER, "label"),
            (plant.SEA, "auto"),
        ]
        assert {hit.how for hit in hits[2:]} == {"words"} and hits[1].score == 1.0
        assert len({hit.row.index for hit in hits}) == 6
        assert [hit.row.index for hit in by_words(atlas, "sea", limit=3, offset=1)] == [
            hit.row.index for hit in hits[1:4]
        ]
        assert atlas.count(Filter(label="labelled")) == 1
        assert all(hit.how != "auto" for hit in by_words(atlas, "pattern"))


def test_one_search_of_the_table_gives_the_surest_first(path):
    with closing(sqlite3.connect(path)) as db:
        found = table.found(db, '"the" OR "numbers" OR "ing"')
    assert {latent for latent, _ in found} == {plant.AFTER, plant.NUMBER, plant.ENDING}


def test_the_summary_counts_every_label_once(path, labels):
    with closing(sqlite3.connect(path)) as db:
        found = summary.of(db)
    assert sum(found["kinds"].values()) == len(labels) and tuple(found["kinds"]) == AUTO_KINDS
    assert found["clear"] == sum(label.clear for label in labels.values())
    assert found["median_confidence"] == np.median([x.confidence for x in labels.values() if x.clear])
    assert f"{found['clear']} clear" in summary.sentence(found)


def test_a_wide_atlas_is_left_to_the_command(path):
    made = read_made_of(path)
    assert affordable(made) and not affordable(replace(made, d_sae=2**20))
    assert facts().d_sae < 2**16


def test_a_label_says_how_far_it_can_be_trusted():
    clear = AutoLabel("“sea”", "words", 0.9, 0.77, 0.96, 40)
    assert clear.said == "right on 0.90 of 40 passages it was not made from (0.77 to 0.96; chance 0.5)"
    unclear = AutoLabel(UNCLEAR, "unclear", 0.55, 0.4, 0.69, 40)
    assert unclear.said.startswith("the best rule was right on 0.55") and not unclear.clear
