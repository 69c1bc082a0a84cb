"""What an atlas says of a latent, as plain values: its card, its contexts, its line in the list, a filter.

Knows no file and no model.
"""

from dataclasses import dataclass
from typing import Literal

BANDS = ("top", "75-100 %", "50-75 %", "25-50 %", "0-25 %")
"""The strongest contexts, then quarters of a uniform sample of the windows in which a latent fires."""

DENSITY_CLASSES = ("dead", "rare", "normal", "dense")

SINGLE_TOKEN_SHARE, SINGLE_TOKEN_PHI = 0.9, 0.8
"""A latent is of a single token from this share of its peaks and this correlation with the token on."""

RULE_OF_THREE = 3.0

AUTO_KINDS = ("words", "pieces", "after", "class", "topic", "unclear", "few")
"""What an automatic label speaks of; "unclear": no rule held, "few": too few passages to test one on."""

Order = Literal["index", "max", "density", "mean", "token_share"]
Labelled = Literal["any", "labelled", "unlabelled"]


@dataclass(frozen=True)
class Context:
    """A window of the corpus in which a latent fires.

    `activations` has one number a token, 0 where it does not fire; `peak` is the first position of their
    maximum. `document` is the row of the corpus (from 0) and `offset` the index of the window's first
    token in it. Positions in `excluded` (special tokens, attention sinks) were not counted.
    """

    band: str
    max: float
    peak: int
    window: int
    document: int
    offset: int
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    excluded: frozenset[int]


@dataclass(frozen=True)
class AutoLabel:
    """A rule that a program made from some of a latent's contexts and tested on others (`atlas.autolabel`).

    `confidence` is the balanced accuracy with which the rule tells passages in which the latent fires
    strongly from passages in which it never fires, over `tested` passages that it was not made from: 0.5 is
    chance. `low` to `high` is its 95 % interval (Wilson). All three are None for "few".
    """

    text: str
    kind: str
    confidence: float | None
    low: float | None
    high: float | None
    tested: int

    @property
    def clear(self) -> bool:
        """Whether the label says something: its rule did better than chance."""
        return self.kind not in ("unclear", "few")

    @property
    def said(self) -> str:
        """How far the label can be trusted, to be shown wherever the label is."""
        if self.confidence is None:
            return "there are too few passages with or without it to make a rule and test it"
        figures = f"({self.low:.2f} to {self.high:.2f}; chance 0.5)"
        rule = "" if self.clear else "the best rule was "
        of = f"{self.confidence:.2f} of {self.tested} passages it was not made from"
        return f"{rule}right on {of} {figures}"


@dataclass(frozen=True)
class Latent:
    """All that is known of one latent but its contexts.

    `fired` counts tokens, of `tokens_seen`; mean and standard deviation are over the tokens at which it
    fires. `histogram` counts its activations in the bins of `made_of.EDGES`. `positive` and `negative`
    are the tokens it writes with their logits, `neighbours` latents with their decoder cosine; all three
    are empty where the build left them out (`derive` computes them). `auto` is None for a dead latent and
    where the file holds no automatic labels.
    """

    index: int
    fired: int
    tokens_seen: int
    max: float
    mean_nonzero: float | None
    std_nonzero: float | None
    density_class: str
    histogram: tuple[int, ...]
    peak_token: str | None
    token_share: float | None
    token_phi: float | None
    positive: tuple[tuple[str, float], ...]
    negative: tuple[tuple[str, float], ...]
    neighbours: tuple[tuple[int, float], ...]
    auto: AutoLabel | None = None

    @property
    def density(self) -> float:
        """Share of the tokens at which it fires."""
        return _share(self.fired, self.tokens_seen)

    @property
    def at_most(self) -> float | None:
        """Where it never fired, the density it stays below with 95 % confidence (rule of three)."""
        if self.fired:
            return None
        return min(1.0, RULE_OF_THREE / max(self.tokens_seen, 1))

    @property
    def single_token(self) -> bool:
        """Whether it fires at one token and hardly anywhere else."""
        share, phi = self.token_share or 0.0, self.token_phi or 0.0
        return share >= SINGLE_TOKEN_SHARE and phi >= SINGLE_TOKEN_PHI


@dataclass(frozen=True)
class LatentRow:
    """One line of the list; `positive` are the first tokens it writes, `label` is the user's own."""

    index: int
    fired: int
    density: float
    density_class: str
    max: float
    mean_nonzero: float | None
    peak_token: str | None
    token_share: float | None
    positive: tuple[str, ...]
    label: str | None
    auto: AutoLabel | None = None


@dataclass(frozen=True)
class Filter:
    """Which latents the list shows: all conditions hold together, bounds included.

    `density_class` is one of `DENSITY_CLASSES`; densities are shares of tokens. `label_text` is looked for
    in labels and notes, in either case of letters. `only` are the latents of a vector: None for no such
    condition, and empty for a vector without latents, which shows nothing.
    """

    density_class: str | None = None
    min_max: float | None = None
    max_max: float | None = None
    min_density: float | None = None
    max_density: float | None = None
    label: Labelled = "any"
    label_text: str | None = None
    only: tuple[int, ...] | None = None


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
