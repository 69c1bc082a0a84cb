"""Reading, writing and comparing vector files."""

import json
import math
import random
import subprocess
import sys

import pytest

from sas_core.errors import BadInput
from sas_core.vectors import schema
from sas_core.vectors.schema import VectorFile, dump_vector, parse_vector


def fault(data) -> str:
    text = data if isinstance(data, str | bytes) else json.dumps(data)
    with pytest.raises(BadInput) as caught:
        parse_vector(text)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    assert message.startswith("This vector file cannot be used: ") and message.endswith(".")
    return message.removeprefix("This vector file cannot be used: ")


def set_at(data, path, value):
    *parents, last = path
    for part in parents:
        data = data[part]
    data[last] = value


def test_a_written_file_is_read_back_as_the_same_value(fields, make_vector):
    vector = make_vector()
    assert parse_vector(dump_vector(vector)) == vector
    assert json.loads(dump_vector(vector)) == fields


def test_writing_what_was_read_gives_the_same_text(make_vector):
    text = dump_vector(make_vector(name="Größe «x» \u200d 海", note="tab\tand\nline"))
    assert dump_vector(parse_vector(text)) == text
    assert dump_vector(parse_vector(text.encode())) == text


def test_every_finite_double_survives_exactly(make_vector):
    draw = random.Random(0)
    awkward = [5e-324, -0.0, 1.7976931348623157e308, 1 / 3]
    numbers = awkward + [draw.uniform(-1, 1) * 10 ** draw.randint(-30, 30) for _ in range(200)]
    sae = {**make_vector().sae.model_dump(), "d_in": len(numbers)}
    again = parse_vector(dump_vector(make_vector(sae=sae, dense=numbers))).dense
    assert [x.hex() for x in again] == [x.hex() for x in numbers]


def test_dense_and_each_feature_stand_on_one_line(make_vector):
    lines = dump_vector(make_vector()).splitlines()
    assert lines[-2] == '  "dense": [0.5, -0.25, 0.0, 0.1234567890123456]'
    assert sum('"freq_pos"' in line for line in lines) == 3
    assert '    "prompt_ids": [1, 5, 6],' in lines


def test_a_byte_order_mark_is_accepted(make_vector):
    assert parse_vector(b"\xef\xbb\xbf" + dump_vector(make_vector()).encode()) == make_vector()


def test_optional_parts_may_be_left_out(fields):
    for name in ("note", "strength", "pairs", "verify", "versions", "sides", "drop_shared"):
        del fields[name]
    del fields["sae"]["path"], fields["model"]["revision"], fields["features"][0]["label"]
    vector = parse_vector(json.dumps(fields))
    assert (vector.note, vector.strength, vector.pairs, vector.verify) == ("", 1.0, None, None)


def test_hand_picked_latents_need_no_threshold_and_no_evidence(fields):
    fields |= {"method": "latents", "tau": None, "position": None}
    fields["features"] = [{"index": 2, "value": 4}]
    vector = parse_vector(json.dumps(fields))
    assert vector.features[0].value == 4.0 and vector.features[0].freq_pos is None


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (["name"], " ", "name is empty."),
        (["name"], "x" * 81, "name has 81 characters, and at most 80 are kept."),
        (["name"], "a\x07b", "name holds a control character or a line break."),
        (["name"], "a\u2028b", "name holds a control character or a line break."),
        (["name"], 7, "name should be a valid string, not 7."),
        (["colour"], 1, "colour is not a field of format version 1."),
        (["model", "size"], 1, "model.size is not a field of format version 1."),
        (["bad\nkey"], 1, "['bad\\nkey'] is not a field of format version 1."),
        (["model"], [], "model should be an object with named fields, not a list of 0."),
        (
            ["model", "dtype"],
            "int8",
            "model.dtype should be 'float32', 'bfloat16', 'float16' or 'float64', not 'int8'.",
        ),
        (["model", "d_model"], 0, "model.d_model should be greater than or equal to 1, not 0."),
        (
            ["model", "processing"],
            {"a": [1]},
            "model.processing holds a list at 'a', where only plain values may stand.",
        ),
        (
            ["sae", "sha256"],
            "A" * 64,
            f"sae.sha256 should be 64 hexadecimal digits in lower case, not '{'A' * 56}....",
        ),
        (["sae", "d_sae"], 7.5, "sae.d_sae should be a valid integer, not 7.5."),
        (["tau"], 1.01, "tau should be less than or equal to 1, not 1.01."),
        (["tau"], None, "tau is missing, and method 'sas' needs it."),
        (
            ["position"],
            "first",
            "position should be 'answer', 'last', 'completion-mean' or 'completion-often', not 'first'.",
        ),
        (["strength"], "1", "strength should be a valid number, not '1'."),
        (["strength"], True, "strength should be a valid number, not true."),
        (["features"], [], "features is empty."),
        (["features"], {}, "features should be a list, not an object."),
        (["features", 2, "index"], -1, "features[2].index should be greater than or equal to 0, not -1."),
        (["features", 2, "index"], 8, "features[2].index is 8, and sae.d_sae 8 allows 0 to 7."),
        (["features", 2, "index"], 3, "features[2].index repeats 3 of features[0]."),
        (
            ["features", 1, "freq_neg"],
            1.5,
            "features[1].freq_neg should be less than or equal to 1, not 1.5.",
        ),
        (["features", 1, "mean_pos"], None, "features[1].mean_pos is missing, and method 'sas' needs it."),
        (["dense"], [1.0, 2.0], "dense holds 2 numbers where sae.d_in is 4."),
        (["dense", 1], None, "dense[1] should be a valid number, not null."),
        (["created_at"], "yesterday", "created_at should be an ISO 8601 time such as 2026-01-31T12:00:00Z."),
        (["created_at"], "2026-01-31T12:00:00+02:00", "created_at should be in UTC: end it with Z."),
        (["created_at"], "2026-01-31T12:00:00", "created_at should be in UTC: end it with Z."),
        (["verify", "prompt_ids"], [], "verify.prompt_ids is empty."),
        (["verify", "steered"], [1] * 5, "verify has more steered ids than max_new_tokens, 4."),
        (["pairs", "count"], "60", "pairs.count should be a valid integer, not '60'."),
        (["method"], "caa", "method should be 'sas' or 'latents', not 'caa'."),
        (["note"], "x" * 5001, f"note should have at most 5000 characters, not '{'x' * 56}...."),
        (["model", "name"], "", "model.name is empty."),
        (["versions"], {"torch": 2}, "versions.torch should be a valid string, not 2."),
    ],
)
def test_one_wrong_field_is_named_with_what_is_wrong(fields, path, value, sentence):
    set_at(fields, path, value)
    assert fault(fields) == sentence


