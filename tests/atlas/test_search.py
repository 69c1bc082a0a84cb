"""What a query means, that any text is one, that hits and their order are those of a plain computation."""

import math
import random
import re
import sys
import unicodedata

import pytest

from sas_core.atlas import search
from sas_core.atlas.matching import best_context, sought
from sas_core.atlas.search import Query, by_words, like, parse_query
from sas_core.atlas.types import Context
from sas_core.errors import BadInput
from tests.atlas.tiny_atlas import DEAD, ONE_TOKEN, index_words, tiny, tiny_atlas

SHA = "a" * 64


@pytest.fixture(scope="module")
def read():
    return tiny(top_k=3)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_atlas(tmp_path_factory.mktemp("atlas") / "tiny.db", top_k=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2317", Query("number", index=2317)),
        ("  #2317 ", Query("number", index=2317)),
        ("like: 2317", Query("like", index=2317)),
        ("LIKE:#5", Query("like", index=5)),
        ("fires on: the ship sank", Query("fires on", "the ship sank")),
        ("Fires  on:a\nb", Query("fires on", "a\nb")),
        ("2317 ships", Query("words", "2317 ships")),
        ("-5", Query("words", "-5")),
        ("9" * 40, Query("words", "9" * 40)),
        ("likes: 5", Query("words", "likes: 5")),
        ("fires on", Query("words", "fires on")),
        ("", Query("words", "")),
    ],
)
def test_a_query_is_a_number_a_likeness_a_text_or_words(text, expected):
    assert parse_query(text) == expected


@pytest.mark.parametrize("text", ["like:", "like: the sea", "like: 2317 or so", "fires on:  "])
def test_half_a_query_is_told_how_to_go_on(text):
    with pytest.raises(BadInput, match=r"comes .* as in"):
        parse_query(text)


def plain_words(text: str) -> list[str]:
    """As the index splits: letters and digits, without case and accents."""
    apart = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", apart.lower())


def slow_bm25(rows: dict[int, tuple[str, str]], phrases: list[list[str]], begun: bool) -> dict[int, float]:
    """Okapi BM25 as in SQLite's FTS5 (k1 1.2, b 0.75), weights 4 and 1; `begun`: the last is a prefix."""
    split = {latent: [plain_words(text) for text in texts] for latent, texts in rows.items()}
    length = {latent: sum(map(len, columns)) for latent, columns in split.items()}
    average = sum(length.values()) / len(length)

    def count(words: list[str], phrase: list[str], prefix: bool) -> int:
        *before, end = phrase
        return sum(
            words[at : at + len(before)] == before
            and (words[at + len(before)].startswith(end) if prefix else words[at + len(before)] == end)
            for at in range(len(words) - len(before))
        )

    scores = dict.fromkeys(rows, 0.0)
    having = set(rows)
    for number, phrase in enumerate(phrases):
        prefix = begun and number == len(phrases) - 1 and len("".join(phrase)) > 2
        counts = {i: [count(words, phrase, prefix) for words in columns] for i, columns in split.items()}
        holders = {i for i, found in counts.items() if sum(found)}
        having &= holders
        rarity = max(math.log((len(rows) - len(holders) + 0.5) / (len(holders) + 0.5)), 1e-6)
        for i in holders:
            f = 4.0 * counts[i][0] + counts[i][1]
            scores[i] += rarity * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * length[i] / average))
    return {i: scores[i] for i in having}


@pytest.mark.parametrize(
    "text",
    [
        "sea",
        "the",
        "harb",
        "CAFE",
        "café",
        "ship crossed",
        "the sea",
        "a + b",
        "2",
        "add(a,",
        "coming north",
        "did he",
    ],
)
def test_hits_and_their_order_are_those_of_the_plain_computation(atlas, read, text):
    phrases = [words for part in text.split() if (words := plain_words(part))]
    words = index_words(read.expected, read.pieces)
    exact, begun = (slow_bm25(words, phrases, begun) for begun in (False, True))
    longer = {latent: score for latent, score in begun.items() if latent not in exact}
    hits = by_words(atlas, text, limit=48)
    assert {hit.row.index: hit.score for hit in hits} == pytest.approx(exact | longer, rel=1e-9)
    scores = [hit.score for hit in hits]
    for part in (scores[: len(exact)], scores[len(exact) :]):
        assert part == sorted(part, reverse=True), "words as they stand first, each part by its score"
    assert {hit.row.index for hit in hits[: len(exact)]} == set(exact)
    assert {hit.how for hit in hits} <= {"words"}


