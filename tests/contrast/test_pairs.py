"""The pair values: what their digest depends on, and that their rows read back."""

import hashlib
import json
from dataclasses import replace

import pytest

from sas_core.contrast.pairs import ChatMessage, Pair, PairSet
from sas_core.contrast.parse import parse_pairs

CHAT = (ChatMessage("system", "Be brief."), ChatMessage("user", "Naïve question?"))
PAIRS = PairSet("one", (Pair("p", "yes \u2028 \U0001f30a", "no", 3), Pair(CHAT, "a", "b", 9)))


def test_the_digest_ignores_name_form_and_row_numbers():
    renumbered = tuple(replace(pair, row=pair.row + 5) for pair in PAIRS.pairs)
    assert PairSet("two", renumbered, "multiple-choice").sha256 == PAIRS.sha256


@pytest.mark.parametrize(
    "change",
    [{"prompt": "q"}, {"positive": "yes"}, {"negative": "no "}, {"positive": "no", "negative": "yes"}],
)
def test_the_digest_changes_with_any_text(change):
    changed = replace(PAIRS, pairs=(replace(PAIRS.pairs[0], **change), PAIRS.pairs[1]))
    assert changed.sha256 != PAIRS.sha256


def test_the_digest_changes_with_the_order_and_with_the_role_of_a_message():
    assert replace(PAIRS, pairs=PAIRS.pairs[::-1]).sha256 != PAIRS.sha256
    as_user = (replace(CHAT[0], role="user"), CHAT[1])
    other = replace(PAIRS, pairs=(PAIRS.pairs[0], replace(PAIRS.pairs[1], prompt=as_user)))
    assert other.sha256 != PAIRS.sha256


def test_the_digest_is_that_of_sorted_compact_ascii_json():
    text = '[{"negative":"\\u00e9","positive":"b","prompt":[{"content":"c","role":"user"}]}]'
    pairs = PairSet("x", (Pair((ChatMessage("user", "c"),), "b", "é"),))
    assert pairs.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_rows_dumped_as_jsonl_read_back_as_the_same_pairs():
    for ascii_only in (True, False):
        text = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in PAIRS.to_rows())
        back = parse_pairs(text, name="back").pairs
        assert back.sha256 == PAIRS.sha256
        assert [pair.prompt for pair in back.pairs] == ["p", CHAT]
    assert len(PAIRS) == 2
