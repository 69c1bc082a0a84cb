"""Documents cut into windows and windows gathered into batches, against cutting by hand."""

import random
from itertools import pairwise

import numpy as np
import pytest

from sas_core.atlas.windows import Window, WindowReader, batches
from sas_core.model.rows import encode_row
from tests.helpers import chat_tokenizer

SIZE = 8


@pytest.fixture(scope="module")
def tokenizer():
    return chat_tokenizer()


@pytest.fixture
def rows(tokenizer):
    """Lengths below, at and above a window and its multiples, empty rows, a chat."""
    token = tokenizer.decode([300])
    assert len(tokenizer.encode(token * 5)) == 5, "a token that keeps to itself"
    texts = [token * n for n in (1, 7, 8, 9, 0, 16, 17, 40)]
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The sea is late again."}]
    return [*({"text": text} for text in texts), {"messages": chat}, {"text": ""}]


def whole(window: Window) -> tuple[list[int], list[bool]]:
    return window.ids.tolist(), window.keep.tolist()


@pytest.mark.parametrize("bos", [None, 1])
def test_the_windows_of_a_document_put_together_are_the_document(rows, tokenizer, bos):
    reader = WindowReader(rows, tokenizer, SIZE, bos=bos)
    windows = list(reader)
    assert [window.number for window in windows] == list(range(len(windows)))
    for document, row in enumerate(rows):
        ids, keep = encode_row(row, tokenizer)
        mine = [window for window in windows if window.document == document]
        room = SIZE if bos is None else SIZE - 1
        assert [window.offset for window in mine] == list(range(0, len(ids), room))
        first = 0 if bos is None else 1
        assert [token for window in mine for token in window.ids[first:].tolist()] == ids
        assert [kept for window in mine for kept in window.keep[first:].tolist()] == keep
        assert all(len(window.ids) == SIZE for window in mine[:-1]), "only the last may be short"
    assert (reader.documents, reader.empty) == (10, 2)
    assert reader.tokens == sum(len(encode_row(row, tokenizer)[0]) for row in rows)


def test_each_window_starts_with_the_bos_token_which_is_never_counted(rows, tokenizer):
    windows = list(WindowReader(rows, tokenizer, SIZE, bos=1))
    assert len(windows) > 10
    assert all(window.ids[0] == 1 and not window.keep[0] for window in windows)
    assert all(2 <= len(window.ids) <= SIZE for window in windows)


@pytest.mark.parametrize("bos", [None, 1])
def test_a_limit_cuts_the_text_at_exactly_so_many_tokens(rows, tokenizer, bos):
    everything = list(WindowReader(rows, tokenizer, SIZE, bos=bos))
    first = 0 if bos is None else 1
    in_all = sum(len(window.ids) - first for window in everything)
    for limit in range(1, in_all + 2):
        reader = WindowReader(rows, tokenizer, SIZE, bos=bos, limit_tokens=limit)
        windows = list(reader)
        assert sum(len(window.ids) - first for window in windows) == reader.tokens == min(limit, in_all)
        assert list(map(whole, windows[:-1])) == list(map(whole, everything[: len(windows) - 1]))
        ids, keep = whole(everything[len(windows) - 1])
        last = len(windows[-1].ids)
        assert whole(windows[-1]) == (ids[:last], keep[:last])


def test_at_the_limit_no_further_row_is_encoded(rows, tokenizer):
    reader = WindowReader(rows, tokenizer, SIZE, limit_tokens=8)
    assert len(list(reader)) == 2 and reader.documents == 2


def test_the_field_names_what_is_read(tokenizer):
    reader = WindowReader([{"text": "no", "story": "the sea"}], tokenizer, SIZE, field="story")
    assert [window.ids.tolist() for window in reader] == [tokenizer.encode("the sea")]


def made_up_block(seed: int) -> list[Window]:
    random.seed(seed)
    lengths = [random.randint(1, 30) for _ in range(random.randint(1, 40))]
    return [
        Window(100 + i, i, 0, np.arange(1, n + 1, dtype=np.uint32), np.arange(n) % 3 > 0)
        for i, n in enumerate(lengths)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_batches_hold_every_window_once_padded_and_within_the_limit(seed):
    block = made_up_block(seed)
    made = list(batches(block, most_tokens=64))
    numbers = [window.number for batch in made for window in batch.windows]
    assert sorted(numbers) == [window.number for window in block]
    lengths = [len(window.ids) for batch in made for window in batch.windows]
    assert lengths == sorted(lengths)
    for batch in made:
        assert batch.tokens.shape == batch.keep.shape and len(batch.windows) == len(batch.tokens)
        assert batch.tokens.numel() <= 64 or len(batch.windows) == 1
        for window, tokens, keep in zip(batch.windows, batch.tokens, batch.keep, strict=True):
            n = len(window.ids)
            assert tokens[:n].tolist() == window.ids.tolist() and keep[:n].tolist() == window.keep.tolist()
            assert not tokens[n:].any() and not keep[n:].any(), "padding is never counted"


def test_a_batch_is_as_large_as_the_limit_allows_and_the_same_every_time():
    block = made_up_block(3)
    made = list(batches(block, most_tokens=64))
    for batch, following in pairwise(made):
        longer = len(following.windows[0].ids)
        assert (len(batch.windows) + 1) * longer > 64, "one more window would not have fitted"
    again = list(batches(list(reversed(block)), most_tokens=64))
    assert [[w.number for w in b.windows] for b in again] == [[w.number for w in b.windows] for b in made]


def test_a_window_longer_than_the_limit_is_a_batch_of_its_own():
    block = made_up_block(1)
    assert {len(batch.windows) for batch in batches(block, most_tokens=1)} == {1}
