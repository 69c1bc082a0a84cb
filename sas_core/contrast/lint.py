"""What an experimenter would want to know about a set of pairs before trusting a vector built from it.

Works on texts alone: words are runs of letters and digits, not the model's tokens.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from sas_core.contrast.pairs import Pair, PairSet, Problem

FEWEST_PAIRS = 20
LETTER_SHARE = (0.4, 0.6)
LENGTH_RATIO = 1.3
LEAK_PRESENT = 0.9
LEAK_ABSENT = 0.1

# with fewer pairs some word separates the sides by chance
_FEWEST_FOR_LEAKS = 10
_MOST_LEAKS = 5
_MOST_ROWS = 5
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
_LETTER = re.compile(r"\(?([A-Z])\)?[.:]?\s*$")


def usable(pairs: PairSet) -> PairSet:
    """The set without the pairs whose two sides are the same text: they can only add noise."""
    return replace(pairs, pairs=tuple(pair for pair in pairs.pairs if not _identical(pair)))


def lint(pairs: PairSet) -> tuple[Problem, ...]:
    """All findings, errors first. An error names pairs that `usable` drops; a warning drops nothing."""
    rows = _numbered(pairs.pairs)
    rest = _numbered(usable(PairSet("", tuple(rows))).pairs)
    checks = [_same_sides(rows), _repeated_pairs(rest), _repeated_prompts(rest), _too_few(rest)]
    if pairs.form == "multiple-choice":
        checks += [_unlettered(rest), _letter_balance(rest)]
    else:
        checks += [_length_skew(rest), _all_alike(rest), _leaks(rest)]
    return tuple(problem for check in checks for problem in check)


def name_rows(rows: Iterable[int]) -> str:
    """`row 3`, `rows 3 and 8`, or at most five of them: `rows 1, 2, 5, 7, 9 and 12 more`."""
    rows = list(rows)
    if len(rows) == 1:
        return f"row {rows[0]}"
    shown = [str(row) for row in rows[:_MOST_ROWS]]
    last = f"{len(rows) - _MOST_ROWS} more" if len(rows) > _MOST_ROWS else shown.pop()
    return f"rows {', '.join(shown)} and {last}"


def _numbered(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair if pair.row else replace(pair, row=number) for number, pair in enumerate(pairs, 1)]


def _identical(pair: Pair) -> bool:
    return pair.positive.strip() == pair.negative.strip()


def _warning(message: str) -> Problem:
    return Problem(None, "warning", message)


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _same_sides(pairs: list[Pair]) -> Iterator[Problem]:
    rows = [pair.row for pair in pairs if _identical(pair)]
    if rows:
        message = f"Both sides are the same text in {name_rows(rows)}: dropped, for it contrasts nothing."
        yield Problem(None, "error", message)


def _repeats(pairs: list[Pair], key: Callable[[Pair], object]) -> list[int]:
    seen: set[object] = set()
    rows = []
    for pair in pairs:
        if key(pair) in seen:
            rows.append(pair.row)
        seen.add(key(pair))
    return rows


def _whole(pair: Pair) -> tuple[object, str, str]:
    return pair.prompt, pair.positive, pair.negative


def _repeated_pairs(pairs: list[Pair]) -> Iterator[Problem]:
    rows = _repeats(pairs, _whole)
    if rows:
        yield _warning(
            f"{_pairs(len(rows))} given again after an earlier one ({name_rows(rows)}): each copy counts in "
            "every frequency. Delete the copies."
        )


def _repeated_prompts(pairs: list[Pair]) -> Iterator[Problem]:
    copies = set(_repeats(pairs, _whole))
    rows = _repeats([pair for pair in pairs if pair.row not in copies], lambda pair: pair.prompt)
    if rows:
        yield _warning(
            f"{_pairs(len(rows))} with the prompt of an earlier pair ({name_rows(rows)}): "
            "such pairs are not independent, and p-values come out too small."
        )


def _too_few(pairs: list[Pair]) -> Iterator[Problem]:
    if len(pairs) < FEWEST_PAIRS:
        yield _warning(
            f"The set has {_pairs(len(pairs))} to use; below {FEWEST_PAIRS} one pair moves a frequency by "
            "more than 5 % and chance latents pass tau. Add pairs."
        )


def _letter(completion: str) -> str | None:
    found = _LETTER.match(completion.strip())
    return found.group(1) if found else None


def _unlettered(pairs: list[Pair]) -> Iterator[Problem]:
    rows = [pair.row for pair in pairs if not (_letter(pair.positive) and _letter(pair.negative))]
    if rows:
        yield _warning(
            f"The answer is not a letter such as (A) in {name_rows(rows)}; the position `answer` reads the "
            "letter's token. Write the options as (A) and (B), or choose another position."
        )


def _letter_balance(pairs: list[Pair]) -> Iterator[Problem]:
    letters = {pair.row: letter for pair in pairs if (letter := _letter(pair.positive))}
    share = sum(letter == "A" for letter in letters.values()) / max(len(letters), 1)
    if letters and not LETTER_SHARE[0] <= share <= LETTER_SHARE[1]:
        rows = [row for row, letter in letters.items() if (letter == "A") == (share > 0.5)]
        yield _warning(
            f"The matching answer is (A) in {_percent(share)} of the pairs: the letter then differs between "
            "the sides as the behaviour does, and letter latents survive tau. Swap the options in some of "
            f"{name_rows(rows)} until the share is near 50 %."
        )


def _length_skew(pairs: list[Pair]) -> Iterator[Problem]:
    ratios = {pair.row: _word_count(pair.positive) / _word_count(pair.negative) for pair in pairs}
    ratio = median(ratios.values()) if ratios else 1.0
    if max(ratio, 1 / ratio) > LENGTH_RATIO:
        longer, shorter = ("positive", "negative") if ratio > 1 else ("negative", "positive")
        rows = sorted(ratios, key=lambda row: ratios[row], reverse=ratio > 1)
        yield _warning(
            f"{longer.capitalize()} completions are {max(ratio, 1 / ratio):.1f} times as long as "
            f"{shorter} ones (median, in words; most in {name_rows(rows)}): with more tokens any latent "
            "fires more often. Match the lengths."
        )


def _word_count(text: str) -> int:
    return max(len(text.split()), 1)


def _all_alike(pairs: list[Pair]) -> Iterator[Problem]:
    for side in ("positive", "negative"):
        texts = {getattr(pair, side).strip() for pair in pairs}
        if len(pairs) > 1 and len(texts) == 1:
            yield _warning(
                f"Every {side} completion is the same text ({name_rows(pair.row for pair in pairs)}): "
                "the vector will hold that text's own latents. Write different ones."
            )


@dataclass(frozen=True)
class _Leak:
    word: str
    side: str
    here: float
    there: float
    rows: tuple[int, ...]


def _leaks(pairs: list[Pair]) -> Iterator[Problem]:
    if len(pairs) < _FEWEST_FOR_LEAKS:
        return
    anywhere = _separating(pairs, lambda words: set(words))
    known = {leak.word for leak in anywhere}
    first = [leak for leak in _separating(pairs, lambda words: set(words[:1])) if leak.word not in known]
    yield from (_leak_warning(leak, "stands in") for leak in anywhere[:_MOST_LEAKS])
    yield from (_leak_warning(leak, "opens") for leak in first[:_MOST_LEAKS])


def _leak_warning(leak: _Leak, verb: str) -> Problem:
    other = "negative" if leak.side == "positive" else "positive"
    return _warning(
        f'"{leak.word}" {verb} {_percent(leak.here)} of the {leak.side} completions and '
        f"{_percent(leak.there)} of the {other} ones ({name_rows(leak.rows)}): it tells the sides apart "
        "alone, so the vector may be about this word. Vary the wording."
    )


def _separating(pairs: list[Pair], pick: Callable[[list[str]], set[str]]) -> list[_Leak]:
    """Words picked in >= LEAK_PRESENT of one side and <= LEAK_ABSENT of the other, widest gap first."""
    sides = {
        side: [pick(_WORD.findall(getattr(pair, side).casefold())) for pair in pairs]
        for side in ("positive", "negative")
    }
    counts = {side: Counter(word for words in picked for word in words) for side, picked in sides.items()}
    leaks = []
    for side, other in (("positive", "negative"), ("negative", "positive")):
        for word, count in counts[side].items():
            here, there = count / len(pairs), counts[other][word] / len(pairs)
            if here >= LEAK_PRESENT and there <= LEAK_ABSENT:
                rows = (pair.row for pair, words in zip(pairs, sides[side], strict=True) if word in words)
                leaks.append(_Leak(word, side, here, there, tuple(rows)))
    return sorted(leaks, key=lambda leak: (leak.there - leak.here, leak.side, leak.word))
