"""The corpus that a model writes itself: what is asked, how it is sampled, and going on after a stop."""

import itertools
import json
import os
import re
from collections import Counter

import pytest
import torch

from sas_core.atlas import corpus_prompts, sample_corpus
from sas_core.atlas.corpus_prompts import Batch, Request, batch, requests
from sas_core.atlas.corpus_rows import SHORTEST, Sampled, Writer, whole_sentences, without_loop
from sas_core.atlas.sample_batch import Draw, continuations, nucleus
from sas_core.atlas.sample_corpus import State, write_corpus
from sas_core.errors import BadInput
from tests.helpers import chat_tokenizer, random_llama

SEED, SIZE = 5, 4
GREEDY = 1e-6
QUESTIONS = ("Tell me about the sea.", "Why is it late?", "Name a book about the sun, the river and winter.")


@pytest.fixture(scope="module")
def model():
    return random_llama()


@pytest.fixture(scope="module")
def tokenizer():
    return chat_tokenizer()


@pytest.fixture
def writer(model, tokenizer):
    return Writer(model, tokenizer, SEED)


def take(count, *which):
    return list(itertools.islice(requests(*which), count))


@pytest.mark.parametrize("kind", ["chat", "text"])
def test_requests_are_distinct_complete_and_the_same_for_the_same_seed(kind):
    first = take(5_000, 1, kind)
    assert len(set(first)) == 5_000
    assert first == take(5_000, 1, kind)
    assert first[:100] != take(100, 2, kind)
    assert not [text for text in first if re.search(r"\{(\w*[tT]opic|name|place|n|n2|word|day)2?\}", text)]
    assert all(text == text.rstrip(" ") for text in first), "a space at the end would split the next word"


def test_every_pattern_comes_once_before_any_comes_twice():
    openings = (corpus_prompts.SEEDS / "openings.txt").read_text("utf-8").split("\n%%\n")
    starts = {text.partition("{")[0] for text in openings} - {""}
    drawn = take(len(openings), 3, "text")
    assert len(starts) > 100
    assert [start for start in starts if not any(text.startswith(start) for text in drawn)] == []


def test_no_seed_is_written_twice():
    for file in corpus_prompts.SEEDS.glob("*.txt"):
        text = file.read_text("utf-8").removesuffix("\n")
        lines = text.split("\n%%\n" if file.stem == "openings" else "\n")
        assert [line for line, count in Counter(lines).items() if count > 1 or not line.strip()] == [], file


def test_batches_share_no_request_and_draw_their_own_length_and_temperature():
    made = [batch(SEED, number, SIZE) for number in range(16)]
    asked = [(b.kind, request.text) for b in made for request in b.requests]
    assert len(set(asked)) == len(asked) == 16 * SIZE
    assert Counter(b.kind for b in made) == {"chat": 8, "text": 6, "talk": 2}
    assert all(60 <= b.max_new_tokens <= 200 and 0.7 <= b.temperature <= 1.0 for b in made)
    assert len({(b.max_new_tokens, b.temperature) for b in made}) == 16
    assert all((request.follow_up is not None) == (b.kind == "talk") for b in made for request in b.requests)
    assert made[9] == batch(SEED, 9, SIZE)


