"""Rows of text: every format and packing, damage named with its place, chats, what counts as a token."""

import csv
import gzip
import hashlib
import io
import json
import random
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from sas_core.errors import BadInput, Unavailable
from sas_core.model.rows import describe, encode_row, read_rows
from tests.helpers import chat_tokenizer, plain_tokenizer

CHAT = {"m": [{"role": "user", "content": "What is the sea?"}, {"role": "assistant", "content": "Water."}]}
TEXTS = ["plain", "", 'a, "quoted"; text', "two\nlines", "Füße 😀", " spaces "]
PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def csv_bytes(texts: list[str], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["id", "text"])
    writer.writerows([number, text] for number, text in enumerate(texts))
    return out.getvalue().encode()


def parquet_bytes(columns: dict, row_group_size: int = 2) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out, row_group_size=row_group_size)
    return out.getvalue()


FORMATS = {
    ".jsonl": lambda texts: "".join(json.dumps({"text": t}) + "\n\n" for t in texts).encode(),
    ".json": lambda texts: json.dumps([{"text": t} for t in texts], indent=1).encode(),
    ".csv": csv_bytes,
    ".tsv": lambda texts: csv_bytes(texts, "\t"),
    ".parquet": lambda texts: parquet_bytes({"id": list(range(len(texts))), "text": texts}),
}


def put(folder: Path, name: str, data: bytes | str) -> str:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_and_packing_gives_the_texts_in_order(tmp_path, kind, packing):
    path = put(tmp_path, f"a{kind}{packing}", PACK[packing](FORMATS[kind](TEXTS)))
    assert [row["text"] for row in read_rows(path)] == TEXTS


@pytest.mark.parametrize("packing", PACK)
def test_a_line_of_plain_text_is_a_document_and_blank_lines_are_skipped(tmp_path, packing):
    path = put(tmp_path, f"a.txt{packing}", PACK[packing]("\ufeffone\r\n\n  \ntwo \nthree".encode()))
    assert [row["text"] for row in read_rows(path)] == ["one", "two ", "three"]


@pytest.mark.parametrize("seed", range(12))
def test_any_texts_survive_every_format(tmp_path, seed):
    draw = random.Random(seed)
    letters = "ab ,;\t\n\"'\\{}[]\u2028\u00e4\U0001f600"
    texts = ["".join(draw.choices(letters, k=draw.randrange(12))) for _ in range(draw.randrange(1, 30))]
    for kind, write in FORMATS.items():
        assert [row["text"] for row in read_rows(put(tmp_path, f"a{kind}", write(texts)))] == texts


def test_a_named_field_is_read_from_every_format(tmp_path):
    for name, data in (
        ("a.jsonl", '{"body": "x", "text": "y"}'),
        ("a.json", '[{"body": "x", "text": "y"}]'),
        ("a.csv", "text,body\ny,x\n"),
        ("a.parquet", parquet_bytes({"text": ["y"], "body": ["x"]})),
    ):
        path = put(tmp_path, name, data)
        tokenizer = chat_tokenizer()
        assert [tokenizer.decode(encode_row(r, tokenizer, "body")[0]) for r in read_rows(path, "body")] == [
            "x"
        ]
        assert [tokenizer.decode(encode_row(r, tokenizer)[0]) for r in read_rows(path)] == ["y"]


def test_chats_come_from_json_lines_and_parquet_and_before_a_text_beside_them(tmp_path):
    talk = CHAT["m"]
    lines = put(tmp_path, "a.jsonl", json.dumps({"text": "no", "messages": talk}))
    table = put(tmp_path, "a.parquet", parquet_bytes({"text": ["no"], "messages": [talk]}))
    tokenizer = chat_tokenizer()
    wanted = encode_row(CHAT, tokenizer)
    assert [encode_row(row, tokenizer) for path in (lines, table) for row in read_rows(path)] == [wanted] * 2


def test_a_header_separated_by_semicolons_is_understood(tmp_path):
    path = put(tmp_path, "a.csv", "id;prompt\n1;one, two\n")
    assert list(read_rows(path)) == [{"prompt": "one, two"}]


