"""What a spec asks for, in its order."""

import pytest

from sas_core.contrast.pairs import PairSet
from sas_core.contrast.shipped import load_behaviour
from sas_core.errors import BadInput
from sas_core.evaluation.scorers.choose import prompts_of, scorer_count, scorers_of
from sas_core.evaluation.scorers.probe import ProbeScorer
from sas_core.evaluation.sweep.spec import TextPart, Words
from sas_core.evaluation.texts import shipped_prompts
from sas_core.steering.spec import Prompt

WITHOUT_PROBE = TextPart(probe=False)


class Fixed:
    """Stands where a judge of another machine would."""

    figures = ("judge:behaviour",)

    def score(self, prompt: Prompt, text: str) -> dict[str, float]:
        return {"judge:behaviour": 5.0}


@pytest.fixture
def scores(tmp_path) -> str:
    path = tmp_path / "s.csv"
    path.write_text("prompt,text,score\nQ,x,1\n")
    return str(path)


def test_everything_that_is_asked_for_comes_in_order(engine, pairs, scores) -> None:
    spec = TextPart(
        words={"b": Words(plus=("sea",)), "a": Words(plus=(), minus=("late",))},
        judge=True,
        scores={"tone": scores},
    )
    found = scorers_of(spec, engine, pairs, Fixed())
    figures = [scorer.figures for scorer in found]
    assert figures == [("probe",), ("words:b",), ("words:a",), ("judge:behaviour",), ("scores:tone",)]
    assert scorer_count(spec, pairs) == len(found)
    assert found[2].score("Q", "late") == {"words:a": -1.0}
    assert found[4].score("Q", "x") == {"scores:tone": 1.0}


def test_a_probe_that_is_there_is_not_trained_again(engine, pairs) -> None:
    (first,) = scorers_of(TextPart(), engine, pairs)
    (again,) = scorers_of(TextPart(), engine, pairs, probe=first.probe)
    assert isinstance(again, ProbeScorer) and again.probe is first.probe


def test_shipped_pairs_bring_their_words_unless_the_spec_has_its_own(engine, pairs) -> None:
    sea = load_behaviour("sea").train
    (scorer,) = scorers_of(WITHOUT_PROBE, engine, PairSet("another name", sea.pairs))
    assert scorer.figures == ("words:sea",) and scorer.score("Q", "the harbour")["words:sea"] == 0.5
    own = TextPart(probe=False, words={"mine": Words(plus=("desk",))})
    assert [s.figures for s in scorers_of(own, engine, sea)] == [("words:mine",)]
    assert scorers_of(WITHOUT_PROBE, engine, pairs) == scorers_of(WITHOUT_PROBE, engine, None) == ()
    assert scorer_count(WITHOUT_PROBE, sea) == 1 and scorer_count(WITHOUT_PROBE, pairs) == 0
    choice = load_behaviour("myopia-choice").train
    assert scorer_count(WITHOUT_PROBE, choice) == 0, "letters have no words"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (TextPart(probe=False, words={"w": Words(plus=("*",))}), "word list 'w'"),
        (TextPart(probe=False, scores={"s": "none.csv"}), "none.csv cannot be read"),
    ],
)
def test_faults_are_found_before_anything_is_written(pairs, spec, told) -> None:
    with pytest.raises(BadInput, match=told):
        scorer_count(spec, pairs)


def test_a_probe_without_pairs_it_can_learn_from_is_refused_by_both(engine, letters) -> None:
    for unfit, told in ((None, "not at hand"), (letters, "multiple choice")):
        with pytest.raises(BadInput, match=told):
            scorer_count(TextPart(), unfit)
        with pytest.raises(BadInput, match=told):
            scorers_of(TextPart(), engine, unfit)


def test_a_judge_that_nobody_gave_is_told(engine, pairs) -> None:
    with pytest.raises(BadInput, match="STEERSCOPE_JUDGE_URL"):
        scorers_of(TextPart(probe=False, judge=True), engine, pairs)


def test_prompts_come_from_the_spec_then_its_file_then_the_contrast_then_neutral_ones(tmp_path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("One?\n\nTwo?\n")
    sea = load_behaviour("sea")
    assert prompts_of(TextPart(prompts=("Mine?",)), sea) == ("Mine?",)
    assert prompts_of(TextPart(prompts=str(path)), sea) == ("One?", "Two?")
    assert prompts_of(TextPart(), sea) == sea.prompts
    assert prompts_of(TextPart(), None) == shipped_prompts()
    with pytest.raises(BadInput, match="There is no file"):
        prompts_of(TextPart(prompts=str(tmp_path / "gone.txt")), sea)