@pytest.mark.parametrize("name", ["name", "created_at", "model", "sae", "features", "dense"])
def test_a_missing_field_is_called_missing(fields, name):
    del fields[name]
    assert fault(fields) == f"{name} is missing."


def test_a_missing_inner_field_is_called_by_its_path(fields):
    del fields["features"][1]["index"]
    assert fault(fields) == "features[1].index is missing."


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400])
def test_numbers_that_are_not_finite_are_refused(fields, number):
    fields["dense"][2] = 111222333
    message = fault(json.dumps(fields).replace("111222333", number))
    assert "finite" in message or "dense[2] should be a valid number" in message


def test_an_integer_of_thousands_of_digits_is_refused():
    assert fault('{"version": ' + "1" * 5000 + "}") == "it holds an integer of too many digits."


def test_broken_json_is_placed_by_line_and_column():
    assert "at line 3, column 3" in fault('{"format": "x",\n "a": 1,\n  b}')
    assert "at line 1, column 1" in fault("")


def test_a_key_that_stands_twice_is_refused_because_one_would_be_lost(fields):
    text = json.dumps(fields).replace('"tau": 0.7', '"tau": 0.7, "tau": 0.9')
    assert fault(text) == "the key 'tau' stands twice in one object."


@pytest.mark.parametrize("text", ["[]", "3", "null", '"sparse-steering-vector"'])
def test_json_that_is_no_object_is_refused(text):
    assert "where an object with named fields should be" in fault(text)


def test_deep_nesting_is_refused_not_crashed_on():
    assert fault("[" * 100_000) == "it is nested too deeply."


def test_bytes_that_are_not_utf8_are_placed():
    assert fault(b'{"name": "\xff"}') == "it is not UTF-8 text (byte 10)."


def test_a_lone_surrogate_is_refused(fields):
    message = fault(json.dumps({**fields, "note": "\ud800"}))
    assert message == "note should be Unicode text without lone surrogates, not '\\ud800'."


def test_a_file_over_twenty_megabytes_is_refused_before_it_is_parsed():
    assert fault(b" " * 20_000_001) == "it has 20.0 MB and at most 20 MB are read."


def test_another_format_is_told_apart_from_a_broken_file(fields):
    fields["format"] = "gguf"
    assert fault(fields) == "format is 'gguf' where it should be 'sparse-steering-vector'."
    del fields["format"]
    assert fault(fields) == "format is missing where it should be 'sparse-steering-vector'."


def test_a_newer_version_asks_for_an_upgrade(fields):
    fields |= {"version": 2, "something_new": 1}
    message = fault(fields)
    assert "format version 2" in message and "upgrade Steerscope" in message


@pytest.mark.parametrize("version", [0, "1", None, True, 1.0])
def test_a_version_that_never_existed_is_refused(fields, version):
    fields["version"] = version
    assert fault(fields).startswith("version is ") and "where it should be 1." in fault(fields)


def test_a_missing_version_is_not_taken_for_the_first(fields):
    del fields["version"]
    assert fault(fields) == "version is missing where it should be 1."


def test_a_vector_too_large_to_be_read_again_is_not_written(make_vector, monkeypatch):
    monkeypatch.setattr(schema, "MAX_VECTOR_BYTES", 1000)
    with pytest.raises(BadInput, match="Raise tau or keep the top latents only"):
        dump_vector(make_vector())


def test_random_damage_never_raises_anything_but_bad_input(fields):
    draw = random.Random(1)
    text = json.dumps(fields)
    refused = 0
    for _ in range(400):
        place, length = draw.randrange(len(text)), draw.randrange(1, 12)
        junk = "".join(draw.choice('{}[]",:0-9.eE\\untrue ') for _ in range(draw.randrange(8)))
        try:
            assert isinstance(parse_vector(text[:place] + junk + text[place + length :]), VectorFile)
        except BadInput:
            refused += 1
    assert 200 < refused < 400


def test_all_numbers_of_a_read_vector_are_finite(make_vector):
    vector = make_vector()
    assert all(math.isfinite(x) for x in vector.dense)
    with pytest.raises(ValueError, match="finite"):
        make_vector(strength=math.inf)


def test_reading_vectors_and_writing_snippets_needs_neither_torch_nor_numpy():
    code = (
        "import sys, sas_core.vectors.schema, sas_core.vectors.snippet\n"
        "print([name for name in ('torch', 'numpy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_present_is_a_valid_creation_time(make_vector):
    assert make_vector(created_at=schema.now_utc()).created_at.endswith("Z")
