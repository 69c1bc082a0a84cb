import math
from typing import Any

import pytest

from sas_core.errors import BadInput
from sas_core.steering.gates import (
    AnswerOnly,
    FirstTokens,
    WhileAbove,
    parse_gate,
    parse_how,
    spell_gate,
    spell_how,
)


@pytest.mark.parametrize(
    ("gate", "word"),
    [(WhileAbove(812, 3.5), "812>3.5"), (WhileAbove(0, -1e-7), "0>-1e-07"), (FirstTokens(8), "first8"),
     (AnswerOnly(), "answer")],
)  # fmt: skip
def test_a_gate_is_spelt_in_one_word_and_read_back(gate: Any, word: str) -> None:
    assert spell_gate(gate) == word and parse_gate(word) == gate


def test_always_is_no_gate() -> None:
    assert parse_gate("always") is None


@pytest.mark.parametrize("word", ["", "812", "812>", ">3", "812>x", "812>1e+", "-1>2", "first", "firstx",
                                  "Answer", "812>3;", "8" * 12 + ">1"])  # fmt: skip
def test_any_other_word_is_refused_with_examples(word: str) -> None:
    with pytest.raises(BadInput, match=r"neither a mode .* nor a gate .*812>3.5.*first8.*answer, always"):
        parse_gate(word)


@pytest.mark.parametrize(("word", "reason"), [("first0", "first 0 tokens never opens"),
                                              ("812>1e999", "latent 812 above inf is unusable")])  # fmt: skip
def test_a_gate_that_could_never_work_is_refused(word: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        parse_gate(word)


def test_a_gate_needs_numbers() -> None:
    with pytest.raises(BadInput, match="latent 3 above nan"):
        WhileAbove(3, math.nan)
    with pytest.raises(BadInput, match="latent -1 above 1"):
        WhileAbove(-1, 1.0)


@pytest.mark.parametrize(
    ("words", "how"),
    [([], ("add", None)), (["clamp"], ("clamp", None)), (["first2"], ("add", FirstTokens(2))),
     (["scale", "answer"], ("scale", AnswerOnly())), (["add", "always"], ("add", None))],
)  # fmt: skip
def test_mode_and_gate_may_both_be_left_out(words: list[str], how: Any) -> None:
    assert parse_how(words) == how
    assert parse_how(spell_how(*how)) == how


def test_a_plain_addition_needs_no_words() -> None:
    assert spell_how("add", None) == []


@pytest.mark.parametrize("words", [["answer", "clamp"], ["clamp", "answer", "first2"]])
def test_what_follows_the_gate_is_refused(words: list[str]) -> None:
    with pytest.raises(BadInput, match="one word too many"):
        parse_how(words)


def test_gates_say_in_words_when_they_open() -> None:
    assert WhileAbove(812, 3.5).sentence() == "only while latent 812 is above 3.5"
    assert FirstTokens(1).sentence() == "only the first 1 generated token"
    assert FirstTokens(8).sentence() == "only the first 8 generated tokens"
    assert AnswerOnly().sentence() == "only the answer"
