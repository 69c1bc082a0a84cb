"""From what each text cost to a report: figures over texts with their bootstrap intervals.

Numbers only: knows nothing about models, edits or files.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sas_core.evaluation.bootstrap import Estimate, estimate


@dataclass(frozen=True)
class Reading:
    """One held-out text at one strength: means over its `tokens` scored tokens, in nats per token."""

    tokens: int
    nats: float
    kl: float


@dataclass(frozen=True)
class Writing:
    """One generated text. `nats`, `kl`: per token; `distinct`: of 1-, 2- and 3-grams.

    `without_effect`: a strength other than 0 changed nothing. A text whose activations stopped being finite
    numbers is no Writing.
    """

    tokens: int
    nats: float
    kl: float
    distinct: tuple[float, float, float]
    repeated: float
    compression: float
    without_effect: bool


@dataclass(frozen=True)
class TextPrice:
    """What reading costs. `nats`: mean surprise; `extra`: against the same texts unsteered; `kl`: mean KL."""

    nats: Estimate
    extra: Estimate
    kl: Estimate

    @property
    def perplexity(self) -> Estimate:
        """`exp(nats)`."""
        return self.nats.exp()


@dataclass(frozen=True)
class WrittenPrice:
    """What writing costs; `nats` is the texts' surprise under the unsteered model. `tokens`: mean length."""

    texts: int
    nats: Estimate
    kl: Estimate
    distinct: tuple[Estimate, Estimate, Estimate]
    repeated: Estimate
    compression: Estimate
    tokens: Estimate
    without_effect: float

    @property
    def perplexity(self) -> Estimate:
        """`exp(nats)`."""
        return self.nats.exp()


@dataclass(frozen=True)
class PriceRow:
    """One strength of the vector or of its control.

    `texts`, `written` are None where the activations were not finite numbers; `not_finite` is the share of
    generations that ended so. `accuracy` is None without items, and for the control.
    """

    arm: str
    scale: float
    texts: TextPrice | None
    written: WrittenPrice | None
    not_finite: float
    accuracy: Estimate | None = None


@dataclass(frozen=True)
class PriceReport:
    """The price of one vector. `rows`: the vector's, ascending in strength, 0 among them, then the control's.

    `scored_tokens`: of the held-out texts. `texts`, `prompts`, `items`: how many were used.
    """

    vector: str
    rows: tuple[PriceRow, ...]
    texts: int
    scored_tokens: int
    prompts: int
    items: int
    seed: int

    @property
    def capability_at_chance(self) -> bool | None:
        """Whether the unsteered accuracy cannot be told from a coin's; None without items."""
        found = next(row.accuracy for row in self.rows if row.scale == 0.0)
        return None if found is None else found.low <= 0.5 <= found.high


def text_price(steered: Sequence[Reading], plain: Sequence[Reading]) -> TextPrice | None:
    """Token-weighted over the texts; None where a text's figures are not finite."""
    if not all(math.isfinite(reading.nats) and math.isfinite(reading.kl) for reading in steered):
        return None
    tokens = [reading.tokens for reading in steered]
    return TextPrice(
        estimate([reading.nats for reading in steered], tokens),
        estimate([a.nats - b.nats for a, b in zip(steered, plain, strict=True)], tokens),
        estimate([reading.kl for reading in steered], tokens),
    )


def written_price(found: Sequence[Writing]) -> WrittenPrice | None:
    """Surprise and KL token-weighted, the rest means over texts; None where there is no text."""
    if not found:
        return None
    tokens = [float(text.tokens) for text in found]

    def mean(figure: Callable[[Writing], float]) -> Estimate:
        return estimate([figure(text) for text in found])

    return WrittenPrice(
        len(found),
        estimate([text.nats for text in found], tokens),
        estimate([text.kl for text in found], tokens),
        (mean(lambda t: t.distinct[0]), mean(lambda t: t.distinct[1]), mean(lambda t: t.distinct[2])),
        mean(lambda text: text.repeated),
        mean(lambda text: text.compression),
        estimate(tokens),
        sum(text.without_effect for text in found) / len(found),
    )