def test_of_several_columns_text_goes_before_prompt_and_content(tmp_path):
    path = put(tmp_path, "a.csv", "content,prompt,text\nc,p,t\n")
    assert list(read_rows(path)) == [{"text": "t"}]


def test_null_and_empty_texts_are_documents_without_tokens(tmp_path):
    path = put(tmp_path, "a.jsonl", '{"text": null}\n{"text": ""}\n{"messages": []}\n')
    assert [encode_row(row, chat_tokenizer()) for row in read_rows(path)] == [([], [])] * 3


def test_several_zstd_frames_are_one_text(tmp_path):
    data = b"".join(zstandard.compress(f"line {i}\n".encode()) for i in range(3))
    assert [r["text"] for r in read_rows(put(tmp_path, "a.txt.zst", data))] == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("b.jsonl", '{"t": "fine"}\n{"t": \n', r"b\.jsonl, line 2 is not JSON"),
        ("b.jsonl", "[" * 100_000, r"line 1 is not usable JSON"),
        ("b.jsonl", '{"t": "fine"}\n\n"text"\n', r"b\.jsonl, line 3 is not a JSON object"),
        ("b.jsonl", '{"t": "fine"}\n{"body": "x", "id": 4}', r"line 2 has no field .*; it has: body, id\."),
        ("b.jsonl", '{"text": 5}', r"b\.jsonl, line 1 holds something else than text \(int\)"),
        ("b.jsonl", '{"messages": [{"role": "user"}]}', r"line 1 holds a list that is no chat"),
        ("b.jsonl", '{"text": "\\ud800"}', r"line 1 holds half a character"),
        ("b.json", '[{"text": "a"}, {"text": {}, "x": 1}, 4]', r"b\.json, row 2 holds .* \(dict\)"),
        ("b.json", '[{"text": "a"}, 4]', r"b\.json, row 2 is not a JSON object"),
        ("b.json", '[{"text": "a"}', r"b\.json, the text is not JSON"),
        ("b.txt", b"fine\nbad \xff\n", r"b\.txt cannot be read after line 1: line 2 is not UTF-8 .*byte 5"),
        ("b.csv", b"text\nfine\nbad \xff\n", r"b\.csv cannot be read after row 1: line 3 is not UTF-8"),
        ("b.csv", "name,body\na,b\n", r"b\.csv has no column .*text.*; it has: name, body\. Name the field"),
        ("b.csv", "", r"b\.csv has no column .*; it has: none"),
        ("b.csv", "id,text\n1,a\n2,b,c\n", r"b\.csv, row 2 has 3 fields and the header 2"),
        ("b.csv", 'text\n"never closed\nb\n', r"b\.csv cannot be read: .*broken"),
        ("b.csv", "text\na\n" + "x" * 200_000, r"after row 1: a field has more than 131,072 characters"),
        ("b.parquet", b"PAR1 nothing PAR1", r"b\.parquet cannot be read: the parquet data are broken"),
        ("b.parquet", parquet_bytes({"body": ["x"]}), r"b\.parquet has no column .*; it has: body\."),
        ("b.parquet", parquet_bytes({"text": [1, 2]}), r"row 1 holds something else than text \(int\)"),
        ("b.txt.gz", b"not gzip at all", r"b\.txt\.gz cannot be read: Not a gzipped file"),
        ("b.txt.zst", b"not zstd at all", r"b\.txt\.zst cannot be read: the compressed data are broken"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(tmp_path, name, data, message):
    with pytest.raises(BadInput, match=message):
        list(read_rows(put(tmp_path, name, data)))


@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_torn_packed_file_is_never_taken_for_a_shorter_one(tmp_path, kind, packing):
    whole = PACK[packing](
        FORMATS[kind]([f"text {hashlib.sha256(bytes([i])).hexdigest()}" for i in range(200)])
    )
    for share in (0.1, 0.5, 0.9):
        path = put(tmp_path, f"a{kind}{packing}", whole[: int(len(whole) * share)])
        with pytest.raises(BadInput, match=rf"a{kind}{packing} cannot be read"):
            list(read_rows(path))
    path = put(tmp_path, f"a{kind}{packing}", whole[:-1])
    with pytest.raises(BadInput):
        list(read_rows(path))


def test_damage_in_a_later_row_group_comes_after_the_rows_before_it(tmp_path):
    texts = [hashlib.sha256(bytes([i])).hexdigest() * 4 for i in range(200)]
    data = bytearray(parquet_bytes({"text": texts}, row_group_size=100))
    at = pyarrow.parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(0).dictionary_page_offset
    data[at : at + 40] = b"\xff" * 40
    rows = read_rows(put(tmp_path, "a.parquet", bytes(data)))
    assert [next(rows)["text"] for _ in range(100)] == texts[:100]
    with pytest.raises(BadInput, match=r"a\.parquet cannot be read after row 100: "):
        next(rows)


def test_a_missing_named_field_is_told_with_row_and_fields(tmp_path):
    path = put(tmp_path, "a.jsonl", '{"body": "x"}\n{"text": "y", "id": 1}\n')
    with pytest.raises(BadInput, match=r"a\.jsonl, line 2 has no field body; it has: text, id\."):
        list(read_rows(path, "body"))


def test_a_file_that_is_not_there_and_a_folder_are_never_looked_up_on_the_hub(tmp_path):
    for name in (str(tmp_path / "none"), "nowhere/none.jsonl.gz"):
        with pytest.raises(BadInput, match="There is no file"):
            list(read_rows(name))
    with pytest.raises(BadInput, match="is a folder"):
        list(read_rows(str(tmp_path)))


def test_a_data_set_out_of_reach_is_said_so():
    for ask in (lambda: list(read_rows("nobody/nothing")), lambda: describe("nobody/nothing")):
        with pytest.raises(Unavailable, match="nobody/nothing is neither a file here nor a data set"):
            ask()


def test_a_source_is_described_by_name_hash_and_rows(tmp_path):
    data = gzip.compress(b'{"text": "a"}\n\n{"text": ""}\n')
    facts = describe(put(tmp_path, "a.jsonl.gz", data))
    assert (facts.name, facts.sha256, facts.rows) == ("a.jsonl.gz", hashlib.sha256(data).hexdigest(), 2)


def test_describing_a_source_finds_the_fault_in_its_last_row(tmp_path):
    with pytest.raises(BadInput, match="line 2 has no field body"):
        describe(put(tmp_path, "a.jsonl", '{"body": "a"}\n{"text": "b"}\n'), "body")


def test_special_tokens_are_context_and_do_not_count():
    tokenizer = chat_tokenizer()
    ids, keep = encode_row(CHAT, tokenizer)
    special = set(tokenizer.all_special_ids)
    assert ids[0] in special
    assert not any(kept for token, kept in zip(ids, keep, strict=True) if token in special)
    assert tokenizer.decode([t for t, k in zip(ids, keep, strict=True) if k]).count("Water.") == 1


@pytest.mark.parametrize("opening", ["What is the sea?", "You", "", "kind. "])
def test_a_templates_own_preamble_does_not_count_whatever_the_chat_begins_with(opening):
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = "You are kind. " + tokenizer.chat_template
    row = {"messages": [{"role": "user", "content": opening}, {"role": "assistant", "content": "Water."}]}
    ids, keep = encode_row(row, tokenizer)
    counted = tokenizer.decode([t for t, k in zip(ids, keep, strict=True) if k])
    assert "You are kind." in tokenizer.decode(ids)
    assert counted.startswith(opening) and "are kind" not in counted


def test_a_chat_for_a_model_without_a_template_is_refused():
    with pytest.raises(BadInput, match="no chat template"):
        encode_row(CHAT, plain_tokenizer())


def test_a_chat_that_the_template_refuses_is_named():
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no system here') }}"
    with pytest.raises(BadInput, match=r"refuses the chat that begins 'What is the sea\?'.*no system here"):
        encode_row(CHAT, tokenizer)
