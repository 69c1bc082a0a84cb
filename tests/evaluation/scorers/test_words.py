"""Word lists by hand, and the shipped ones on pairs nobody wrote them from."""

import numpy as np
import pytest

from sas_core.contrast.scores import auroc
from sas_core.contrast.shipped import behaviour_names, load_behaviour
from sas_core.errors import BadInput
from sas_core.evaluation.scorers.words import WordScorer

LISTED = [name for name in behaviour_names() if load_behaviour(name).words is not None]


def share(text: str, plus: tuple[str, ...] = (), minus: tuple[str, ...] = ()) -> float:
    scorer = WordScorer("n", plus, minus)
    scores = scorer.score("sea sea sea", text)
    assert tuple(scores) == scorer.figures == ("words:n",)
    return scores["words:n"]


def test_the_share_of_one_list_less_that_of_the_other() -> None:
    text = "The sea, the SEA and one desk."
    assert share(text, ("sea",), ("desk",)) == pytest.approx(2 / 7 - 1 / 7)
    assert share(text, ("desk",), ("sea",)) == pytest.approx(-1 / 7)


def test_a_text_without_words_has_none_of_either() -> None:
    assert share("", ("sea",)) == share(" ... !\n", ("sea",)) == 0.0


def test_a_word_is_whole_unless_its_entry_ends_in_a_star() -> None:
    assert share("seaside seas sea", ("sea",)) == pytest.approx(1 / 3)
    assert share("seaside seas sea", ("sea*",)) == 1.0
    assert share("oversea", ("sea*",)) == 0.0


def test_case_accents_apostrophes_and_markup_make_no_difference() -> None:
    assert share("CAFÉ cafe\u0301 Straße", ("Cafe", "STRASSE")) == 1.0
    assert share("Don\u2019t don't", ("don't",)) == 1.0
    assert share("_sea_ **sea**", ("sea",)) == 1.0
    assert share("it's", ("it",)) == 0.0, "it's is one word"


def test_each_word_of_a_phrase_counts_where_all_follow_each_other() -> None:
    assert share("of course, a course of action", ("of course",)) == pytest.approx(2 / 6)
    assert share("well-known and well known", ("well-known",)) == pytest.approx(4 / 5)
    assert share("a kind of sailing", ("of sail*",)) == pytest.approx(2 / 4)
    assert share("of", ("of course",)) == 0.0


def test_a_word_counts_once_however_many_entries_it_fits() -> None:
    assert share("deep blue sea", ("sea", "se*", "blue sea", "deep blue sea")) == 1.0
    assert share("so so so", ("so so",)) == 1.0, "overlapping places of a phrase"


def test_a_word_of_both_lists_cancels() -> None:
    assert share("sea", ("sea",), ("sea",)) == 0.0


@pytest.mark.parametrize("entry", ["", "  ", "*", "...", "s*a", "sea * side", "*sea"])
def test_an_entry_that_is_no_word_is_named(entry: str) -> None:
    with pytest.raises(BadInput) as refused:
        WordScorer("topic", ("sea", entry))
    assert repr(entry) in str(refused.value) and "'topic'" in str(refused.value)


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(BadInput, match="'topic' is empty"):
        WordScorer("topic", ())


def test_the_free_text_contrasts_have_lists_and_the_lettered_ones_none() -> None:
    assert set(LISTED) == {name for name in behaviour_names() if load_behaviour(name).form == "free-text"}


@pytest.mark.parametrize("name", LISTED)
def test_a_shipped_list_orders_the_held_out_sides(name: str) -> None:
    behaviour = load_behaviour(name)
    words = behaviour.words
    assert 20 <= len(words.plus) <= 60 and 20 <= len(words.minus) <= 60
    assert not {*words.plus} & {*words.minus}
    scorer = WordScorer(name, words.plus, words.minus)
    positive, negative = (
        np.array(
            [[scorer.score("", getattr(pair, side))[f"words:{name}"]] for pair in behaviour.heldout.pairs]
        )
        for side in ("positive", "negative")
    )
    assert auroc(positive, negative)[0] > 0.8
    assert positive.mean() > 0.0 > negative.mean()
