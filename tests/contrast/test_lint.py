"""Lint: each flaw is found, named with its rows, and absent from a sound set."""

import random
from dataclasses import replace

import pytest

from sas_core.contrast.lint import lint, name_rows, usable
from sas_core.contrast.pairs import Pair, PairSet

WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "islet", "jetty", "knoll")


def sound(n: int = 30) -> PairSet:
    """Pairs of random words: same lengths, no word that tells the sides apart."""
    draw = random.Random(0)
    text = lambda: " ".join(draw.choices(WORDS, k=6))  # noqa: E731
    return PairSet("sound", tuple(Pair(f"prompt {i}", text(), text(), i + 2) for i in range(n)))


def choices(letters: str) -> PairSet:
    other = {"A": "B", "B": "A"}
    pairs = (Pair(f"q{i}", f"({x})", f"({other[x]})", i + 1) for i, x in enumerate(letters))
    return PairSet("choices", tuple(pairs), "multiple-choice")


def changed(pairs: PairSet, change) -> PairSet:
    return replace(pairs, pairs=tuple(change(i, pair) for i, pair in enumerate(pairs.pairs)))


def messages(pairs: PairSet) -> list[str]:
    return [problem.message for problem in lint(pairs)]


def test_sound_sets_of_both_forms_have_no_findings():
    assert lint(sound()) == ()
    assert lint(choices("AB" * 15)) == ()


def test_identical_sides_are_the_only_error_and_usable_drops_just_them():
    pairs = changed(sound(), lambda i, p: replace(p, positive=p.negative + " ") if i in (3, 8) else p)
    (problem,) = lint(pairs)
    assert problem.severity == "error"
    assert "same text in rows 5 and 10" in problem.message
    kept = usable(pairs)
    assert [pair.row for pair in kept.pairs] == [p.row for p in pairs.pairs if p.row not in (5, 10)]
    assert lint(kept) == ()


def test_repeated_pairs_and_repeated_prompts_are_told_apart():
    pairs = sound()
    copies = changed(pairs, lambda i, p: replace(pairs.pairs[0], row=p.row) if i in (4, 5) else p)
    (message,) = messages(copies)
    assert message.startswith("2 pairs given again after an earlier one (rows 6 and 7)")
    same_prompt = changed(pairs, lambda i, p: replace(p, prompt="prompt 0") if i == 4 else p)
    (message,) = messages(same_prompt)
    assert message.startswith("1 pair with the prompt")
    assert "(row 6)" in message


def test_fewer_than_twenty_usable_pairs_are_reported():
    assert messages(sound(20)) == []
    (message,) = messages(sound(19))
    assert "19 pairs" in message
    twenty_with_one_dropped = changed(sound(20), lambda i, p: replace(p, positive=p.negative) if not i else p)
    assert any("19 pairs" in message for message in messages(twenty_with_one_dropped))


@pytest.mark.parametrize(("letters", "share"), [("A" * 26 + "B" * 4, "87 %"), ("A" * 11 + "B" * 19, "37 %")])
def test_an_unbalanced_answer_letter_is_reported_with_its_share_and_why(letters, share):
    (message,) = messages(choices(letters))
    assert f"(A) in {share}" in message
    assert "letter latents survive tau" in message
    rows = (
        "rows 1, 2, 3, 4, 5 and 21 more" if letters[:20].count("A") == 20 else "rows 12, 13, 14, 15, 16 and"
    )
    assert rows in message


@pytest.mark.parametrize("count", [12, 18])
def test_a_letter_share_on_the_edge_of_the_band_is_accepted(count):
    assert messages(choices("A" * count + "B" * (30 - count))) == []


def test_multiple_choice_answers_without_a_letter_are_reported():
    pairs = changed(choices("AB" * 15), lambda i, p: replace(p, positive="Yes") if i == 2 else p)
    (message,) = messages(pairs)
    assert "not a letter such as (A) in row 3" in message


def test_a_length_skew_is_reported_for_the_longer_side_with_the_worst_rows():
    longer = changed(sound(), lambda i, p: replace(p, negative=p.negative + (" amber" * (2 + 9 * (i == 7)))))
    (message,) = messages(longer)
    assert message.startswith("Negative completions are 1.3 times as long as positive ones")
    assert "most in rows 9, " in message


def test_a_skew_in_a_few_pairs_only_is_accepted():
    few = changed(sound(), lambda i, p: replace(p, positive=p.positive * 5) if i < 10 else p)
    assert messages(few) == []


def test_a_word_that_alone_separates_the_sides_is_reported():
    leaky = changed(sound(), lambda i, p: replace(p, negative=p.negative + " Sorry") if i >= 3 else p)
    leaky = changed(leaky, lambda i, p: replace(p, positive="sorry " + p.positive) if i < 3 else p)
    (message,) = messages(leaky)
    assert message.startswith(
        '"sorry" stands in 90 % of the negative completions and 10 % of the positive ones '
        "(rows 5, 6, 7, 8, 9 and 22 more)"
    )


def test_a_word_just_short_of_either_share_is_accepted():
    in_26_of_30 = changed(sound(), lambda i, p: replace(p, negative=p.negative + " sorry") if i >= 4 else p)
    assert messages(in_26_of_30) == []
    on_both = changed(sound(), lambda i, p: replace(p, negative=p.negative + " sorry"))
    on_both = changed(on_both, lambda i, p: replace(p, positive=p.positive + " sorry") if i < 4 else p)
    assert messages(on_both) == []


def test_punctuation_can_leak_too():
    (message,) = messages(changed(sound(), lambda i, p: replace(p, positive=p.positive + "!")))
    assert message.startswith('"!" stands in 100 % of the positive completions and 0 % of the negative')


def test_an_opening_word_that_separates_the_sides_is_reported_though_it_occurs_elsewhere():
    opening = changed(
        sound(), lambda i, p: replace(p, positive="well " + p.positive, negative=p.negative + " well")
    )
    (message,) = messages(opening)
    assert message.startswith('"well" opens 100 % of the positive completions and 0 % of the negative ones')


def test_a_leaking_word_that_also_opens_the_text_is_reported_once():
    (message,) = messages(changed(sound(), lambda i, p: replace(p, positive="well " + p.positive)))
    assert message.startswith('"well" stands in 100 %')


def test_a_handful_of_pairs_is_not_searched_for_leaks():
    assert not any("alone" in message for message in messages(sound(9)))


def test_one_side_that_is_always_the_same_text_is_reported():
    alike = changed(sound(), lambda i, p: replace(p, positive="amber birch cedar dune ember fjord"))
    assert any(m.startswith("Every positive completion is the same text") for m in messages(alike))
    assert not any("Every negative" in m for m in messages(alike))


def test_pairs_without_row_numbers_are_counted_from_one():
    pairs = changed(sound(), lambda i, p: replace(p, row=0, positive=p.negative if i == 4 else p.positive))
    assert "in row 5" in messages(pairs)[0]


def test_an_empty_set_is_only_too_small():
    for form in ("free-text", "multiple-choice"):
        (message,) = messages(PairSet("none", (), form))
        assert "0 pairs" in message


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([3], "row 3"),
        ([3, 8], "rows 3 and 8"),
        ([1, 2, 3, 4, 5], "rows 1, 2, 3, 4 and 5"),
        ([1, 2, 3, 4, 5, 6], "rows 1, 2, 3, 4, 5 and 1 more"),
    ],
)
def test_at_most_five_rows_are_named(rows, words):
    assert name_rows(rows) == words
