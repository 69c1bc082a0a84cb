"""The panel of runs, on a tiny engine: what it shows, puts back, compares, exports and deletes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.shared.loaded import EngineChoice, get_runs
from sas_core.runs.book import runs_path
from sas_core.runs.recall import keep, recall
from sas_core.runs.rows import Run
from sas_core.steering.engine import Engine
from sas_core.steering.lanes import LaneResult, Request
from sas_core.steering.plans import alone, dense_lane, left_out, random_direction_lane, strip, system_lane
from sas_core.steering.spec import Control, Lane, Sampling, Steering, Term
from tests.runs.many_requests import GATED, LATENT, PLAIN, REQUESTS, SEA, pair

ROOT = Path(__file__).resolve().parents[2]
TINY = EngineChoice("custom", "tiny-llama")


@pytest.fixture
def runs(tiny):
    """How the book of an empty history is opened, as pages open it."""
    return get_runs


def kept(engine: Engine, request: Request, text: str = "waves", **fields: object) -> Run:
    lanes = tuple(
        LaneResult(lane.name, 1.0, (5,), (text,), (-1.0,), text, "length") for lane in request.lanes
    )
    return keep(get_runs(), engine, request, lanes, "finished", 1.0, **fields)


def page() -> None:
    from pages.shared.header import open_page
    from pages.shared.steer.history import draw_history

    draw_history(open_page("Runs"))


def opened(*, panel: bool = True) -> AppTest:
    app = AppTest.from_function(page, default_timeout=60)
    app.session_state["engine_choice"] = TINY
    app.session_state["runs.panel"] = panel
    app.run()
    assert not app.exception
    return app


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    kinds = ("text", "markdown", "caption", "success", "warning", "error", "info", "toast")
    return "\n".join(element.value for kind in kinds for element in app.get(kind))


def numbers(app: AppTest) -> list[int]:
    return [int(b.key.rpartition(".")[2]) for b in app.button if b.key.startswith("runs.restore.")]


def test_the_panel_shows_the_newest_runs_a_page_at_a_time(runs, engine):
    made = [kept(engine, replace(PLAIN, prompt=f"*prompt* {n}"), f"<b>text</b> {n}").id for n in range(8)]
    app = opened()
    assert numbers(app) == made[:1:-1]
    texts = [element.value for element in app.text]
    assert "*prompt* 7" in texts and "\u2192 <b>text</b> 7" in texts
    assert "sea \\+2; λ \\+1; greedy, 5 tokens" in words(app)
    assert numbers(press(app, "runs.older")) == made[1::-1]
    assert numbers(press(app, "runs.newer")) == made[:1:-1]


def test_a_closed_panel_reads_nothing(runs, engine):
    kept(engine, PLAIN)
    app = opened(panel=False)
    assert numbers(app) == [] and "runs.search" not in [element.key for element in app.text_input]


def test_search_starts_again_at_the_newest(runs, engine):
    made = [kept(engine, replace(PLAIN, prompt=f"ship {n}")).id for n in range(7)]
    kept(engine, replace(PLAIN, prompt="other"))
    app = press(opened(), "runs.older")
    app.text_input(key="runs.search").set_value("ship").run()
    assert numbers(app) == made[:0:-1]
    app.text_input(key="runs.search").set_value("nothing").run()
    assert numbers(app) == [] and "No run holds these words" in words(app)


STEERED = Steering((SEA, *GATED[1:]), -0.5, "none", "all")
BOTH = Steering((SEA, LATENT), 1.5)


def test_restore_puts_everything_back(runs, engine):
    request = Request(
        "Some *prompt*",
        (
            *pair(*STEERED.terms, scale=-0.5, nonlinearity="none", tokens="all"),
            random_direction_lane(STEERED, 7), dense_lane(STEERED), system_lane("Speak: of the sea."),
            *strip(STEERED, (-1.0, 0.0, 2.5)),
        ),
        Sampling(33, 0.7, 0.9, 12), False, "Be brief.",
    )  # fmt: skip
    run = kept(engine, request)
    app = press(opened(), f"runs.restore.{run.id}")
    state = {key: app.session_state[key] for key in (
        "prompt", "scale", "steer.new_tokens", "steer.how", "steer.temperature", "steer.top_p", "steer.seed",
        "steer.format", "steer.system", "steer.tokens", "steer.sigma", "steer.also", "steer.strengths",
        "steer.controls", "steer.against", "steer.control_seed", "steer.main",
    )}  # fmt: skip
    assert list(state.values()) == [
        "Some *prompt*", -0.5, 33, "sample", 0.7, 0.9, 12, "raw text", "Be brief.", "all", "none", "strip",
        "-1 0 2.5", ["random", "dense", "system"], "Speak: of the sea.", 7, None,
    ]  # fmt: skip
    steering = app.session_state["tray"].steering(-0.5, "none", "all")
    assert [replace(t, name="") for t in steering.terms] == [replace(t, name="") for t in STEERED.terms]
    assert "left out" not in words(app)


@pytest.mark.parametrize(
    ("lanes", "also", "controls", "main"),
    [
        (pair(*BOTH.terms, scale=1.5), None, [], None),
        ((*pair(*BOTH.terms, scale=1.5), *alone(BOTH)), "alone", [], None),
        # the second part was put beside the unsteered lane
        (
            (Lane("unsteered"), alone(BOTH)[1], Lane("steered: sea", BOTH), alone(BOTH)[0]),
            "alone", [], "only latent 9",
        ),
        ((*pair(*BOTH.terms, scale=1.5), *left_out(BOTH)), "left-out", [], None),
        # the tray at strength 0 has no lane of its own
        ((Lane("unsteered"), *strip(BOTH, (-1.0, 0.0, 1.0))), "strip", [], None),
        ((*pair(SEA), Lane("caa", BOTH, Control("direction", direction=(1.0,)))), None, ["caa"], None),
        ((*pair(SEA), Lane("random latents, alike (seed 3)", BOTH)), None, ["random-latents"], None),
    ],
)  # fmt: skip
def test_restore_knows_the_lanes_the_page_offers(runs, engine, lanes, also, controls, main):
    run = kept(engine, Request("Hi", lanes, Sampling(5)), scale=0.0)
    app = press(opened(), f"runs.restore.{run.id}")
    state = app.session_state
    assert (state["steer.also"], state["steer.controls"], state["steer.main"]) == (also, controls, main)
    assert state["scale"] == (lanes[1].steering.scale if main is None and lanes[1].name == "steered" else
                              1.5 if main else 0.0)  # fmt: skip
    own = next(lane.steering for lane in lanes if lane.steering)
    assert {item.label for item in state["tray"]} >= {term.name for term in own.terms}


def test_lanes_the_page_does_not_offer_are_left_out_and_it_says_so(runs, engine):
    lanes = (*pair(SEA), Lane("other", Steering((LATENT,))))
    run = kept(engine, Request("Hi", lanes, Sampling(5)))
    app = press(opened(), f"runs.restore.{run.id}")
    assert "were left out" in words(app)
    assert [item.label for item in app.session_state["tray"]] == ["sea"]


def test_a_strength_beyond_the_slider_goes_into_the_items(runs, engine):
    run = kept(engine, Request("Hi", pair(Term("latent 9", (9,), (2.0,), 0.5), scale=-8.0), Sampling(5)))
    app = press(opened(), f"runs.restore.{run.id}")
    (item,) = app.session_state["tray"]
    assert (app.session_state["scale"], item.strength, item.values) == (1.0, -4.0, (2.0,))


def test_a_talk_and_a_run_of_another_sae_are_not_restored(runs, engine):
    talk = kept(engine, REQUESTS["a talk"])
    other = get_runs().keep(replace(talk, id=0, at="", key="x", sae_sha256="f" * 64))
    app = opened()
    assert app.button(key=f"runs.restore.{other.id}").disabled
    assert "another SAE" in words(app)
    app = press(app, f"runs.restore.{talk.id}")
    assert "a talk of several turns" in words(app) and "prompt" not in app.session_state


RESTORED = (
    "prompt", "scale", "steer.new_tokens", "steer.how", "steer.format", "steer.system", "steer.tokens",
    "steer.sigma", "steer.also", "steer.controls", "steer.strengths", "steer.control_seed", "steer.main",
    "steer.finished", "tray", "tray_history",
)  # fmt: skip


def test_page_steer_shows_a_restored_answer_without_generating(runs, engine, monkeypatch):
    steering = Steering((SEA, LATENT), -0.5)
    lanes = (
        *pair(*steering.terms, scale=-0.5), random_direction_lane(steering, 7), *strip(steering, (-2.0, 1.0))
    )  # fmt: skip
    run = kept(engine, Request("Some prompt", lanes, Sampling(33), True), "text of the run")
    app = press(opened(), f"runs.restore.{run.id}")
    steer = AppTest.from_file(str(ROOT / "pages" / "steering.py"), default_timeout=60)
    steer.session_state["engine_choice"] = TINY
    for key in RESTORED:
        steer.session_state[key] = app.session_state[key]
    monkeypatch.setattr(engine, "stream", lambda *_: pytest.fail("generated"))
    steer.run()
    assert not steer.exception
    shown = steer.session_state["steer.shown"]
    assert [lane.text for lane in shown.lanes] == ["text of the run"] * 5


def test_two_runs_are_compared_in_settings_and_texts(runs, engine):
    left = kept(engine, PLAIN, "calm <sea>")
    right = kept(engine, replace(PLAIN, prompt="Hi"), "storm")
    third = kept(engine, replace(PLAIN, system="Brief"), "third")
    app = opened()
    for run in (third, right, left):
        app.checkbox(key=f"runs.pick.{run.id}").check().run()
        assert not app.exception
    # the first that was picked was let go
    assert not app.checkbox(key=f"runs.pick.{third.id}").value
    (table,) = app.dataframe
    assert table.value.to_dict("list") == {
        "setting": ["Prompt"], f"run {left.id}": [PLAIN.prompt], f"run {right.id}": ["Hi"],
    }  # fmt: skip
    shown = "\n".join(element.proto.body for element in app.get("html"))
    assert "calm &lt;sea&gt;" in shown and "storm" in shown and "third" not in shown


def test_deleting_says_that_it_is_for_good(runs, engine):
    first, second = kept(engine, PLAIN), kept(engine, replace(PLAIN, prompt="Hi"))
    app = opened()
    app.checkbox(key=f"runs.pick.{first.id}").check().run()
    assert "there is no way back" in words(app)
    app = press(app, f"runs.delete.{first.id}")
    assert numbers(app) == [second.id] and app.session_state["runs.picked"] == []
    app = press(app, "runs.delete_all")
    assert numbers(app) == [] and "No run is kept yet" in words(app) and get_runs().count() == 0


def test_a_damaged_history_stops_nothing_and_can_be_set_aside(runs, engine):
    st.cache_resource.clear()
    runs_path().write_bytes(b"not a database, but long enough to be looked at" * 20)
    app = opened()
    assert "is damaged" in words(app)
    app = press(app, "runs.set_aside")
    assert "No run is kept yet" in words(app) and "was kept as" in words(app)
    (aside,) = runs_path().parent.glob("runs.db.corrupt-*")
    assert aside.read_bytes().startswith(b"not a database")


def keeping_page() -> None:
    import streamlit as st

    from pages.shared.header import open_page
    from pages.shared.steer.history import draw_history, keep, recall
    from tests.runs.many_requests import PLAIN

    engine = open_page("Runs")
    known = recall(engine, PLAIN)
    st.text(f"known: {known is not None}")
    if known is None:
        keep(engine, PLAIN, engine.run(PLAIN).lanes, "finished", 1.0)
    draw_history(engine)


def kept_on_a_page() -> AppTest:
    app = AppTest.from_function(keeping_page, default_timeout=60)
    app.session_state["engine_choice"] = TINY
    app.session_state["runs.panel"] = True
    app.run()
    assert not app.exception
    return app


def test_a_page_keeps_its_run_and_finds_it_again(runs, engine):
    assert "known: False" in words(kept_on_a_page())
    app = kept_on_a_page()
    assert "known: True" in words(app) and len(numbers(app)) == 1
    assert recall(get_runs(), engine, PLAIN).lanes[1].text == engine.run(PLAIN).lanes[1].text


def test_with_a_damaged_history_the_answer_comes_and_the_panel_tells_why(runs, engine):
    st.cache_resource.clear()
    runs_path().write_bytes(b"not a database, but long enough to be looked at" * 20)
    app = kept_on_a_page()
    assert "known: False" in words(app) and "is damaged" in words(app)
    st.cache_resource.clear()
    runs_path().unlink()
    get_runs().close()
    app = kept_on_a_page()
    assert "known: False" in words(app) and "closed meanwhile" in words(app)


def command_page() -> None:
    from pages.shared.header import open_page
    from pages.shared.steer.command import draw_command
    from tests.runs.many_requests import PLAIN

    open_page("Runs")
    draw_command(PLAIN)


def test_the_command_names_what_is_loaded(runs, engine):
    app = AppTest.from_function(command_page, default_timeout=60)
    app.session_state["engine_choice"] = EngineChoice("custom", "my model", sae_path="/sae", device="cpu")
    app.run()
    assert not app.exception
    (code,) = app.code
    assert code.value.startswith("python -m sas_core steer --prompt 'Tell me about your day.' --lanes ")
    assert code.value.endswith("--max-new-tokens 5 --model 'my model' --sae-path /sae --device cpu")
    assert EngineChoice().options() == {}
    assert EngineChoice("gpt2-small", dtype="float16").options() == {
        "preset": "gpt2-small",
        "dtype": "float16",
    }


def test_an_export_is_what_the_book_exports(runs, engine):
    run = kept(engine, PLAIN)
    app = opened()
    names = [element.proto.label for element in app.get("download_button")]
    assert names == ["Export", "Export all"]
    assert json.loads(get_runs().export())["runs"][0]["id"] == run.id
    assert Path(runs_path()).is_file()
