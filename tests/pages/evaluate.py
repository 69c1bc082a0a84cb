"""The page Evaluate as its tests work it: opened on the tiny engine, pressed, read, run to the end."""

import json

from pages.shared import loaded
from tests.pages.app import open_page, press, shown

TRAIN = [
    ("Tell me about your day.", "We walked along the warm river.", "The train was late."),
    ("What is the sea like?", "It is low and warm in autumn.", "It is late this morning again."),
    ("Tell me more.", "In most years the sun is kind.", "In winter the book is late."),
    ("And you?", "The river was kind to the sun.", "The book was late for the train."),
]
HELDOUT = [
    ("How was it?", "Warm, and the river was low.", "Late, and the train was full."),
    ("What now?", "We walk in the sun.", "We wait in the morning."),
    ("Tell me again.", "The sea is kind.", "The book is late."),
    ("Where to?", "To the warm sea.", "To the late train."),
]
TINY = {"tau": [1.0], "scale": [-2, 2]}


def pair_file(path, rows):
    """The pairs as JSON Lines; the path as a spec has it."""
    lines = [json.dumps(dict(zip(("prompt", "positive", "negative"), row, strict=True))) for row in rows]
    path.write_text("\n".join(lines))
    return str(path)


def page(script="pages/evaluation.py", *, query=None, **state):
    named = {f"evaluate.{name}": value for name, value in state.items()}
    return open_page(script, "pages/evaluation.py", query=query, state=named)


def paste(at, text):
    at.text_area(key="evaluate.spec").set_value(text)
    return shown(at)


def ran(at):
    """Press Run, wait for the end, and look again."""
    press(at, "evaluate.run")
    assert not at.error, at.error[0].value
    job = loaded.get_sweep_job()
    assert job.wait(60) and job.state == "done", job.error
    return shown(at)
