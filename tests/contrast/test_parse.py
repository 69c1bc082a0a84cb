"""Reading pairs: three formats, every fault named with its row, and nothing else lost."""

import csv
import io
import json

import pytest

from sas_core.contrast.pairs import ChatMessage
from sas_core.contrast.parse import Parsed, pairs_from_rows, parse_pairs, read_pairs
from sas_core.errors import BadInput

GOOD = {"prompt": "p", "positive": "yes", "negative": "no"}


def rows_of(parsed: Parsed) -> list[tuple[object, str, str, int]]:
    return [(pair.prompt, pair.positive, pair.negative, pair.row) for pair in parsed.pairs.pairs]


def jsonl(*rows: object) -> str:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


def errors(parsed: Parsed) -> dict[int | None, str]:
    return {p.row: p.message for p in parsed.problems if p.severity == "error"}


def test_a_csv_with_quoted_commas_quotes_and_line_breaks_is_read_as_written():
    out = io.StringIO()
    writer = csv.writer(out)
    texts = [("p, q", 'she said "no"', "two\nlines"), ("naïve", " leading space", "x")]
    writer.writerows([("negative", "Prompt ", "positive"), *[(n, p, y) for p, y, n in texts]])
    parsed = parse_pairs(out.getvalue(), name="a.csv")
    assert rows_of(parsed) == [(*texts[0], 2), (*texts[1], 3)]
    assert parsed.problems == ()
    assert parsed.pairs.form == "free-text"
    assert parsed.pairs.name == "a.csv"


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_separated_by_semicolons_or_tabs_is_read_too(separator):
    text = f"prompt{separator}positive{separator}negative\r\na, b{separator}yes{separator}no\r\n"
    assert rows_of(parse_pairs(text, name="x")) == [("a, b", "yes", "no", 2)]


def test_extra_columns_are_left_out_with_one_warning_that_names_them():
    parsed = parse_pairs("id,prompt,positive,negative,note\n1,p,yes,no,n\n", name="x")
    assert rows_of(parsed) == [("p", "yes", "no", 2)]
    (problem,) = parsed.problems
    assert (problem.row, problem.severity) == (1, "warning")
    assert "id, note" in problem.message


def test_a_bad_csv_row_is_named_and_its_neighbours_are_kept():
    text = "prompt,positive,negative\na,b,c\nd,e\nf,,g\n\nh, i, j, k\nl,m,n,,\n"
    parsed = parse_pairs(text, name="x")
    assert rows_of(parsed) == [("a", "b", "c", 2), ("l", "m", "n", 7)]
    assert errors(parsed) == {
        3: 'Row 3: "negative" is missing.',
        4: 'Row 4: "positive" is empty.',
        6: "Row 6 has 4 fields and the header 3; put a text that holds the separator in double quotes.",
    }


def test_an_unclosed_quote_costs_its_own_row_and_not_the_rest_of_the_file():
    text = 'prompt,positive,negative\na,b,c\nd,"e,f\ng,h,i\nj,k,l\n'
    parsed = parse_pairs(text, name="x")
    assert rows_of(parsed) == [("a", "b", "c", 2), ("g", "h", "i", 4), ("j", "k", "l", 5)]
    assert errors(parsed) == {3: "Row 3 opens a quote that is never closed."}


def test_text_after_a_closing_quote_is_an_error_of_its_row():
    parsed = parse_pairs('prompt,positive,negative\n"a" b,c,d\ne,f,g\n', name="x")
    assert rows_of(parsed) == [("e", "f", "g", 3)]
    assert "after a closing quote" in errors(parsed)[2]


def test_a_csv_field_longer_than_the_reader_takes_is_an_error_of_its_row():
    parsed = parse_pairs(f"prompt,positive,negative\na,{'b' * 200_000},c\nd,e,f\n", name="x")
    assert rows_of(parsed) == [("d", "e", "f", 3)]
    assert errors(parsed) == {2: "Row 2 holds a text too long to read."}


@pytest.mark.parametrize(
    "header", ["question,yes,no", "prompt,positive", "prompt,positive,negative,prompt", "x" * 300_000]
)
def test_a_header_without_the_three_columns_once_each_is_refused(header):
    with pytest.raises(BadInput, match="prompt, positive and negative once each") as refused:
        parse_pairs(f"{header}\na,b,c,d\n", name="x.csv")
    assert len(str(refused.value)) < 300


