"""The evidence for a latent in plain sentences, and what was left out of the codes."""

from sas_core.contrast.collect import Collected
from sas_core.contrast.statistics import Evidence
from sas_core.contrast.table import Fate


def fires_sentence(evidence: Evidence, at: int, n: int) -> str:
    """How often and how strongly the latent at position `at` fires on each side of `n` pairs."""
    pos, neg = round(evidence.freq_pos[at] * n), round(evidence.freq_neg[at] * n)
    means = f"{evidence.mean_pos[at]:.2f} and {evidence.mean_neg[at]:.2f}"
    return f"Fires in {pos} of {n} positive and {neg} of {n} negative texts; mean where it fires: {means}."


def separates_sentence(evidence: Evidence, at: int) -> str:
    """How well it tells the sides apart, and how surprising that is among all latents tested."""
    where = "on held-out pairs" if evidence.auroc_source == "held-out" else "over 5 folds of these pairs"
    return (
        f"AUROC {evidence.auroc[at]:.2f} {where} (0.5 is chance). Of the pairs that differ, "
        f"{100 * evidence.sign_agreement[at]:.0f} % agree in sign. Permutation p = "
        f"{evidence.p_value[at]:.2g}, q = {evidence.q_value[at]:.2g} among {len(evidence.latents):,} latents."
    )


def fate_sentence(fate: Fate, tau: float) -> str:
    """What the rule makes of the latent at this tau."""
    reach = f"at least {100 * tau:.3g} %"
    return {
        "+": f"Kept with a + sign: in {reach} of the positive texts.",
        "\u2212": f"Kept with a \u2212 sign: in {reach} of the negative texts.",
        "shared": f"Dropped: in {reach} of both sides, however far apart the frequencies are.",
        "left out": f"In {reach} of a side, and left out by the choice of side or top-k.",
        "below tau": f"Not kept: in {reach} of neither side.",
    }[fate]


def left_out_sentence(collected: Collected) -> str:
    """Positions that were not read because their codes mean nothing."""
    special, sinks = collected.special_positions, collected.sink_positions
    if not special + sinks:
        return "No special tokens or attention sinks among the positions read."
    return f"Left out of the codes: {_count(special, 'special token')} and {_count(sinks, 'attention sink')}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