def test_the_words_tried_above_are_found_in_some_latents_and_not_in_all(atlas):
    assert 0 < len(by_words(atlas, "harb")) < 47 and len(by_words(atlas, "ship crossed")) > 0
    assert by_words(atlas, "coming north") == []


def test_every_hit_shows_a_context_with_the_word_marked(atlas):
    for hit in by_words(atlas, "crossed thr", limit=48):
        assert hit.context in atlas.top_contexts([hit.row.index], 3)[hit.row.index]
        first, end = hit.matched
        marked = plain_words("".join(hit.context.tokens[first:end]))
        assert marked in (["crossed"], ["three"])


def test_of_the_contexts_the_one_with_the_word_at_its_peak_is_shown(atlas):
    hits = {hit.row.index: hit for hit in by_words(atlas, "the", limit=48)}
    shown = hits[ONE_TOKEN]
    assert shown.matched == (shown.context.peak, shown.context.peak + 1)
    assert shown.context.tokens[shown.context.peak] == " the"


HOSTILE = [
    "sea OR", "NOT sea", "AND", "NEAR(sea", 'the "sea', "sea*", "*sea", "peaks: sea", "{peaks} : sea", "sea)",
    "(", "se^a", "-sea", "+sea", "'; DROP TABLE latents; --", "sea\0ship", "sea \ud800", "%s {0} \\",
    "sea\n\tship", "sea " * 32, "x" * 10_000, "२३ हिन्दी", "海", "é", "e\u0301", "\u0301a", "🙂 a", "ǅ",
    "\U0001d530\U0001d522",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_syntax(atlas, text):
    if re.search(r"[^\W_]", text):
        assert len(by_words(atlas, text)) <= 50
    else:
        with pytest.raises(BadInput, match="no word"):
            by_words(atlas, text)


def test_what_fts_would_obey_is_looked_for_as_it_stands(atlas):
    sea = [hit.row.index for hit in by_words(atlas, "sea")]
    assert [hit.row.index for hit in by_words(atlas, 'sea*"')] == sea
    assert [hit.row.index for hit in by_words(atlas, "+ (sea)")] == sea
    assert by_words(atlas, "sea OR ship") == [] and by_words(atlas, "peaks: sea") == []


def test_random_text_is_never_an_error_of_the_database(atlas):
    draw = random.Random(0)
    alphabet = [*"ab  \"'*():^-+{}.,%_\0\n", *"éßİ中", "NEAR", "AND", " sea"]
    for _ in range(300):
        some = [draw.choice(alphabet) for _ in range(draw.randrange(1, 12))]
        some += [chr(draw.randrange(sys.maxunicode + 1)) for _ in range(draw.randrange(3))]
        text = "".join(some)
        try:
            by_words(atlas, text, limit=3)
        except BadInput as error:
            assert "no word to search for" in str(error)  # noqa: PT017 - most texts raise nothing


@pytest.mark.parametrize("text", ["", "   ", "...", "\0", "_", '"*"', "+ -"])
def test_a_query_without_a_word_is_refused(atlas, text):
    with pytest.raises(BadInput, match="no word to search for; write one with letters or digits"):
        by_words(atlas, text)


@pytest.mark.parametrize("text", ["sea " * 33, "sea-" * 20_000, " ".join(map(str, range(20_000)))])
def test_a_whole_text_is_sent_to_the_other_search(atlas, text):
    with pytest.raises(BadInput, match=r'at most 32 words.*"fires on:"'):
        by_words(atlas, text)


def test_labelled_latents_come_first_and_once(atlas, book):
    plain = [hit.row.index for hit in by_words(atlas, "sea", limit=48)]
    book.put(SHA, DEAD, "Nothing of the SÉA")
    book.put(SHA, plain[-1], "waves", note="of the sea")
    book.put(SHA, plain[0], "boats")
    book.put(SHA, 10_000, "sea, in a wider dictionary")
    hits = by_words(atlas, "sea", limit=48)
    first = sorted([DEAD, plain[-1]])
    assert [hit.row.index for hit in hits] == [*first, *(i for i in plain if i not in first)]
    assert [hit.how for hit in hits] == ["label"] * 2 + ["words"] * (len(hits) - 2)
    assert hits[0].context is None and hits[0].row.label == "Nothing of the SÉA"


def test_pages_of_hits_together_are_all_hits(atlas, book):
    for index in (2, 30, 41):
        book.put(SHA, index, "the harbour")
    whole = by_words(atlas, "har", limit=48)
    assert len(whole) > 8 and by_words(atlas, "har", 48, -3) == whole and by_words(atlas, "har", -1) == []
    for size in (1, 2, 5):
        pages = [by_words(atlas, "har", size, offset) for offset in range(0, len(whole) + size, size)]
        assert [hit for page in pages for hit in page] == whole


def test_a_word_of_very_many_latents_is_looked_for_at_the_peaks_alone(atlas, read, monkeypatch):
    words = index_words(read.expected, read.pieces)
    everywhere = {i for i, texts in words.items() if "the" in plain_words(" ".join(texts))}
    at_peaks = {i for i, texts in words.items() if any(w.startswith("the") for w in plain_words(texts[0]))}
    assert at_peaks < everywhere
    monkeypatch.setattr(search, "RANKED_AT_MOST", len(at_peaks))
    assert {hit.row.index for hit in by_words(atlas, "the", limit=48)} == at_peaks
    monkeypatch.setattr(search, "RANKED_AT_MOST", 48)
    assert {hit.row.index for hit in by_words(atlas, "the", limit=48)} >= everywhere


def test_like_gives_decoder_neighbours_and_then_latents_that_fire_together(atlas):
    hits = like(atlas, 7, limit=20)
    near = atlas.latent(7).neighbours
    assert [(hit.row.index, hit.score, hit.how) for hit in hits[:10]] == [(i, c, "cosine") for i, c in near]
    together = [(i, j, "together") for i, j in atlas.cofiring(7, 48) if i not in dict(near)]
    assert [(hit.row.index, hit.score, hit.how) for hit in hits[10:]] == together[:10]
    strongest = atlas.top_contexts([hit.row.index for hit in hits], 1)
    assert all(hit.context == next(iter(strongest.get(hit.row.index, ())), None) for hit in hits)
    assert len(like(atlas, 7, limit=3)) == 3 and [hit.how for hit in like(atlas, DEAD)] == ["cosine"] * 10
    with pytest.raises(BadInput, match="numbered 0 to 47"):
        like(atlas, 48)


def context(tokens: list[str], peak: int, value: float = 1.0) -> Context:
    activations = tuple(value if i == peak else 0.0 for i in range(len(tokens)))
    ids = tuple(range(len(tokens)))
    return Context("top", value, peak, 0, 0, 0, ids, tuple(tokens), activations, frozenset())


@pytest.mark.parametrize(
    ("tokens", "query", "expected"),
    [
        (["The", " sea", " is"], "sea", (1, 2)),
        (["The", " har", "bour", "s", "."], "harbours", (1, 4)),
        (["The", " har", "bour", "s", "."], "harb", (1, 4)),
        (["un", "sea", "worthy"], "sea", None),
        ([" don", "'", "t", " go"], "don't", (0, 3)),
        ([" CAF", "É", "!"], "cafe", (0, 2)),
        ([" cafe", "\u0301", "!"], "café", (0, 1)),
        (["a", " ", " b", "\n"], "b", (2, 3)),
        ([" bay", " b"], "b", (1, 2)),
        ([" by", " is"], "i", None),
        ([" 海水", " x"], "海", (0, 1)),
        (["sea", "", " sea"], "sea", (2, 3)),
        ([" Don", "\u2019", "t", " go"], "don t", (2, 3)),
        (["\u201c", "sea", "_x"], "sea", (1, 2)),
        ([" stra", "ße", "n", "."], "strasse", (0, 3)),
        ([" İstanbul", " x"], "istanbul", (0, 1)),
    ],
)
def test_the_marked_tokens_are_those_of_the_whole_word(tokens, query, expected):
    made = context(tokens, len(tokens) - 1)
    assert best_context([made], sought(query)) == (made, expected)


def test_the_best_context_holds_most_words_then_is_nearest_its_peak_then_strongest():
    none = context([" no", " word"], 0, 9.0)
    far = context([" sea", " a", " b", " c"], 3, 8.0)
    near = context([" a", " sea", " c"], 2, 7.0)
    also_near = context([" b", " sea", " d"], 2, 6.0)
    both = context([" ship", " a", " b", " sea", " d"], 1, 5.0)
    query = sought("ship sea")
    assert best_context([none, far, near, also_near, both], query) == (both, (0, 1))
    assert best_context([none, far, near, also_near], query) == (near, (1, 2))
    assert best_context([none], query) == (none, None) and best_context([], query) == (None, None)
