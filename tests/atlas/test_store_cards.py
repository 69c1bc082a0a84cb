"""The card and contexts of a latent say what a brute-force reading of the same activations says."""

import math
import sqlite3

import numpy as np
import pytest

from sas_core.atlas.store import Atlas
from sas_core.atlas.types import BANDS
from sas_core.errors import BadInput
from tests.atlas.tiny_atlas import DEAD, DENSE, ONE_TOKEN, ONE_WINDOW, tiny_atlas


def test_a_card_repeats_the_statistics_of_the_activations(atlas, read):
    for row in read.expected.latents:
        card = atlas.latent(row["index"])
        assert (card.index, card.fired, card.density_class) == (
            row["index"],
            row["fired"],
            row["density_class"],
        )
        assert card.tokens_seen == sum(len(ids) for ids in read.ids) - len(read.ids)
        assert card.histogram == tuple(row["histogram"]) and sum(card.histogram) == row["fired"]
        assert (card.max, card.mean_nonzero) == (row["max"], row["mean"])
        assert card.density == row["fired"] / card.tokens_seen
        assert (card.token_share, card.token_phi) == (row["token_share"], row["token_phi"])
        assert card.peak_token == (None if row["token"] is None else read.pieces[row["token"]])


def test_mean_and_deviation_are_those_of_the_activations_above_zero(atlas, read):
    for index in (ONE_TOKEN, 10, 40):
        values = np.concatenate([a[1:, index] for a in read.activations]).astype(float)
        card = atlas.latent(index)
        assert card.mean_nonzero == pytest.approx(values[values > 0].mean())
        assert card.std_nonzero == pytest.approx(values[values > 0].std(), abs=1e-7)


def test_the_densities_are_those_of_the_cards_by_index(atlas):
    found = atlas.densities()
    assert found.tolist() == [atlas.latent(i).density for i in range(atlas.made_of.d_sae)]
    assert found[DEAD] == 0.0 and found.max() > 0.0


def test_a_latent_that_never_fired_has_a_bound_and_no_mean(atlas):
    card = atlas.latent(DEAD)
    assert (card.fired, card.max, card.mean_nonzero, card.std_nonzero) == (0, 0.0, None, None)
    assert card.at_most == 3 / card.tokens_seen and atlas.latent(DENSE).at_most is None
    assert card.peak_token is None and not card.single_token
    assert atlas.contexts(DEAD) == () and atlas.typical(DEAD) is None


def test_only_the_latent_of_one_token_is_called_that(atlas):
    assert [i for i in range(6) if atlas.latent(i).single_token] == [ONE_TOKEN]
    # all of its peaks are at one token, but it fires at every other of its window too
    assert atlas.latent(ONE_WINDOW).token_share == 1.0


def test_a_card_shows_what_a_latent_writes_and_its_neighbours(atlas, read):
    card = atlas.latent(7)
    assert card.positive == tuple((read.pieces[i], v) for i, v in read.derived.up[7])
    assert card.negative == tuple((read.pieces[i], v) for i, v in read.derived.down[7])
    assert card.neighbours == tuple(read.derived.near[7])


def test_what_was_not_derived_is_empty(tmp_path):
    atlas = Atlas.open(tiny_atlas(tmp_path / "plain.db", derived=False))
    card = atlas.latent(5)
    assert (card.positive, card.negative, card.neighbours) == ((), (), ())
    assert atlas.rows([5])[0].positive == ()
    atlas.close()


def test_a_token_that_the_vocabulary_lacks_is_shown_by_its_number(tmp_path):
    path = tiny_atlas(tmp_path / "padded.db")
    before = Atlas.open(path)
    token = before.contexts(DENSE)[0].token_ids[2]
    before.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM vocabulary WHERE id = ?", [token])
    connection.close()
    atlas = Atlas.open(path)
    assert atlas.contexts(DENSE)[0].tokens[2] == f"[token {token}]"
    assert atlas.contexts(DENSE)[0].token_ids[2] == token
    atlas.close()


def test_contexts_come_by_band_and_rank_with_every_activation_in_its_place(atlas, read):
    windows = {row["id"]: row for row in read.expected.windows}
    for index in range(48):
        rows = [row for row in read.expected.contexts if row["latent"] == index]
        assert len(atlas.contexts(index)) == len(rows)
        for row, shown in zip(rows, atlas.contexts(index), strict=True):
            window = windows[row["window"]]
            assert (shown.band, shown.window) == (BANDS[row["band"]], row["window"])
            assert (shown.peak, shown.max) == (row["peak"], row["max"])
            assert (shown.document, shown.offset) == (window["document"], window["offset"])
            assert shown.token_ids == tuple(window["token_ids"]) and shown.excluded == {0}
            assert shown.tokens == tuple(read.pieces[i] for i in window["token_ids"])
            dense = read.activations[row["window"]][:, index].copy()
            dense[0] = 0.0
            assert shown.activations == tuple(dense.tolist())
            assert shown.activations.index(max(shown.activations)) == shown.peak


def test_the_strongest_contexts_of_several_latents_are_those_of_each(atlas):
    found = atlas.top_contexts([9, DEAD, 4], 2)
    assert found == {9: atlas.contexts(9)[:2], 4: atlas.contexts(4)[:2]}


@pytest.mark.parametrize("index", [-1, 48, 10**30])
def test_an_index_out_of_range_is_refused_with_the_range(atlas, index):
    for ask in (atlas.latent, atlas.contexts, atlas.typical, atlas.cofiring):
        with pytest.raises(BadInput, match=f"no latent {index}.*has 48, numbered 0 to 47"):
            ask(index)
    with pytest.raises(BadInput, match="numbered 0 to 47"):
        atlas.rows([0, index])


def test_the_typical_activation_is_the_mean_where_it_fires(atlas):
    assert atlas.typical(ONE_TOKEN) == 2.5 == atlas.latent(ONE_TOKEN).mean_nonzero


def test_deviations_of_equal_activations_are_zero_and_never_nan(atlas):
    card = atlas.latent(ONE_WINDOW)
    assert card.std_nonzero == 0.0 and not math.isnan(card.std_nonzero)


def test_an_activation_is_the_more_distinctive_the_rarer_and_the_nearer_its_own_maximum(path):
    atlas = Atlas.open(path)
    cards = [atlas.latent(index) for index in range(atlas.made_of.d_sae)]
    live = [card.max for card in cards if card.fired]
    usual, seen = sum(live) / len(live), atlas.tokens_seen
    expected = [math.log((seen + 1) / (card.fired + 1)) / (card.max or usual) for card in cards]
    found = atlas.distinctive(np.arange(len(cards)))
    assert found.tolist() == pytest.approx(expected) and len(set(expected)) > 3 and len(live) < len(cards)
    assert atlas.distinctive(np.array([DEAD])).tolist() == pytest.approx([math.log(seen + 1)])
    assert atlas.distinctive(np.zeros(0, np.int64)).tolist() == []
    atlas.close()
