"""Text to token windows: what is read, what may be learnt from, how sources are mixed."""

import gzip
import json

import pytest
import zstandard

from sas_core.dictionary.corpus import Source, encode_row, read_rows, window_batches, windows
from sas_core.errors import BadInput
from tests.helpers import chat_tokenizer

CHAT = {"m": [{"role": "user", "content": "What is the sea?"}, {"role": "assistant", "content": "Water."}]}


def test_plain_gzip_and_zstd_files_give_the_same_rows(tmp_path):
    text = "\n".join(json.dumps({"t": f"row {i}"}) for i in range(3)) + "\n"
    (tmp_path / "a.jsonl").write_text(text)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(text.encode()))
    rows = [list(read_rows(str(path))) for path in sorted(tmp_path.iterdir())]
    assert rows[0] == rows[1] == rows[2] == [{"t": f"row {i}"} for i in range(3)]


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / "b.jsonl").write_text('{"t": "fine"}\n{"t": \n')
    with pytest.raises(BadInput, match=r"b\.jsonl, line 2 is not JSON"):
        list(read_rows(str(tmp_path / "b.jsonl")))


def test_special_tokens_are_context_and_are_not_learnt_from():
    tokenizer = chat_tokenizer()
    ids, keep = encode_row(CHAT, tokenizer)
    special = set(tokenizer.all_special_ids)
    assert ids[0] in special
    assert not any(kept for token, kept in zip(ids, keep, strict=True) if token in special)
    assert tokenizer.decode([t for t, k in zip(ids, keep, strict=True) if k]).count("Water.") == 1


def test_a_templates_own_preamble_is_not_learnt_from():
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = "You are kind. " + tokenizer.chat_template
    ids, keep = encode_row(CHAT, tokenizer)
    learnt = tokenizer.decode([t for t, k in zip(ids, keep, strict=True) if k])
    assert "kind" in tokenizer.decode(ids)
    assert "kind" not in learnt


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