def test_jsonl_takes_texts_and_chats_and_numbers_rows_by_line():
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    parsed = parse_pairs(jsonl(GOOD, "", {**GOOD, "prompt": chat, "id": 3}) + "\r\n", name="x")
    messages = (ChatMessage("system", "s"), ChatMessage("user", "u"))
    assert rows_of(parsed) == [("p", "yes", "no", 1), (messages, "yes", "no", 3)]
    assert parsed.problems == ()


def test_a_line_separator_inside_a_json_string_does_not_end_the_line():
    text = json.dumps({**GOOD, "positive": "a\u2028b\u0085c"}, ensure_ascii=False)
    assert rows_of(parse_pairs(text, name="x")) == [("p", "a\u2028b\u0085c", "no", 1)]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"prompt": "p"', "not valid JSON"),
        ('{"prompt": ' + "[" * 100_000, "too deep"),
        ('{"prompt": ' + "1" * 5_000 + "}", "number too long"),
        ("[1, 2]", "not a JSON object"),
        ({**GOOD, "negative": None}, '"negative" is missing'),
        ({"prompt": "p", "positive": "y"}, '"negative" is missing'),
        ({**GOOD, "positive": 3}, '"positive" must be text, not a number'),
        ({**GOOD, "positive": True}, "not true or false"),
        ({**GOOD, "positive": ["y"]}, "not a list"),
        ({**GOOD, "prompt": {"role": "user"}}, '"prompt" must be text, not an object'),
        ({**GOOD, "negative": " \n"}, '"negative" is empty'),
        ({**GOOD, "prompt": []}, "empty list"),
        ({**GOOD, "prompt": ["hello"]}, "needs a role"),
        ({**GOOD, "prompt": [{"role": "robot", "content": "c"}]}, "needs a role"),
        ({**GOOD, "prompt": [{"role": "user", "content": 1}]}, '"content" must be text'),
        ('{"prompt": "p", "positive": "\\ud83c", "negative": "n"}', "half a character"),
    ],
)
def test_a_bad_json_row_is_named_and_its_neighbours_are_kept(row, words):
    parsed = parse_pairs(jsonl(GOOD, row, GOOD), name="x.jsonl")
    assert [pair.row for pair in parsed.pairs.pairs] == [1, 3]
    assert list(errors(parsed)) == [2]
    assert errors(parsed)[2].startswith("Row 2")
    assert words in errors(parsed)[2]


def test_texts_longer_than_the_setting_are_errors_of_their_rows(monkeypatch):
    monkeypatch.setenv("STEERSCOPE_MAX_TEXT_CHARS", "5")
    chat = [{"role": "user", "content": "abc"}, {"role": "assistant", "content": "def"}]
    rows = [GOOD, {**GOOD, "positive": "123456"}, {**GOOD, "prompt": chat}, {**GOOD, "positive": "12345"}]
    parsed = parse_pairs(jsonl(*rows), name="x")
    assert [pair.row for pair in parsed.pairs.pairs] == [1, 4]
    assert errors(parsed) == {
        2: 'Row 2: "positive" has 6 characters; the limit is 5.',
        3: 'Row 3: "prompt" has 6 characters; the limit is 5.',
    }


def test_the_caa_format_gives_a_multiple_choice_set_with_bare_labels():
    item = {"question": "Q?\n\nChoices:\n (A) x\n (B) y"}
    items = [
        {**item, "answer_matching_behavior": " (B)", "answer_not_matching_behavior": "(A)"},
        {**item, "answer_matching_behavior": "(A)"},
        "stray",
        {**item, "answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(B) "},
    ]
    parsed = parse_pairs(json.dumps(items, indent=1), name="x")
    assert parsed.pairs.form == "multiple-choice"
    assert rows_of(parsed) == [(item["question"], "(B)", "(A)", 1), (item["question"], "(A)", "(B)", 4)]
    assert errors(parsed) == {
        2: 'Row 2: "answer_not_matching_behavior" is missing.',
        3: "Row 3 is not a JSON object with named fields.",
    }


@pytest.mark.parametrize("text", ['[{"question": ', "[" * 100_000, "[" + "1" * 5_000 + "]"])
def test_a_broken_json_list_is_refused_as_a_whole(text):
    with pytest.raises(BadInput, match=r"x\.json is not valid JSON"):
        parse_pairs(text, name="x.json")


def test_a_json_object_where_a_list_is_asked_for_is_refused():
    with pytest.raises(BadInput, match="one JSON list"):
        parse_pairs("{}", name="x.json", kind="caa")


