from collections.abc import Sequence

import pytest
import torch

from sas_core.model.chat import Turns
from sas_core.steering.generate import Chosen, StopReason
from sas_core.steering.lanes import LaneText, first_difference
from tests.helpers import chat_tokenizer


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [((1, 2, 3), (1, 5, 3), 1), ((1, 2), (1, 2, 3), None), ((), (4,), None), ((9,), (4,), 0)],
)
def test_the_first_difference_is_the_first_position_where_both_have_a_token(
    left: tuple[int, ...], right: tuple[int, ...], expected: int | None
) -> None:
    assert first_difference(left, right) == expected


def _grown(turns: Turns, ids: Sequence[int], last: StopReason) -> tuple[LaneText, list[str]]:
    """A lane after all of `ids`, and its text as it stood after each of them."""
    lane, texts = LaneText("steered", -1.0), []
    for step, token in enumerate(ids, start=1):
        lane.add(Chosen(0, token, -0.25, last if step == len(ids) else None), turns)
        texts.append(lane.result().text)
    return lane, texts


@pytest.fixture(scope="module")
def turns() -> Turns:
    return Turns(chat_tokenizer(), prepend_bos=False, n_ctx=64)


def test_a_character_whose_bytes_are_not_all_here_is_held_back(turns: Turns) -> None:
    ids = turns.encode_completion("a\u20acb", chat=True)  # the euro sign takes three bytes
    assert len(ids) == 5

    lane, texts = _grown(turns, ids, "length")

    assert texts == ["a", "a", "a", "a\u20ac", "a\u20acb"]
    assert lane.result().pieces == ("a", "", "", "\u20ac", "b")


def test_a_finished_lane_shows_what_it_has_even_if_a_character_is_torn(turns: Turns) -> None:
    torn = turns.encode_completion("\u20ac", chat=True)[:2]

    _, texts = _grown(turns, torn, "length")

    assert texts == ["", "\ufffd"]


def test_a_result_keeps_every_token_and_the_special_ones_add_no_text(turns: Turns) -> None:
    (end,) = turns.stop_ids
    hello = turns.encode_completion("Hi there", chat=True)

    result = _grown(turns, (*hello, end), "end of turn")[0].result()

    assert (result.name, result.scale, result.stop) == ("steered", -1.0, "end of turn")
    assert result.token_ids == (*hello, end)
    assert result.text == "Hi there" and result.pieces[-1] == ""
    assert len(result.pieces) == len(result.logprobs) == len(result.token_ids)


def test_the_pieces_of_any_tokens_join_to_their_text(turns: Turns) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        ids = torch.randint(0, 360, (20,), generator=generator).tolist()

        assert _grown(turns, ids, "length")[1][-1] == turns.decode(ids)
