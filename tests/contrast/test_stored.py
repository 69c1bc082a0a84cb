"""A stored ranking is found without the model, and only when every text of it is stored."""

import pytest

from sas_core.contrast.pairs import Pair, PairSet
from sas_core.contrast.ranking import Ranking, rank
from sas_core.contrast.shading import strongest_texts
from sas_core.contrast.stored import stored_ranking
from sas_core.errors import BadInput

PAIRS = PairSet(
    "p", tuple(Pair(f"Ask {i}", f"The sea is warm {i}", f"The book was late {i}") for i in range(4))
)
HELDOUT = PairSet("h", (Pair("Again", "walked along the river", "talked about the harvest"),))


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("STEERSCOPE_CACHE", str(tmp_path))


def compute(engine, pairs, heldout=None) -> Ranking:
    *_, last = rank(engine, pairs, "completion-mean", heldout=heldout)
    return last


@pytest.mark.parametrize("heldout", [None, HELDOUT])
def test_a_ranking_computed_before_is_found_and_is_the_same(engine, heldout) -> None:
    computed = compute(engine, PAIRS, heldout)
    engine.model = None  # it must not be asked
    found = stored_ranking(engine, PAIRS, "completion-mean", heldout=heldout)
    assert found is not None
    assert found.evidence.difference.tolist() == computed.evidence.difference.tolist()
    assert found.evidence.auroc_source == ("5-fold" if heldout is None else "held-out")


def test_nothing_is_found_while_a_text_of_either_set_is_missing(engine) -> None:
    compute(engine, PAIRS)
    longer = PairSet("p", (*PAIRS.pairs, Pair("New", "on the river", "in the book")))
    engine.model = None
    assert stored_ranking(engine, PAIRS, "completion-mean", heldout=HELDOUT) is None
    assert stored_ranking(engine, longer, "completion-mean") is None
    assert stored_ranking(engine, PAIRS, "last") is None


def test_pairs_that_cannot_be_read_at_the_position_are_refused_at_once(engine) -> None:
    with pytest.raises(BadInput, match="answer letter"):
        stored_ranking(engine, PairSet("p", (Pair("a", "Sailing", "Filing"),)), "answer")


def test_the_shaded_tokens_of_a_text_average_to_what_the_ranking_counted(engine) -> None:
    ranking = compute(engine, PAIRS)
    latent = int(ranking.evidence.latents[ranking.evidence.freq_pos.argmax()])
    positive, negative = strongest_texts(engine, ranking, latent, each=2)
    assert len(positive) == 2 and all(text.positive for text in positive)
    assert all(not text.positive for text in negative)
    for text in (*positive, *negative):
        counted = len(text.pieces) - text.excluded
        assert sum(text.values) / counted == pytest.approx(text.strength, rel=1e-4)
    assert positive[0].strength >= positive[1].strength
    assert "".join(positive[0].pieces) in {pair.positive for pair in PAIRS.pairs}


def test_a_latent_that_never_fires_has_no_texts(engine) -> None:
    ranking = compute(engine, PAIRS)
    silent = sorted(set(range(48)) - set(ranking.evidence.latents.tolist()))
    for latent in silent[:1]:
        assert strongest_texts(engine, ranking, latent) == ((), ())
