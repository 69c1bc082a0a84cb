"""The behaviours that ship: enough pairs, sound by our own lint, held out in earnest."""

import pytest

from sas_core.contrast.lint import lint
from sas_core.contrast.shipped import behaviour_names, load_behaviour

NAMES = behaviour_names()


def test_the_promised_behaviours_ship_in_both_forms():
    assert len(NAMES) >= 8
    assert {
        "sentiment",
        "formality",
        "refusal",
        "sycophancy",
        "hedging",
        "myopia",
        "ai-identity",
        "sea",
    } <= set(NAMES)
    assert {load_behaviour(name).form for name in NAMES} == {"free-text", "multiple-choice"}


@pytest.mark.parametrize("name", NAMES)
def test_a_behaviour_has_sixty_pairs_twenty_held_out_and_its_description(name):
    behaviour = load_behaviour(name)
    assert len(behaviour.train) >= 60
    assert len(behaviour.heldout) >= 20
    assert all([behaviour.title, behaviour.positive, behaviour.negative, behaviour.description])
    assert len(behaviour.prompts) == len(set(behaviour.prompts)) == 4


@pytest.mark.parametrize("name", NAMES)
def test_lint_finds_nothing_in_either_part(name):
    behaviour = load_behaviour(name)
    assert lint(behaviour.train) == lint(behaviour.heldout) == ()


@pytest.mark.parametrize("name", NAMES)
def test_no_held_out_prompt_or_completion_was_trained_on(name):
    behaviour = load_behaviour(name)
    train, heldout = behaviour.train.pairs, behaviour.heldout.pairs
    assert not {pair.prompt for pair in train} & {pair.prompt for pair in heldout}
    assert not set(behaviour.prompts) & {pair.prompt for pair in (*train, *heldout)}
    if behaviour.form == "free-text":
        texts = [
            {text for pair in part for text in (pair.positive, pair.negative)} for part in (train, heldout)
        ]
        assert not texts[0] & texts[1]