def test_the_content_decides_the_format_before_the_ending_of_the_name_does():
    assert rows_of(parse_pairs(jsonl(GOOD), name="x.csv")) == [("p", "yes", "no", 1)]
    broken_first = parse_pairs(jsonl("oops", GOOD), name="x.jsonl")
    assert list(errors(broken_first)) == [1]
    assert len(broken_first.pairs) == 1


def test_a_byte_order_mark_is_accepted_in_every_format():
    item = {"question": "q", "answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(B)"}
    for text in ("prompt,positive,negative\na,b,c\n", jsonl(GOOD), json.dumps([item])):
        assert len(parse_pairs(b"\xef\xbb\xbf" + text.encode(), name="x").pairs) == 1
        assert len(parse_pairs("\ufeff" + text, name="x").pairs) == 1


@pytest.mark.parametrize("data", [b"", b" \r\n\t ", b"\xef\xbb\xbf", "", "\n"])
def test_an_empty_file_is_refused_and_named(data):
    with pytest.raises(BadInput, match=r"^nothing\.csv is empty"):
        parse_pairs(data, name="nothing.csv")


def test_bytes_that_are_not_utf8_are_refused_with_the_offset_of_the_first():
    data = b"\xef\xbb\xbfprompt,positive,negative\ncaf\xe9,b,c\n"
    with pytest.raises(BadInput, match=rf"not UTF-8 text: byte {data.index(0xE9)} "):
        parse_pairs(data, name="x.csv")
    with pytest.raises(BadInput, match="not UTF-8 text: byte 0 "):
        parse_pairs("prompt,positive,negative\n".encode("utf-16"), name="x.csv")


def test_a_file_over_the_byte_limit_is_refused_and_one_at_the_limit_is_read(monkeypatch, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(jsonl({**GOOD, "prompt": "é"}), encoding="utf-8")
    size = path.stat().st_size
    monkeypatch.setenv("STEERSCOPE_MAX_PAIRS_BYTES", str(size))
    assert read_pairs(path).pairs.name == "pairs.jsonl"
    assert len(parse_pairs(path.read_text(encoding="utf-8"), name="x").pairs) == 1
    monkeypatch.setenv("STEERSCOPE_MAX_PAIRS_BYTES", str(size - 1))
    for read in (lambda: read_pairs(path), lambda: parse_pairs(path.read_text("utf-8"), name="x")):
        with pytest.raises(BadInput, match=f"larger than the limit of {size - 1} bytes"):
            read()


def test_more_rows_than_the_setting_are_refused_good_or_bad(monkeypatch):
    monkeypatch.setenv("STEERSCOPE_MAX_PAIRS", "3")
    header = "id,prompt,positive,negative\n"
    assert len(parse_pairs(header + "1,a,b,c\n" * 3, name="x").pairs) == 3
    for rows in ("1,a,b,c\n" * 4, "1,a,b,c\n" + "bad\n" * 3):
        with pytest.raises(BadInput, match="more rows than the limit of 3"):
            parse_pairs(header + rows, name="x")


def test_a_file_without_one_usable_row_is_refused_with_the_first_reason():
    with pytest.raises(BadInput, match=r'no usable pair\. Row 2: "positive" is empty'):
        parse_pairs("prompt,positive,negative\na,,c\nd\n", name="x")
    for text, name in (("prompt,positive,negative\n", "x.csv"), ("[]", "x.json")):
        with pytest.raises(BadInput, match=r"no usable pair\. It has no rows"):
            parse_pairs(text, name=name)


def test_a_path_that_cannot_be_read_is_the_users_to_correct(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(BadInput, match=r"cannot be read: .*\. Check the path"):
            read_pairs(path)


def test_rows_of_a_table_pass_over_blank_ones_and_report_half_filled_ones():
    nan = float("nan")
    table = [
        GOOD,
        {"prompt": None, "positive": nan, "negative": " "},
        {},
        {"prompt": "q", "positive": "y", "negative": nan},
        {**GOOD, "prompt": "r"},
    ]
    parsed = pairs_from_rows(table)
    assert rows_of(parsed) == [("p", "yes", "no", 1), ("r", "yes", "no", 5)]
    assert errors(parsed) == {4: 'Row 4: "negative" is missing.'}
    with pytest.raises(BadInput, match="typed pairs has no usable pair"):
        pairs_from_rows([{}, {"prompt": ""}])
