"""The demo preset itself: real weights, the shipped dictionary and vectors. One load for all tests."""

import pytest

from sas_core.model.presets import get_preset, load_engine
from sas_core.steering.engine import Engine


@pytest.fixture(scope="session")
def demo() -> Engine:
    return load_engine(get_preset("demo"), device="cpu", dtype="float32")


# twenty prompts of many kinds, written for these tests
PROMPTS = (
    "Tell me about your day.",
    "What is the capital of Norway?",
    "Write two lines about autumn.",
    "How do I boil an egg?",
    "Why is the sky blue?",
    "Give me a name for a small grey cat.",
    "Explain compound interest to a child.",
    "Is it rude to leave a party early?",
    "List three uses for a brick.",
    "Translate 'good morning' into French.",
    "My neighbour plays drums at night. What should I say?",
    "What happens when ice melts?",
    "Suggest a title for a story about a lighthouse.",
    "2 + 2 =",
    "Write a short thank-you note.",
    "What should I cook with rice and beans?",
    "Who are you?",
    "Describe a forest after rain.",
    "How long is a marathon?",
    "def add(a, b):",
)
