"""A probe: how likely the unsteered model's own activations make it that a text shows the behaviour.

Logistic regression on the mean residual over a text's tokens, trained on the training pairs' completions
after their prompts, and asked about texts it never saw. Both are read UNSTEERED: a text that was written
under steering is read again by the plain model after its prompt (and without a system prompt that asked for
it). So the probe reads what was written. At the steered hook of the steered model it would find the pushed
vector itself, whatever the text says; read again, the SAE's own hook is as good as a later one. What it
cannot tell is fluency: words of the behaviour without sense score high. It knows the contrast of its pairs
and no more; `Probe.accuracy` on held-out pairs says how far to trust it.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from sas_core.contrast.collect import Progress, Text, tokenise
from sas_core.contrast.dense import read_means, text_means
from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.scores import auroc
from sas_core.errors import BadInput
from sas_core.evaluation.bootstrap import RESAMPLES, Estimate, estimate
from sas_core.evaluation.scorers.logistic import Fitted, best_strength, fit
from sas_core.steering.engine import Engine
from sas_core.steering.spec import Prompt

_RESAMPLES_AT_ONCE = 500


@dataclass(frozen=True)
class ProbeAccuracy:
    """How well a probe tells the sides of `pairs` held-out pairs apart, with 95 % intervals over pairs.

    `accuracy`: share of texts on the right side of log odds 0. `auroc`: chance that a positive text scores
    above a negative one, which a shifted zero does not spoil.
    """

    pairs: int
    accuracy: Estimate
    auroc: Estimate

    @property
    def at_chance(self) -> bool:
        """Whether its order of held-out texts cannot be told from chance; its figures then mean nothing."""
        return self.auroc.low <= 0.5

    def sentence(self) -> str:
        """What the figures are worth, for a report."""
        right, order = self.accuracy, self.auroc
        told = (
            f"On {self.pairs:,} held-out pairs the probe is right about {100 * right.value:.0f} % of the "
            f"texts ({100 * right.low:.0f} to {100 * right.high:.0f}), AUROC {order.value:.2f} "
            f"({order.low:.2f} to {order.high:.2f})."
        )
        return f"{told} That is chance: do not go by it." if self.at_chance else told


@dataclass(frozen=True, eq=False)
class Probe:
    """Log odds of the mean residual at `hook_name`. Trained on `pairs` pairs with the L2 strength `l2`."""

    hook_name: str
    fitted: Fitted
    l2: float
    pairs: int

    def accuracy(self, engine: Engine, heldout: PairSet, session: str = "") -> ProbeAccuracy:
        """On pairs it was not trained on. Waits for the model; raises BadInput where none can be read."""
        reading = _sides(engine, heldout, self.hook_name, session)
        return _accuracy(*(self.fitted.log_odds(side) for side in _end(reading)))


def train_probe(
    engine: Engine, pairs: PairSet, *, hook_name: str | None = None, session: str = ""
) -> Iterator[Progress | Probe]:
    """Yield Progress while texts are read, and the Probe last. `hook_name=None` is the SAE's.

    Of each completion the mean over its tokens, special tokens and attention sinks left out; pairs with a
    side that has no other token are passed over. The L2 strength has the least log loss over 5 folds of the
    pairs (`logistic`). The same pairs on the same model give the same probe.

    Raises BadInput (multiple-choice pairs, fewer than two pairs, no such hook), Cancelled, QueueFull.
    """
    hook = hook_name or engine.hook_name
    positive, negative = yield from _sides(engine, pairs, hook, session)
    n = len(positive)
    if n < 2:
        raise BadInput("A probe needs at least two pairs to learn from; give more, or turn it off.")
    x, is_positive = np.concatenate([positive, negative]), np.arange(2 * n) < n
    l2 = best_strength(x, is_positive, np.arange(2 * n) % n)
    (fitted,) = fit(x, is_positive, (l2,))
    yield Probe(hook, fitted, l2, n)


def require_free_text(pairs: PairSet) -> None:
    """Raise BadInput for pairs whose completions are letters: they teach nothing about written texts."""
    if pairs.form == "multiple-choice":
        raise BadInput(
            "A probe reads whole answers, and these pairs are multiple choice; give free-text pairs, or turn "
            "the probe off (text.probe: false)."
        )


class ProbeScorer:
    """The figure `probe`: log odds (nats) that the text shows the behaviour; 0 is undecided.

    A text without a readable token has none. Takes a turn of the model for each text, so the caller must
    not hold one.
    """

    figures = ("probe",)

    def __init__(self, engine: Engine, probe: Probe) -> None:
        self._engine, self.probe = engine, probe

    def score(self, prompt: Prompt, text: str) -> dict[str, float]:
        """Reads the text after its prompt, cut where the model's context ends."""
        turns = self._engine.turns
        before = turns.encode(prompt).ids
        # no `after`: a written text begins with the space it was written with
        ids = turns.encode_completion(text, chat=turns.has_template)
        whole = Text(0, True, before + ids, tuple(range(len(before), len(before) + len(ids))))
        with self._engine.turn() as ticket:
            ticket.wait_turn()
            (mean,) = text_means(self._engine, [_cut(whole, turns.n_ctx)], self.probe.hook_name)
        if mean is None or not bool(mean.isfinite().all()):
            return {}
        return {"probe": float(self.probe.fitted.log_odds(mean.numpy()[None])[0])}


def _sides(
    engine: Engine, pairs: PairSet, hook_name: str, session: str
) -> Generator[Progress, None, tuple[Float[np.ndarray, "pair d_in"], Float[np.ndarray, "pair d_in"]]]:
    """Mean residuals of the positive and of the negative texts, pair by pair."""
    require_free_text(pairs)
    texts = [
        _cut(text, engine.turns.n_ctx)
        for text in tokenise(engine.turns, usable(pairs), "completion-mean", None)
    ]
    means = yield from read_means(engine, texts, hook_name=hook_name, session=session)
    ordered = [means[text] for text in texts]
    both = [
        (p, n) for p, n in zip(ordered[::2], ordered[1::2], strict=True) if p is not None and n is not None
    ]
    if not both:
        raise BadInput(
            "No pair has a readable token on both sides: all are special tokens or attention sinks. Give "
            "longer texts."
        )
    positive, negative = (torch.stack(side).numpy() for side in zip(*both, strict=True))
    if not (np.isfinite(positive).all() and np.isfinite(negative).all()):
        raise BadInput(
            f"Activations at {hook_name} are no finite numbers on some pairs, so there is no probe; run the "
            "model in float32 or bfloat16."
        )
    return positive, negative


def _cut(text: Text, longest: int) -> Text:
    return replace(text, ids=text.ids[:longest], read=tuple(p for p in text.read if p < longest))


def _end(steps: Generator[Progress, None, tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _accuracy(positive: Float[np.ndarray, " n"], negative: Float[np.ndarray, " n"]) -> ProbeAccuracy:
    right = (positive > 0.0).astype(np.float64) + (negative < 0.0)
    area = float(auroc(positive[:, None], negative[:, None])[0])
    n = len(positive)
    drawn = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    # a resample is a column
    areas = np.concatenate(
        [
            auroc(positive[part].T, negative[part].T)
            for part in np.array_split(drawn, -(-RESAMPLES // _RESAMPLES_AT_ONCE))
        ]
    )
    low, high = np.quantile(areas, (0.025, 0.975))
    return ProbeAccuracy(n, estimate(right / 2.0), Estimate(area, float(low), float(high)))
