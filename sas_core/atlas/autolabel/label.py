"""One automatic label: a rule made from half of a latent's passages, tested on the others, put in words."""

from sas_core.atlas.autolabel.features import Features
from sas_core.atlas.autolabel.passages import Passages
from sas_core.atlas.autolabel.rules import Rule, RuleMaker, balanced
from sas_core.atlas.autolabel.spelling import CLASSES
from sas_core.atlas.intervals import share_within
from sas_core.atlas.types import AutoLabel

LEAST_PASSAGES = 5
"""Passages with the latent, and without, that each half needs."""

MOST_CHARS = 60
UNCLEAR, FEW = "no clear pattern", "too few contexts"
_HEADS = {"words": "", "pieces": "", "after": "after ", "topic": "in texts with "}


class Labeller:
    """Labels one latent after the other over the same features."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._maker = RuleMaker(features)

    def label(self, made_from: Passages, held_out: Passages) -> AutoLabel:
        """`held_out` decides the confidence, and whether the rule is shown, and no word of it."""
        sizes = [len(side) for half in (made_from, held_out) for side in (half.firing, half.silent)]
        if min(sizes) < LEAST_PASSAGES:
            return AutoLabel(FEW, "few", None, None, None, 0)
        rule, tested = self._maker.best(made_from), sum(sizes[2:])
        accuracy = 0.5 if rule is None else balanced(rule.right(self._features, held_out))
        found = share_within(accuracy * tested, tested)
        low, high = found.low, found.high
        if rule is None or low <= 0.5:
            return AutoLabel(UNCLEAR, "unclear", accuracy, low, high, tested)
        text = in_words(self._features, rule)
        return AutoLabel(text, rule.kind, accuracy, low, high, tested)


def in_words(features: Features, rule: Rule) -> str:
    """A rule as a person reads it, in at most `MOST_CHARS` characters; items that do not fit are left out."""
    if rule.kind == "class":
        return CLASSES[rule.items[0]]
    text = f"{_HEADS[rule.kind]}{_quoted(features.name(rule.items[0]))}"
    for item in rule.items[1:]:
        longer = f"{text}, {_quoted(features.name(item))}"
        if len(longer) > MOST_CHARS:
            break
        text = longer
    return text


def _quoted(text: str) -> str:
    short = text if len(text) <= MOST_CHARS // 2 else f"{text[: MOST_CHARS // 2]}…"
    return f"“{short}”"
