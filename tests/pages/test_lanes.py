"""The lanes beside the main pair on the Steer page, on a tiny engine put in at the one seam."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import loaded
from sas_core.steering.tray import Tray, latent_item, vector_item
from sas_core.vectors.build import latents_file

ROOT = Path(__file__).resolve().parents[2]
TRAY = Tray((vector_item("waves", (3, 11, 20), (6.0, -2.0, 5.0), 2.0),))
PAIR = Tray((latent_item(3, 6.0), latent_item(11, 4.0, strength=0.5)))

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def asked(engine, monkeypatch):
    """The lane names of every request the engine is given."""
    names = []
    stream = engine.stream

    def watched(request, session=""):
        names.append([lane.name for lane in request.lanes])
        return stream(request, session)

    monkeypatch.setattr(engine, "stream", watched)
    return names


def opened(tray=TRAY, **query):
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.session_state["engine_choice"] = loaded.EngineChoice("custom", "tiny-llama")
    app.session_state["tray"] = tray
    for name, value in {"n": "6", **query}.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def shown(app):
    return [lane.name for lane in app.session_state["steer.shown"].lanes]


def warned(app):
    return " ".join(element.value for element in app.warning)


def test_a_strip_of_strengths_runs_as_rows_of_one_request(asked):
    app = opened(also="strip", strengths="-1 0 2")
    assert shown(app) == ["unsteered", "steered: waves +2.00", "\u03bb -1", "\u03bb +0", "\u03bb +2"]
    assert asked == [shown(app)]
    texts = {lane.name: lane.token_ids for lane in app.session_state["steer.shown"].lanes}
    assert texts["\u03bb +0"] == texts["unsteered"]


def test_a_lane_that_does_more_than_add_says_so():
    app = opened(TRAY.set_mode("vector:waves", "clamp"))
    assert shown(app)[1] == "steered: waves clamp +2.00"


def test_a_moved_slider_runs_the_one_lane_that_changed(asked):
    app = opened(also="strip", strengths="-1 2")
    app.slider(key="scale").set_value(0.5).run()
    assert asked[1:] == [["steered: waves +1.00"]]
    assert len(shown(app)) == 4
    app.slider(key="scale").set_value(2.0).run()
    assert asked[2:] == [], "the lane at 2 is in the strip already"


def test_a_lane_of_the_strip_sets_the_strength_when_it_is_used(asked):
    app = opened(also="strip", strengths="-1 2")
    before = {lane.name: lane.token_ids for lane in app.session_state["steer.shown"].lanes}
    press_use(app, "\u03bb -1")
    assert app.slider(key="scale").value == -1.0
    lanes = app.session_state["steer.shown"].lanes
    assert lanes[1].name == "steered: waves -2.00" and lanes[1].token_ids == before["\u03bb -1"]
    assert len(asked) == 1


def press_use(app, name):
    index = shown(app).index(name)
    app.button(key=f"steer.use.{index}").click().run()
    assert not app.exception


def test_a_control_can_take_the_place_beside_the_unsteered_lane_and_give_it_back(asked):
    app = opened(controls="random,dense", control_seed="3")
    assert shown(app)[2:] == ["random direction (seed 3)", "dense equivalent"]
    press_use(app, "dense equivalent")
    assert shown(app)[1] == "dense equivalent" and "steered: waves +2.00" in shown(app)
    press_use(app, "steered: waves +2.00")
    assert shown(app)[1] == "steered: waves +2.00"
    assert len(asked) == 1


def test_each_item_of_the_tray_is_tried_alone_and_left_out(asked):
    app = opened(PAIR, also="alone")
    assert shown(app)[2:] == ["only latent 3", "only latent 11"]
    app = opened(PAIR, also="left-out")
    assert shown(app)[2:] == ["without latent 3", "without latent 11"]


def test_a_system_prompt_is_compared_with_steering(asked, engine):
    app = opened(controls="system", against="Talk of the river.")
    lane = app.session_state["steer.shown"].lanes[2]
    assert lane.name == "system prompt instead" and lane.receipt is None
    assert lane.token_ids != app.session_state["steer.shown"].lanes[0].token_ids


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"controls": "random-latents"}, "need the atlas"),
        ({"controls": "caa"}, "was not made from pairs"),
        ({"also": "strip", "strengths": "one two"}, "not numbers"),
        ({"controls": "system", "against": " "}, "is empty"),
    ],
)
def test_a_lane_that_cannot_be_is_named_and_the_others_run(engine, query, words):
    loaded.get_shelf().save(
        latents_file(engine, "waves", {3: 6.0, 11: -2.0, 20: 5.0}, strength=2.0), "made here"
    )
    app = opened(**query)
    assert words in warned(app)
    assert shown(app) == ["unsteered", "steered: waves +2.00"]


def test_nonsense_in_the_link_is_not_chosen():
    app = opened(also="everything", controls="caa2,,random", control_seed="x")
    assert shown(app)[2:] == ["random direction (seed 0)"]


def test_the_same_request_again_is_answered_from_before_and_says_so(asked):
    app = opened()
    app.button(key="steer.run").click().run()
    assert len(asked) == 1
    assert any("Compute again repeats them" in element.value for element in app.caption)
    app.button(key="steer.again").click().run()
    assert asked[1:] == [shown(app)]
