"""Sentences about a latent: the counts in them are the counts of the codes."""

from dataclasses import replace

from sas_core.contrast.choice import Choice
from sas_core.contrast.table import fates
from sas_core.contrast.words import fate_sentence, fires_sentence, left_out_sentence, separates_sentence
from tests.contrast.rankings import example


def test_the_sentence_of_a_latent_counts_texts_and_gives_the_mean_where_it_fires() -> None:
    evidence = example().evidence
    said = fires_sentence(evidence, evidence.latents.tolist().index(2), 10)
    assert "1 of 10 positive and 7 of 10 negative" in said and "1.00 and 4.00" in said


def test_where_the_auroc_was_measured_is_said() -> None:
    evidence = example().evidence
    assert "over 5 folds" in separates_sentence(evidence, 0)
    assert "held-out" in separates_sentence(replace(evidence, auroc_source="held-out"), 0)
    assert "among 5 latents" in separates_sentence(evidence, 0)


def test_each_fate_has_its_own_sentence() -> None:
    ranking = example()
    found = set(fates(ranking, Choice(0.7))) | {"left out"}
    assert len(found) == 5
    assert len({fate_sentence(fate, 0.7) for fate in found}) == 5


def test_positions_left_out_are_counted_by_kind() -> None:
    collected = example().collected
    assert "3 special tokens and 1 attention sink." in left_out_sentence(collected)
    none = replace(collected, special_positions=0, sink_positions=0)
    assert "No special tokens" in left_out_sentence(none)
