import math
from typing import Any

import pytest

from sas_core.errors import BadInput
from sas_core.steering.spec import Lane, Sampling, Steering, Term, canonical_key
from tests.helpers import term


def test_what_is_added_is_scale_times_strength_times_value_summed_over_terms() -> None:
    steering = Steering((term({3: 1.0, 9: 2.0}, 0.5), term({9: -1.0, 1: 4.0}, 2.0)), scale=3.0)

    assert steering.added() == {1: 24.0, 3: 1.5, 9: 3.0 - 6.0}
    assert list(steering.added()) == [1, 3, 9]


def test_a_latent_named_twice_in_one_term_counts_twice() -> None:
    assert Steering((Term("v", (4, 4), (1.0, 0.5)),)).added() == {4: 1.5}


@pytest.mark.parametrize("steering", [
    Steering((term({3: 1.0}),), scale=0.0),
    Steering((term({3: 1.0}, 0.0),)),
    Steering((term({3: 0.0}),)),
    Steering((term({3: 0.1}, 0.7), term({3: 0.1}, -0.7))),
    Steering(()),
])  # fmt: skip
def test_what_adds_up_to_nothing_adds_nothing(steering: Steering) -> None:
    assert steering.added() == {}


def test_a_steering_at_another_scale_differs_in_nothing_else() -> None:
    steering = Steering((term({3: 1.0}),), 1.0, "none", "all")

    assert steering.at(-2.0) == Steering((term({3: 1.0}),), -2.0, "none", "all")


@pytest.mark.parametrize(("indices", "values"), [((), ()), ((1, 2), (1.0,))])
def test_a_term_without_a_value_for_each_latent_is_refused(indices: Any, values: Any) -> None:
    with pytest.raises(BadInput, match="the sea has no latents to steer with"):
        Term("the sea", indices, values)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(BadInput, match="not a finite number"):
        term({1: value})
    with pytest.raises(BadInput, match="not a finite number"):
        term({1: 1.0}, value)
    with pytest.raises(BadInput, match="scale"):
        Steering((term({1: 1.0}),), value)


@pytest.mark.parametrize("strength", [1.1e4, -1.1e4])
def test_strengths_beyond_all_use_are_refused(strength: float) -> None:
    with pytest.raises(BadInput, match=r"beyond ±10000"):
        term({1: 1.0}, strength)
    with pytest.raises(BadInput, match=r"within ±10000"):
        Steering((term({1: 1.0}),), strength)


def test_an_unknown_nonlinearity_or_region_is_refused_with_the_list() -> None:
    wrong: Any = "gelu"
    with pytest.raises(BadInput, match="nonlinearity 'gelu'; choose one of relu, jumprelu, none"):
        Steering((), nonlinearity=wrong)
    with pytest.raises(
        BadInput, match="steered tokens 'gelu'; choose one of generated, after-instruction, all"
    ):
        Steering((), tokens=wrong)


@pytest.mark.parametrize("count", [0, -1, 257])
def test_the_number_of_new_tokens_is_limited(count: int) -> None:
    with pytest.raises(BadInput, match=rf"{count} new tokens asked; choose 1 to 256"):
        Sampling(count)


def test_the_limit_of_new_tokens_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERSCOPE_MAX_NEW_TOKENS", "5")

    assert Sampling(5).max_new_tokens == 5
    with pytest.raises(BadInput, match="choose 1 to 5"):
        Sampling(6)


@pytest.mark.parametrize("options", [{"temperature": -0.1}, {"temperature": 10.1}, {"temperature": math.nan},
                                     {"top_p": 0.0}, {"top_p": 1.01}, {"top_p": math.nan}])  # fmt: skip
def test_sampling_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="is out of range"):
        Sampling(4, **options)


def test_the_default_is_greedy() -> None:
    assert Sampling().temperature == 0.0 and Lane("plain").steering is None


def test_equal_requests_have_equal_keys_and_different_ones_do_not() -> None:
    key = canonical_key([[1, 2, 3], Sampling(4, 0.5)])

    assert key == canonical_key([(1, 2, 3), Sampling(max_new_tokens=4, temperature=0.5)])
    others = [
        canonical_key([[1, 2], Sampling(4, 0.5)]), canonical_key([[1, 2, 3], Sampling(4, 0.5, seed=1)]),
        canonical_key([[1, 2, 3], Sampling(5, 0.5)]), canonical_key([[1, 2, 3]]),
    ]  # fmt: skip
    assert len({key, *others}) == 5 and len(key) == 64


def test_a_key_is_the_hash_of_canonical_json() -> None:
    import hashlib

    expected = hashlib.sha256(b'[[1, 2], {"a": 0.1, "b": 1}]').hexdigest()

    assert canonical_key([(1, 2), {"b": 1, "a": 0.1}]) == expected


def test_a_key_of_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_key([math.nan])
