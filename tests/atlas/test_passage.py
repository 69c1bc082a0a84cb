"""A context as a text for a pair: what stays of a window, and what becomes its prompt."""

import pytest

from sas_core.atlas.passage import Passage, passage_of
from sas_core.model.chat import Turns
from tests.helpers import N_CTX, chat_tokenizer, plain_tokenizer


@pytest.fixture(scope="module")
def turns() -> Turns:
    return Turns(chat_tokenizer(), prepend_bos=False, n_ctx=N_CTX)


def chat(turns: Turns, *messages: tuple[str, str]) -> list[int]:
    talk = [{"role": role, "content": content} for role, content in messages]
    text = turns.tokenizer.apply_chat_template(talk, tokenize=False)
    return turns.tokenizer.encode(text, add_special_tokens=False)


def place_of(turns: Turns, ids: list[int], text: str) -> int:
    """Position of the first token whose end is past the start of `text`."""
    before = turns.tokenizer.decode(ids).index(text)
    return next(i for i in range(len(ids)) if len(turns.tokenizer.decode(ids[: i + 1])) > before)


def test_plain_text_is_taken_whole(turns: Turns) -> None:
    ids = turns.tokenizer.encode("The sea is warm and low")
    assert passage_of(ids, 2, turns) == Passage("", "The sea is warm and low")


def test_an_answer_comes_with_the_question_it_answers(turns: Turns) -> None:
    ids = chat(
        turns, ("system", "You are kind."), ("user", "Tell me."), ("assistant", "The sea.\nAnd the sun.")
    )
    for words in ("The sea", "And the sun"):
        found = passage_of(ids, place_of(turns, ids, words), turns)
        assert found == Passage("Tell me.", "The sea.\nAnd the sun.")


def test_a_question_has_no_prompt(turns: Turns) -> None:
    ids = chat(turns, ("user", "Tell me."), ("assistant", "No."), ("user", "Why not?"))
    assert passage_of(ids, place_of(turns, ids, "Why"), turns) == Passage("", "Why not?")


def test_a_window_that_starts_inside_an_answer_has_no_prompt(turns: Turns) -> None:
    ids = chat(turns, ("user", "Tell me."), ("assistant", "The sea is warm."))
    ids = ids[place_of(turns, ids, "sea") :]
    assert passage_of(ids, 0, turns).prompt == ""
    assert passage_of(ids, 0, turns).text.endswith("sea is warm.")


def test_a_peak_on_a_special_token_belongs_to_the_turn_it_ends(turns: Turns) -> None:
    ids = chat(turns, ("user", "Tell me."), ("assistant", "The sea."))
    end = max(i for i, token in enumerate(ids) if token in turns.special_ids)
    assert passage_of(ids, end, turns) == Passage("Tell me.", "The sea.")


def test_a_window_of_special_tokens_alone_has_no_text() -> None:
    turns = Turns(plain_tokenizer(), prepend_bos=True, n_ctx=N_CTX)
    assert passage_of([0, 0], 1, turns) == Passage("", "")
