"""How a latent's contexts hang on single tokens, and the words around its peaks for the search."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sas_core.atlas.best import Entries
from sas_core.atlas.recorder import Recorder

_BEFORE, _AFTER = 10, 5
_STARTS_WORD = re.compile(r"^[\W_]")


@dataclass(frozen=True)
class Association:
    """The token most often at the peak, its share of the peaks, and phi of "is this token" and "fires"."""

    token: int
    share: float
    phi: float | None


def associate(recorder: Recorder, entries: Entries, rows: np.ndarray) -> Association | None:
    """Over a latent's uniformly sampled windows; of equally frequent tokens the smallest id.

    `phi` is None where it is undefined: the token, or the firing, is everywhere or nowhere.
    """
    if not len(rows):
        return None
    windows = [recorder.windows[int(number)] for number in entries.window[rows]]
    peaks = np.array([w.ids[p] for w, p in zip(windows, entries.peak[rows].tolist(), strict=True)])
    tokens, counts = np.unique(peaks, return_counts=True)
    token = int(tokens[counts.argmax()])
    is_token, fires = [], []
    for window, row in zip(windows, rows.tolist(), strict=True):
        firing = np.zeros(len(window.ids), bool)
        firing[recorder.traces.get(int(entries.trace[row]))[0]] = True
        counted = np.ones(len(window.ids), bool)
        counted[window.excluded] = False
        is_token.append((window.ids == token)[counted])
        fires.append(firing[counted])
    share = float(counts.max() / len(rows))
    return Association(token, share, _phi(np.concatenate(is_token), np.concatenate(fires)))


def _phi(a: np.ndarray, b: np.ndarray) -> float | None:
    """Correlation of two yes-or-no series."""
    n, both, of_a, of_b = len(a), float((a & b).sum()), float(a.sum()), float(b.sum())
    spread = of_a * (n - of_a) * of_b * (n - of_b)
    return (n * both - of_a * of_b) / spread**0.5 if spread > 0 else None


def around_peaks(
    recorder: Recorder, entries: Entries, rows: np.ndarray, pieces: Sequence[str]
) -> tuple[str, str]:
    """The words that hold the peaks, and the texts around them, each context on a line of its own."""
    peaks, nearby = [], []
    for number, peak in zip(entries.window[rows].tolist(), entries.peak[rows].tolist(), strict=True):
        first = max(0, peak - _BEFORE)
        texts = [pieces[token] for token in recorder.windows[number].ids[first : peak + _AFTER + 1].tolist()]
        peaks.append(_word_at(texts, peak - first))
        nearby.append("".join(texts).replace("\n", " "))
    return "\n".join(peaks), "\n".join(nearby)


def _word_at(texts: Sequence[str], at: int) -> str:
    """Pieces that belong to one word, from the one that starts it."""
    first, end = at, at + 1
    while first > 0 and not _STARTS_WORD.match(texts[first]):
        first -= 1
    while end < len(texts) and texts[end] and not _STARTS_WORD.match(texts[end]):
        end += 1
    return "".join(texts[first:end]).strip()
