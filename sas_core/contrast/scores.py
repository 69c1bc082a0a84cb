"""Plain statistics on dense columns, one column a latent: AUROC, paired sign flips, false discovery rate.

Knows nothing of latents, sides or sparse codes; `statistics` asks it about a block of columns at a time.
"""

import numpy as np
from jaxtyping import Float, Int, Int8

_FLIPS_AT_ONCE = 256


def auroc(high: Float[np.ndarray, "n k"], low: Float[np.ndarray, "m k"]) -> Float[np.ndarray, " k"]:
    """For each column, the chance that a value of `high` exceeds one of `low`; ties count half.

    This is Mann-Whitney's U divided by n * m. Both must have at least one row.
    """
    n, m = len(high), len(low)
    values = np.concatenate([high, low])
    order = np.argsort(values, axis=0, kind="stable")
    ranks = _tied_ranks(np.take_along_axis(values, order, axis=0))
    rank_sum = np.where(order < n, ranks, 0.0).sum(axis=0)
    return (rank_sum - n * (n + 1) / 2) / (n * m)


def _tied_ranks(ordered: Float[np.ndarray, "rows k"]) -> Float[np.ndarray, "rows k"]:
    """Ranks from 1 in sorted columns, where equal values share the mean of their places."""
    places = np.broadcast_to(np.arange(len(ordered))[:, None], ordered.shape)
    edge = np.ones((1, ordered.shape[1]), dtype=bool)
    changes = ordered[1:] != ordered[:-1]
    first = np.maximum.accumulate(np.where(np.vstack([edge, changes]), places, 0), axis=0)
    ends = np.where(np.vstack([changes, edge]), places, len(ordered))
    last = np.minimum.accumulate(ends[::-1], axis=0)[::-1]
    return (first + last) / 2 + 1


def oriented(area: Float[np.ndarray, " k"], direction: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """AUROC in the direction (+ or -) that was decided elsewhere; 0.5 where none was (direction 0)."""
    return 0.5 + np.sign(direction) * (area - 0.5)


def fold_auroc(
    high: Float[np.ndarray, "n k"], low: Float[np.ndarray, "n k"], folds: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    """Cross-validated AUROC of paired rows: each fold is scored in the direction the others show.

    The mean over folds, weighted by their pairs. A column that tells nothing can come out somewhat
    below 0.5, since what one fold has too much of the others have too little.
    """
    total = np.zeros(high.shape[1])
    for fold in np.unique(folds):
        inside = folds == fold
        direction = (high[~inside] - low[~inside]).sum(axis=0)
        total += inside.sum() * oriented(auroc(high[inside], low[inside]), direction)
    return total / len(high)


def sign_flips(permutations: int, n: int, rng: np.random.Generator) -> Int8[np.ndarray, "permutations n"]:
    """Rows of random +1 and -1, one row a permutation."""
    return 2 * rng.integers(0, 2, size=(permutations, n), dtype=np.int8) - 1


def sign_flip_p(
    differences: Float[np.ndarray, "n k"], signs: Int8[np.ndarray, "permutations n"]
) -> Float[np.ndarray, " k"]:
    """Two-sided p-value of each column's mean under random exchange of the sides within pairs.

    (1 + b) / (1 + B) with b of the B permutations at least as far from 0 as what was seen.
    """
    seen = np.abs(differences.sum(axis=0))
    # the same terms added in another order may differ in the last bit, and a tie must count
    least = seen - 1e-12 * np.abs(differences).sum(axis=0)
    reached = np.zeros(differences.shape[1], dtype=np.int64)
    for start in range(0, len(signs), _FLIPS_AT_ONCE):
        block = signs[start : start + _FLIPS_AT_ONCE].astype(np.float64)
        reached += (np.abs(block @ differences) >= least).sum(axis=0)
    return (1 + reached) / (1 + len(signs))


def benjamini_hochberg(p: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """q-values: the smallest false discovery rate at which each test is still among the findings."""
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q
