"""Twelve easy questions of our own, with four answers each, and the rows that MMLU's form makes of them."""

from typing import Any

# (subject, question, answers, index of the right one)
EASY: list[tuple[str, str, list[str], int]] = [
    ("the sky", "What colour is a clear sky at noon?", ["green", "blue", "red", "black"], 1),
    ("the sky", "What lights the day?", ["the moon", "a lamp", "the sun", "a fire"], 2),
    ("the sky", "What falls from a rain cloud?", ["water", "sand", "salt", "oil"], 0),
    ("the sky", "When are the stars seen?", ["at noon", "in the day", "at dawn", "at night"], 3),
    ("animals", "How many legs has a dog?", ["four", "two", "six", "eight"], 0),
    ("animals", "Which of these can fly?", ["a cow", "a fish", "a dog", "a gull"], 3),
    ("animals", "What does a cow eat?", ["stones", "grass", "coal", "glass"], 1),
    ("animals", "Where does a whale live?", ["in a tree", "in a cave", "in the sea", "on a hill"], 2),
    ("numbers", "What is two and two?", ["three", "five", "four", "six"], 2),
    ("numbers", "How many days has a week?", ["seven", "five", "ten", "twelve"], 0),
    ("numbers", "Which is the largest?", ["one", "three", "two", "nine"], 3),
    ("numbers", "What is half of ten?", ["two", "five", "four", "eight"], 1),
]


def mmlu_rows() -> list[dict[str, Any]]:
    """As the hub has them: `answer` is an index."""
    return [
        {"subject": subject, "question": question, "choices": choices, "answer": answer}
        for subject, question, choices, answer in EASY
    ]


def truthful_rows() -> list[dict[str, Any]]:
    """As TruthfulQA has them: the right answer first in mc1, and a second right one in mc2."""
    return [
        {
            "question": question,
            "mc1_targets": {
                "choices": [choices[right], *(c for i, c in enumerate(choices) if i != right)],
                "labels": [1, 0, 0, 0],
            },
            "mc2_targets": {
                "choices": [choices[right], f"{choices[right]}, I think", *choices[:right]],
                "labels": [1, 1, *[0] * right],
            }
            if right
            else {"choices": [*choices[1:3], choices[0]], "labels": [0, 0, 1]},
        }
        for _, question, choices, right in EASY
    ]
