"""Rows to token windows: what may be learnt from, how sources are mixed."""

import pytest

from sas_core.dictionary.corpus import read_held_out, window_batches, windows
from sas_core.dictionary.spec import Source
from sas_core.errors import BadInput
from tests.helpers import chat_tokenizer


def test_windows_are_full_and_their_first_position_is_never_learnt_from(tmp_path):
    (tmp_path / "t.txt").write_text("The train was late again this morning.\n" * 40)
    found = list(windows([Source(str(tmp_path / "t.txt"))], chat_tokenizer(), 16))
    assert len(found) > 5
    assert all(len(ids) == len(keep) == 16 and not keep[0] for ids, keep in found)
    ids, keep = next(window_batches(iter(found), 4))
    assert ids.shape == keep.shape == (4, 16)


def test_sources_are_drawn_by_weight_and_an_exhausted_one_drops_out(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"{name * 9}\n" * 60)
    sources = [Source(str(tmp_path / "a.txt"), 9.0), Source(str(tmp_path / "b.txt"), 1.0)]
    tokenizer = chat_tokenizer()
    found = list(windows(sources, tokenizer, 16, seed=1))
    text = "".join(tokenizer.decode(ids) for ids, _ in found)
    early = text[: len(text) // 4]
    assert early.count("aaa") > 3 * early.count("bbb")
    assert text.count("bbb") > 50


def test_a_weight_that_is_no_number_is_refused():
    assert Source.parse("x.jsonl=2.5") == Source("x.jsonl", 2.5)
    with pytest.raises(BadInput, match="not a number"):
        Source.parse("x.jsonl=much")


def test_held_out_text_is_its_first_windows_and_too_little_is_refused(tmp_path):
    for name, lines in (("long", 40), ("short", 1)):
        (tmp_path / f"{name}.txt").write_text("The train was late again.\n" * lines)
    tokenizer, long = chat_tokenizer(), str(tmp_path / "long.txt")
    taken = read_held_out({"prose": long}, tokenizer, 3, 16)
    assert taken == {"prose": list(windows([Source(long)], tokenizer, 16))[:3]}
    with pytest.raises(BadInput, match=r"short\.txt holds less than one window of 999 tokens"):
        read_held_out({"prose": str(tmp_path / "short.txt")}, tokenizer, 3, 999)
