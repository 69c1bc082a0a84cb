"""The sentences of a card and of an atlas: true numbers, and nothing that an untold case would break."""

from dataclasses import replace

import pytest

from sas_core.atlas.types import Latent
from sas_core.atlas.words import density_sentence, made_of_sentence, token_sentence
from tests.atlas.tiny_atlas import facts


def latent(fired: int, seen: int, **others) -> Latent:
    made = Latent(7, fired, seen, 1.0, 1.0, 0.0, "normal", (), None, None, None, (), (), ())
    return replace(made, **others)


@pytest.mark.parametrize(
    ("fired", "seen", "expected"),
    [
        (812, 601_233, "fires at 812 of 601,233 tokens (1 in 740)"),
        (0, 601_233, "never fired in 601,233 tokens: at most 1 in 200,411 (3/N)"),
        (2, 3, "fires at 2 of 3 tokens (1 in 1.5)"),
        (3, 3, "fires at 3 of 3 tokens (1 in 1)"),
        (1, 1, "fires at 1 of 1 token (1 in 1)"),
        (0, 0, "never fired in 0 tokens: at most 1 in 1 (3/N)"),
        (0, 2, "never fired in 2 tokens: at most 1 in 1 (3/N)"),
        (7, 100, "fires at 7 of 100 tokens (1 in 14)"),
    ],
)
def test_how_often_a_latent_fires(fired, seen, expected):
    assert density_sentence(latent(fired, seen)) == expected


@pytest.mark.parametrize(
    ("token", "share", "phi", "expected"),
    [
        (" sea", 0.95, 0.83, "a single-token latent: 95 % of its sampled peaks are at ' sea' (phi 0.83)"),
        (" sea", 0.95, 0.79, "its sampled peaks stand most often at ' sea', 95 % of them (phi 0.79)"),
        (" sea", 0.89, 0.9, "its sampled peaks stand most often at ' sea', 89 % of them (phi 0.90)"),
        ("\n", 1.0, None, "its sampled peaks stand most often at '\\n', 100 % of them"),
        (None, None, None, ""),
    ],
)
def test_how_a_latent_hangs_on_one_token(token, share, phi, expected):
    assert token_sentence(latent(5, 9, peak_token=token, token_share=share, token_phi=phi)) == expected


@pytest.mark.parametrize(
    ("share", "phi", "expected"),
    [(0.9, 0.8, True), (0.9, 0.79, False), (0.89, 0.8, False), (1.0, None, False), (None, None, False)],
)
def test_a_single_token_latent_needs_both_share_and_correlation(share, phi, expected):
    assert latent(5, 9, token_share=share, token_phi=phi).single_token is expected


def test_the_bound_for_what_never_fired_is_the_rule_of_three():
    assert latent(0, 300).at_most == 0.01 and latent(1, 300).at_most is None
    # (1 - p)^n = 5 % at n tokens without firing, to first order
    assert (1 - latent(0, 3_000).at_most) ** 3_000 == pytest.approx(0.05, rel=0.01)


def test_what_an_atlas_is_made_of_is_one_sentence():
    made = facts(
        tokens_seen=601_233, documents=4_100, special_excluded=11_000, sinks_excluded=1_000, window=128
    )
    assert made_of_sentence(made) == (
        "601,233 tokens of 4,100 documents in tiny.jsonl, read in windows of 128 by tiny-llama at "
        "blocks.1.hook_resid_post; 12,000 special tokens and attention sinks are not counted, finished "
        "2026-01-31."
    )
    bare = replace(made, tokens_seen=1, documents=1, special_excluded=0, sinks_excluded=0, finished=None)
    assert made_of_sentence(bare) == (
        "1 token of 1 document in tiny.jsonl, read in windows of 128 by tiny-llama at "
        "blocks.1.hook_resid_post."
    )
