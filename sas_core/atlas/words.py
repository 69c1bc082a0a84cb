"""What an atlas says of a latent, and of itself, in plain sentences. Knows no file and no model.

Tokens in a sentence are spelt as Python spells text, so that white space shows.
"""

from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.types import Latent


def density_sentence(latent: Latent) -> str:
    """How often it fires; what never fired is bounded by the rule of three."""
    seen = latent.tokens_seen
    if latent.fired:
        every = _one_in(seen / latent.fired)
        return f"fires at {latent.fired:,} of {_tokens(seen)} ({every})"
    return f"never fired in {_tokens(seen)}: at most {_one_in(1 / latent.at_most)} (3/N)"


def token_sentence(latent: Latent) -> str:
    """How it hangs on one token; empty where it never fired."""
    if latent.peak_token is None:
        return ""
    token, share = repr(latent.peak_token), f"{100 * (latent.token_share or 0.0):.0f} %"
    phi = "" if latent.token_phi is None else f" (phi {latent.token_phi:.2f})"
    if latent.single_token:
        return f"a single-token latent: {share} of its sampled peaks are at {token}{phi}"
    return f"its sampled peaks stand most often at {token}, {share} of them{phi}"


def made_of_sentence(made: MadeOf) -> str:
    """Which text the atlas was made from, and what was left out of the counts."""
    documents = f"{made.documents:,} document{'' if made.documents == 1 else 's'}"
    left_out = made.special_excluded + made.sinks_excluded
    out = f"; {left_out:,} special tokens and attention sinks are not counted" if left_out else ""
    until = "" if made.finished is None else f", finished {made.finished[:10]}"
    return (
        f"{_tokens(made.tokens_seen)} of {documents} in {made.corpus}, read in windows of {made.window} by "
        f"{made.model} at {made.hook_name}{out}{until}."
    )


def _tokens(number: int) -> str:
    return f"{number:,} token{'' if number == 1 else 's'}"


def _one_in(number: float) -> str:
    """1 in N; with a decimal where N is small, so that 2 in 3 is not said to be 1 in 2."""
    return f"1 in {number:,.0f}" if number >= 10 or number == round(number) else f"1 in {number:.1f}"