def slow_greedy(model, prompt, count, stops):
    """One text at a time, the whole sequence again for each token, no padding and no cache."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if token in stops:
                return ids[len(prompt) :], True
            ids.append(token)
    return ids[len(prompt) :], False


def test_a_batch_with_rows_that_end_early_is_each_row_alone(model, tokenizer):
    prompts = [tokenizer.encode(text) for text in QUESTIONS]
    free = [slow_greedy(model, prompt, 12, [])[0] for prompt in prompts]
    # tokens on the way of the first and the second text end them, at different times
    stops = [free[0][3], free[1][7]]
    expected = [slow_greedy(model, prompt, 12, stops) for prompt in prompts]
    assert len({len(ids) for ids, _ in expected}) > 1, "the batch has to shrink"
    found = continuations(model, prompts, Draw(12, 1.0, 0, GREEDY), stops)
    assert [(list(c.ids), c.ended) for c in found] == expected


def test_sampling_is_repeated_by_its_seed_and_stays_within_the_limit(model, tokenizer):
    prompts = [tokenizer.encode(text) for text in QUESTIONS]

    def drawn(seed):
        return continuations(model, prompts, Draw(9, 1.0, seed), tokenizer.all_special_ids)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert all(len(c.ids) == 9 or (c.ended and len(c.ids) < 9) for c in drawn(1))


def test_the_nucleus_is_the_smallest_set_that_holds_the_share():
    chances = torch.tensor([0.05, 0.5, 0.15, 0.3])
    draws = 4000
    logits = chances.log().expand(draws, 4)
    found = nucleus(logits, 0.75, torch.Generator().manual_seed(0)).bincount(minlength=4) / draws
    # 0.5 + 0.3 reach 0.75, and share it as 5 to 3
    torch.testing.assert_close(found, torch.tensor([0.0, 0.625, 0.0, 0.375]), atol=0.03, rtol=0)


def test_a_loop_is_cut_before_its_third_turn_and_a_refrain_stays():
    loop = [1, 2, 3, 4, 5]
    assert without_loop([9, 8, *loop * 8]) == (9, 8, *loop * 2)
    assert without_loop([7] * 30) == (7,) * 2
    refrain = [token for verse in range(6) for token in (*loop, 100 + verse)]
    assert without_loop(refrain) == tuple(refrain)
    assert without_loop([1, 2]) == (1, 2)


def test_a_cut_answer_ends_with_a_sentence():
    assert whole_sentences("It rains. The sea is") == "It rains."
    assert whole_sentences("print(1)\n```") == "print(1)\n```"
    assert whole_sentences("no end at all") == "no end at all"


def test_the_rows_of_each_kind_hold_what_was_asked_and_what_was_written(writer, tokenizer):
    for number, kind in ((0, "chat"), (1, "text"), (5, "talk")):
        made = batch(SEED, number, SIZE)
        sampled = writer.sample(made)
        assert made.kind == kind
        assert sampled.number == number
        assert len(sampled.rows) == len(sampled.tokens) == SIZE - sampled.counts["short"] > 0
        for row, tokens in zip(sampled.rows, sampled.tokens, strict=True):
            texts = [row["text"]] if kind == "text" else [turn["content"] for turn in row["messages"]]
            assert tokens == sum(len(tokenizer.encode(text)) for text in texts) >= SHORTEST
            assert not any(special in text for text in texts for special in tokenizer.all_special_tokens)
            check_turns(row, made)


def check_turns(row, made):
    if made.kind == "text":
        assert any(row["text"].startswith(request.text.strip()) for request in made.requests)
        return
    said = [(turn["role"], turn["content"]) for turn in row["messages"]]
    assert [role for role, _ in said] == ["user", "assistant"] * (1 + (made.kind == "talk"))
    assert all(content for _, content in said)
    asked = Request(said[0][1], said[2][1] if made.kind == "talk" else None)
    assert asked in made.requests


def test_short_rows_are_left_out_and_counted(writer):
    asked = Batch(0, "text", (Request("The sea"), Request(QUESTIONS[2])), 1, 1.0)
    sampled = writer.sample(asked)
    assert [row["text"].startswith(QUESTIONS[2]) for row in sampled.rows] == [True]
    assert sampled.counts["short"] == 1


def from_number(writer):
    def batches(start):
        return (writer.sample(batch(SEED, number, SIZE)) for number in itertools.count(start))

    return batches


def write(out, tokens, writer, state=None):
    said = []
    return write_corpus(out, tokens, state or State(SEED, SIZE), from_number(writer), said.append), said


def test_a_run_stopped_in_the_middle_of_a_row_goes_on_to_the_same_file(tmp_path, writer):
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    full, _ = write(whole, 1000, writer)
    half, said = write(parts, 300, writer)
    assert 0 < half.batches < full.batches
    assert len(said) == half.batches
    with parts.open("ab") as file:
        file.write(b'{"text": "a whole row of a batch that was not finished"}\n{"text": "torn \xc3')
    finished, _ = write(parts, 1000, writer)
    assert finished == full
    assert parts.read_bytes() == whole.read_bytes()
    rows = [json.loads(line) for line in whole.read_text("utf-8").splitlines()]
    assert len(rows) == full.rows
    assert {frozenset(row) for row in rows} == {frozenset({"messages"}), frozenset({"text"})}
    assert full.tokens >= 1000


def test_a_finished_corpus_is_left_as_it_is(tmp_path, writer):
    out = tmp_path / "c.jsonl"
    state, _ = write(out, 300, writer)
    before = out.read_bytes()
    again, said = write(out, 300, writer)
    assert (again, said, out.read_bytes()) == (state, [], before)


def test_a_row_comes_once_even_after_a_stop(tmp_path):
    rows = [{"text": f"Line {i}"} for i in range(3)]
    made = [
        Sampled(0, (rows[0], rows[1], rows[0]), (10, 10, 10), Counter(cut=2)),
        Sampled(1, (rows[1], rows[2]), (10, 10), Counter(short=1)),
    ]
    for wanted in (20, 30):
        state = write_corpus(tmp_path / "c", wanted, State(0, 3), lambda start: iter(made[start:]), str)
    assert [json.loads(line) for line in (tmp_path / "c").read_text().splitlines()] == rows
    assert (state.rows, state.tokens, state.duplicate, state.cut, state.short) == (3, 30, 2, 2, 1)


def test_a_file_of_something_else_is_refused_and_not_touched(tmp_path, writer):
    out = tmp_path / "c.jsonl"
    out.write_text("mine\n")
    with pytest.raises(BadInput, match="not begun here"):
        write(out, 100, writer)
    assert out.read_text() == "mine\n"
    out.unlink()
    write(out, 100, writer)
    with pytest.raises(BadInput, match="seed 5"):
        write(out, 100, writer, State(SEED + 1, SIZE))
    os.truncate(out, 3)
    with pytest.raises(BadInput, match="shorter"):
        write(out, 100, writer)


def test_the_command_says_why_it_does_not_begin(tmp_path, capsys):
    out = tmp_path / "c.jsonl"
    out.write_text("mine\n")
    assert sample_corpus.main(["--out", str(out)]) == 2
    assert "not begun here" in capsys.readouterr().err
    assert sample_corpus.main(["--out", str(out / "inside" / "d.jsonl")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert sample_corpus.main(["--out", str(tmp_path / "d.jsonl"), "--batch", "0"]) == 2
    assert "1 or more" in capsys.readouterr().err
    assert out.read_text() == "mine\n"
    assert not (tmp_path / "d.jsonl").exists()
