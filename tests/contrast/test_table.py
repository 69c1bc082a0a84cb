"""The ranked table and the table of pairs: nothing is lost, and each latent is where the rule puts it."""

from dataclasses import replace

import numpy as np
import pytest

from sas_core.contrast.choice import Choice
from sas_core.contrast.pairs import ChatMessage, Pair, PairSet, Problem
from sas_core.contrast.ranking import Ranking
from sas_core.contrast.table import fates, latent_columns, pair_columns, prompt_text, ranked
from tests.contrast.rankings import example, in_first, ranking_of


def by_latent(ranking: Ranking, choice: Choice) -> dict[int, str]:
    return dict(zip(ranking.evidence.latents.tolist(), fates(ranking, choice), strict=True))


def slow_fate(ranking: Ranking, latent: int, tau: float) -> str:
    """The published rule for one latent, by counting."""
    codes = ranking.collected.codes
    pos = sum(codes.positive.dense(np.array([latent]))[:, 0] != 0) / codes.n
    neg = sum(codes.negative.dense(np.array([latent]))[:, 0] != 0) / codes.n
    if pos >= tau and neg >= tau:
        return "shared"
    return "+" if pos >= tau else "\u2212" if neg >= tau else "below tau"


def test_each_latent_has_the_fate_the_published_rule_gives_it() -> None:
    generator = np.random.default_rng(3)
    both = [
        {latent: (generator.random(10) * (generator.random(10) < share)).tolist() for latent, share in
         enumerate(generator.random(20))}
        for _ in range(2)
    ]  # fmt: skip
    ranking = ranking_of(*both)
    for tau in (0.3, 0.5, 0.7):
        found = by_latent(ranking, Choice(tau))
        assert found == {latent: slow_fate(ranking, latent, tau) for latent in found}
        assert len(set(found.values())) == 4


def test_a_latent_dropped_by_side_or_top_k_is_said_to_be_left_out() -> None:
    assert by_latent(example(), Choice(0.7, sides="positive"))[2] == "left out"
    assert by_latent(example(), Choice(0.7, top_k=1))[7] == "left out"


def test_a_latent_of_both_sides_that_top_k_leaves_out_was_not_dropped_as_shared() -> None:
    # the shared one is weaker than the strongest of each side
    ranking = ranking_of(
        {1: in_first(10, 1.0), 2: in_first(10, 5.0)}, {1: in_first(10, 1.5), 3: in_first(10, 5.0)}
    )
    assert by_latent(ranking, Choice(0.7))[1] == "shared"
    assert by_latent(ranking, Choice(0.7, top_k=1, drop_shared=False)) == {1: "left out", 2: "+", 3: "\u2212"}


def test_a_shared_latent_that_is_not_dropped_takes_the_sign_of_its_difference() -> None:
    assert by_latent(example(), Choice(0.7))[3] == "shared"
    assert by_latent(example(), Choice(0.7, drop_shared=False))[3] == "+"


def test_kept_latents_are_listed_by_the_size_of_their_mean_difference() -> None:
    ranking = example()
    at = ranked(ranking, fates(ranking, Choice(0.7)))
    assert ranking.evidence.latents[at].tolist() == [2, 1, 7]


def test_listing_all_shows_every_latent_that_fires_and_no_more_than_asked() -> None:
    ranking = example()
    fate = fates(ranking, Choice(0.7))
    assert sorted(ranking.evidence.latents[ranked(ranking, fate, "all")].tolist()) == [1, 2, 3, 4, 7]
    assert 4 not in ranking.evidence.latents[ranked(ranking, fate, "above tau")]
    strongest = ranking.evidence.latents[ranked(ranking, fate, "all", most=2)].tolist()
    assert strongest == [2, 3]


def test_no_latent_kept_gives_an_empty_table() -> None:
    ranking = example()
    at = ranked(ranking, fates(ranking, Choice(1.0)))
    columns = latent_columns(ranking.evidence, at, fates(ranking, Choice(1.0)), {}, {})
    assert len(at) == 0 and all(values == [] for values in columns.values())


def test_the_columns_of_a_row_belong_to_the_same_latent() -> None:
    ranking = example()
    fate = fates(ranking, Choice(0.7))
    columns = latent_columns(ranking.evidence, ranked(ranking, fate), fate, {2: "sea"}, {1: "land"})
    row = columns["latent"].index(2)
    assert (columns["side"][row], columns["reads"][row], columns["writes"][row]) == ("\u2212", "sea", "")
    assert (columns["freq_pos"][row], columns["freq_neg"][row]) == pytest.approx((10, 70))
    assert (columns["mean_neg"][row], columns["difference"][row]) == pytest.approx((4.0, -2.7))


def test_marks_stand_at_the_rows_they_are_about() -> None:
    pairs = (
        Pair("a", "x", "y", 2), Pair("a", "x", "y", 3), Pair("a", "z", "y", 4), Pair("b", "w ", "w", 6),
        Pair("c", "x", "y", 7),
    )  # fmt: skip
    problems = (Problem(5, "error", "Row 5 is broken."), Problem(1, "warning", "Extra column."))
    columns = pair_columns(PairSet("p", pairs), problems)
    assert columns["row"] == [2, 3, 4, 5, 6, 7]
    assert columns["mark"] == [
        "", "copy of a pair", "prompt again", "not read", "dropped: same sides", "",
    ]  # fmt: skip
    assert columns["prompt"][3] == "Row 5 is broken."


def test_pairs_without_row_numbers_are_numbered_in_order() -> None:
    pairs = tuple(replace(Pair(name, "x", "y"), row=0) for name in "ab")
    assert pair_columns(PairSet("p", pairs))["row"] == [1, 2]


def test_a_chat_prompt_is_shown_turn_by_turn_with_its_roles() -> None:
    pair = Pair((ChatMessage("system", "Be brief."), ChatMessage("user", "Hello")), "x", "y")
    assert prompt_text(pair) == "system: Be brief.\nuser: Hello"
