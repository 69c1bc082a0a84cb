import math

import pytest
import torch

from sas_core.steering.sampling import choose, gumbel_noise
from sas_core.steering.spec import Sampling

LOGITS = torch.tensor([1.2, -0.4, 0.3, 2.0, -1.5, 0.9, 0.0, -3.0])
DRAWS = 4000
CHI_SQUARE_0_999 = {7: 24.32, 3: 16.27}  # a right sampler exceeds it once in a thousand sets of draws


def _counts(sampling: Sampling, logits: torch.Tensor = LOGITS) -> torch.Tensor:
    drawn = [int(choose(logits[None], sampling, step)) for step in range(DRAWS)]
    return torch.bincount(torch.tensor(drawn), minlength=len(logits)).double()


def _chi_square(counts: torch.Tensor, probabilities: torch.Tensor) -> float:
    expected = probabilities.double() * counts.sum()
    kept = expected > 0
    assert not counts[~kept].any(), "an impossible token was drawn"
    return float(((counts - expected)[kept] ** 2 / expected[kept]).sum())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", [0, 11])
def test_draws_follow_the_softmax_at_the_temperature(temperature: float, seed: int) -> None:
    counts = _counts(Sampling(4, temperature, seed=seed))

    assert _chi_square(counts, (LOGITS / temperature).softmax(-1)) < CHI_SQUARE_0_999[7]


def test_draws_over_seeds_follow_the_softmax_as_well() -> None:
    drawn = [int(choose(LOGITS[None], Sampling(4, 1.0, seed=seed), 3)) for seed in range(DRAWS)]
    counts = torch.bincount(torch.tensor(drawn), minlength=8).double()

    assert _chi_square(counts, LOGITS.softmax(-1)) < CHI_SQUARE_0_999[7]


def _nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Probabilities after the plain rule: take the likeliest tokens until top_p is reached."""
    probabilities = logits.softmax(-1).tolist()
    kept: list[int] = []
    for token in sorted(range(len(probabilities)), key=lambda i: -probabilities[i]):
        kept.append(token)
        if math.fsum(probabilities[i] for i in kept) >= top_p:
            break
    weights = torch.tensor([p if i in kept else 0.0 for i, p in enumerate(probabilities)])
    return weights / weights.sum()


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.8, 0.95, 0.999])
def test_top_p_keeps_exactly_the_smallest_sufficient_set(top_p: float) -> None:
    allowed = _nucleus(LOGITS, top_p) > 0

    counts = _counts(Sampling(4, 1.0, top_p))

    likely_enough_to_be_seen = _nucleus(LOGITS, top_p) > 20 / DRAWS
    assert not counts[~allowed].any()
    assert counts[likely_enough_to_be_seen].all()


def test_draws_inside_the_nucleus_keep_their_proportions() -> None:
    probabilities = _nucleus(LOGITS, 0.85)
    assert int((probabilities > 0).sum()) == 4

    assert _chi_square(_counts(Sampling(4, 1.0, 0.85)), probabilities) < CHI_SQUARE_0_999[3]


def test_the_nucleus_is_taken_after_the_temperature_and_per_lane() -> None:
    flat, sharp = torch.zeros(8), torch.tensor([9.0, *[0.0] * 7])
    drawn = torch.stack([choose(torch.stack([flat, sharp]), Sampling(4, 1.0, 0.9), s) for s in range(200)])

    assert set(drawn[:, 1].tolist()) == {0}
    assert len(set(drawn[:, 0].tolist())) == 8
    hot = {int(choose(sharp[None], Sampling(4, 10.0, 0.9), s)) for s in range(200)}
    assert len(hot) > 3


def test_temperature_zero_is_the_largest_logit_of_each_lane() -> None:
    logits = torch.randn(5, 50)

    assert torch.equal(choose(logits, Sampling(4, 0.0, 0.5, seed=3), 2), logits.argmax(-1))


def test_equal_lanes_get_equal_tokens_whatever_stands_between_them() -> None:
    logits = torch.stack([LOGITS, torch.randn(8), LOGITS])
    for step in range(200):
        first, _, last = choose(logits, Sampling(4, 1.5, seed=2), step).tolist()
        assert first == last


def test_a_lanes_draws_do_not_depend_on_the_number_of_lanes() -> None:
    sampling, others = Sampling(4, 1.5, 0.9, seed=2), torch.randn(6, 8)
    for step in range(200):
        alone = int(choose(LOGITS[None], sampling, step))
        among = choose(torch.cat([others, LOGITS[None]]), sampling, step)
        assert int(among[-1]) == alone


def test_noise_depends_on_seed_and_step_and_on_nothing_else() -> None:
    first = gumbel_noise(40, 7, 3)
    torch.manual_seed(999)

    assert torch.equal(gumbel_noise(40, 7, 3), first)
    assert not torch.equal(gumbel_noise(40, 7, 4), first)
    assert not torch.equal(gumbel_noise(40, 8, 3), first)


def test_drawing_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    choose(LOGITS[None], Sampling(4, 1.0), 0)

    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_standard_gumbel_and_always_finite() -> None:
    noise = torch.cat([gumbel_noise(1000, seed, 0) for seed in range(100)]).double()

    assert noise.isfinite().all()
    # mean = Euler's constant, variance = pi squared over six; bounds are five standard errors
    assert float(noise.mean()) == pytest.approx(0.5772, abs=5 * 1.2825 / 1e5**0.5)
    assert float(noise.var()) == pytest.approx(1.6449, abs=0.06)


def test_a_negative_or_huge_seed_can_be_drawn_from() -> None:
    for seed in (-5, 2**63 - 1, 10**30):
        assert gumbel_noise(4, seed, 1).isfinite().all()
