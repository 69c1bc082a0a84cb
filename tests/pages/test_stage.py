"""Lanes, receipts, sparklines and the inspector of page Steer on a tiny engine, drawn through a page."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from pages.shared.loaded import EngineChoice
from pages.shared.steer import strip_values as steer_strip_values
from pages.shared.steer.inspect import Looked, alternatives_html
from pages.shared.steer.known import lane_keys
from pages.shared.steer.sparkline import sparkline_html, sparkline_sentence
from pages.shared.steer.stage import INSPECTED
from pages.shared.tokens import visible
from sas_core.steering.compare import Alternative, TokenInspection, divergence, inspect_token
from sas_core.steering.engine import Engine
from sas_core.steering.gates import FirstTokens
from sas_core.steering.lanes import Done, LaneResult, Request
from sas_core.steering.spec import Control, Lane, Sampling, Steering, Term
from tests.atlas.tiny_atlas import tiny_atlas
from tests.helpers import term
from tests.pages.test_tokens import NASTY, Seen
from tests.steering.asking import OTHER, PROMPT, UP

COUNT = 12
SILENT = Steering((term({2: 1e-30}, name="nothing"),))
GATED = Steering((Term("gated", (2, 7), (4.0, 3.0), 1.0, "add", FirstTokens(4)),))
LANES = (
    Lane("unsteered"),
    Lane("steered: up +1.00", UP),
    *(Lane(f"λ {scale:g}", UP.at(scale)) for scale in (-1.0, 0.5, 2.0)),
    Lane("random", UP, Control("random", 3)),
    Lane("told", system="You are the sea."),
)

pytestmark = pytest.mark.usefixtures("tiny")


def run_of(engine: Engine, *lanes: Lane) -> tuple[Request, tuple[LaneResult, ...]]:
    request = Request(PROMPT, lanes or LANES, Sampling(COUNT))
    done = next(event for event in engine.stream(request) if isinstance(event, Done))
    return request, done.lanes


def _script(request: object, drawn: tuple, lanes: tuple, finished: bool) -> None:
    import streamlit as st

    from pages.shared.loaded import get_engine
    from pages.shared.steer.receipt import draw_receipt
    from pages.shared.steer.stage import Stage
    from pages.shared.tray.state import get_tray

    engine = get_engine()
    get_tray(engine)
    stage = Stage(request, lambda index: st.session_state.update(promoted=index))
    for each in (*drawn, lanes):
        stage.draw(each)
    draw_receipt(engine, request, lanes, stage, finished=finished)


def page(
    request: Request,
    lanes: tuple[LaneResult, ...],
    drawn: Sequence[tuple[LaneResult, ...]] = (),
    *,
    finished: bool = True,
    **state: Any,
) -> AppTest:
    at = AppTest.from_function(_script, args=(request, tuple(drawn), lanes, finished), default_timeout=60)
    at.session_state["engine_choice"] = EngineChoice("custom", model="tiny")
    for name, value in state.items():
        at.session_state[name.replace("__", ".")] = value
    return shown(at)


def shown(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def html(at: AppTest) -> list[str]:
    return [element.value for element in at.get("html")]


def strips(at: AppTest) -> list[dict[str, Any]]:
    """What the browser is given to draw each finished lane with."""
    return [json.loads(each.proto.mixed.json or each.proto.json) for each in at.get("bidi_component")]


def words(at: AppTest) -> str:
    kinds = (at.markdown, at.caption, at.text, at.error)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def first_apart(left: Sequence[int], right: Sequence[int]) -> int | None:
    return next((i for i in range(min(len(left), len(right))) if left[i] != right[i]), None)


def still_written(lanes: tuple[LaneResult, ...]) -> tuple[LaneResult, ...]:
    return tuple(replace(lane, stop=None) for lane in lanes)


def looking(engine: Engine, request: Request, lane: int, position: int) -> Looked:
    return Looked(lane_keys(engine, request), lane, position)


def test_every_lane_is_there_with_its_name_what_it_is_and_its_text(tiny: Engine) -> None:
    request, lanes = run_of(tiny)
    at = page(request, lanes)
    drawn = strips(at)
    assert [[text for text, _ in each["shown"]] for each in drawn] == [list(lane.pieces) for lane in lanes]
    assert [each["label"] for each in drawn] == [f"Tokens of {lane.name}" for lane in lanes]
    assert all(each["flowing"] for each in drawn)
    said = words(at)
    assert all(f"**{lane.name}**" in said for lane in lanes)
    assert "Control: a random direction" in said and "System prompt: “You are the sea.”" in said


def test_the_first_token_that_differs_is_marked_in_each_lane(tiny: Engine) -> None:
    weak = [Lane(f"λ {scale:g}", UP.at(scale)) for scale in (0.03, 0.06, 0.1, 0.2, 1.0)]
    request, lanes = run_of(tiny, Lane("unsteered"), *weak)
    expected = [first_apart(lanes[0].token_ids, lane.token_ids) for lane in lanes]
    expected[0] = expected[1]
    assert len(set(expected)) > 2, "the lanes must part at different tokens"
    assert [each["marked"] for each in strips(page(request, lanes))] == expected
    streaming = page(request, still_written(lanes), finished=False)
    marked = [re.findall(r'<span style="([^"]*)"( title="first[^"]*")?>', text) for text in html(streaming)]
    assert [next((i for i, (_, mark) in enumerate(each) if mark), None) for each in marked] == expected


def test_a_button_of_each_further_lane_promotes_it(tiny: Engine) -> None:
    request, lanes = run_of(tiny)
    at = page(request, lanes)
    assert [b.key for b in at.button if b.label == "Use"] == [f"steer.use.{i}" for i in range(2, len(lanes))]
    at.button(key="steer.use.4").click()
    assert shown(at).session_state["promoted"] == 4


def test_only_lanes_that_changed_are_sent_again(tiny: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    request, lanes = run_of(tiny)
    begun = [replace(lane, token_ids=lane.token_ids[:4], pieces=lane.pieces[:4], stop=None) for lane in lanes]
    further = [*begun]
    further[3] = replace(lanes[3], token_ids=lanes[3].token_ids[:5], pieces=lanes[3].pieces[:5], stop=None)
    sent: list[str] = []
    original = DeltaGenerator.html

    def counted(self: DeltaGenerator, body: str, **options: Any) -> Any:
        sent.append(body)
        return original(self, body, **options)

    monkeypatch.setattr(DeltaGenerator, "html", counted)
    page(request, tuple(further), [tuple(begun)], finished=False)
    assert len(sent) == len(lanes) + 1


def test_a_lane_without_effect_says_so_in_its_own_place_and_the_others_stay(tiny: Engine) -> None:
    request, lanes = run_of(tiny, Lane("unsteered"), Lane("steered: nothing", SILENT), Lane("other", OTHER))
    assert lanes[1].problem and not lanes[2].problem
    at = page(request, lanes)
    (error,) = at.error
    assert "changed nothing" in error.value.replace("\\", "")
    assert [each["label"] for each in strips(at)] == ["Tokens of unsteered", "Tokens of other"]
    assert "of the residual" in words(at), "the other lane has its receipt"


def test_what_a_lane_wrote_before_its_numbers_broke_stays_beneath_the_error(tiny: Engine) -> None:
    request, lanes = run_of(tiny, Lane("unsteered"), Lane("steered: up", UP))
    broken = replace(lanes[1], stop="not finite", problem="Lane 'up' was stopped.", receipt=None)
    at = page(request, (lanes[0], broken))
    assert [e.value.replace("\\", "") for e in at.error] == ["Lane 'up' was stopped."]
    assert any(Seen(text).text == broken.text for text in html(at))


def test_under_a_lane_are_its_receipt_and_where_it_parts(tiny: Engine) -> None:
    request, lanes = run_of(tiny)
    said = words(page(request, lanes))
    at = first_apart(lanes[0].token_ids, lanes[1].token_ids)
    assert f"{lanes[1].receipt.sentence()} Parts from the unsteered lane at token {at + 1}" in said
    for lane in lanes[2:6]:
        place = first_apart(lanes[0].token_ids, lane.token_ids)
        apart = "same text as the unsteered lane" if place is None else f"parts at token {place + 1}"
        share = f"{lane.receipt.mean_share:.2f}"
        assert f"{COUNT} tokens, added norm {share} of the residual, {apart}" in said


def test_the_sparklines_are_the_divergence_and_are_computed_once(
    tiny: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, lanes = run_of(tiny)
    expected = divergence(tiny, request, lanes)
    asked: list[str] = []

    def counted(engine: Engine, alone: Request, results: Any, session: str) -> Any:
        asked.append(alone.lanes[0].name)
        return divergence(engine, alone, results, session)

    monkeypatch.setattr(steer_strip_values, "divergence", counted)
    at = page(request, lanes)
    bars = [text for text in html(at) if 'role="img"' in text]
    found = list(at.session_state["steer.values"].values())
    assert asked == [lane.name for lane in lanes[1:]]
    assert found == [pytest.approx(values, rel=1e-3, abs=1e-4) for values in expected[1:]]
    assert bars == [
        sparkline_html(values, lane.pieces, bars=28 if lane is lanes[1] else 16)
        for values, lane in zip(found, lanes[1:], strict=True)
    ]
    again = shown(at)
    assert len(asked) == len(lanes) - 1
    assert [text for text in html(again) if 'role="img"' in text] == bars


def test_a_lane_that_changes_its_place_keeps_its_sparkline(
    tiny: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, lanes = run_of(tiny)
    kept = page(request, lanes).session_state["steer.values"]

    def never(*arguments: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(steer_strip_values, "divergence", never)
    order = [0, 4, 1, 2, 3, 5, 6]
    moved = replace(request, lanes=tuple(request.lanes[i] for i in order))
    page(moved, tuple(lanes[i] for i in order), steer__values=kept)


def test_while_lanes_are_written_there_are_no_sparklines_and_no_tokens_to_press(tiny: Engine) -> None:
    request, lanes = run_of(tiny, *LANES[:3])
    at = page(request, still_written(lanes), finished=False)
    assert not strips(at) and not any('role="img"' in text for text in html(at))
    assert not at.session_state["steer.values"]


def test_a_sparkline_has_a_bar_per_token_and_says_its_maximum() -> None:
    seen = Seen(sparkline_html((0.5, 2.0, 0.0), ("The", " sea", ".")))
    heights = [re.search(r"height:(\d+)%;background", a.get("style", "")) for a in seen.attributes]
    assert [int(found.group(1)) for found in heights if found] == [25, 100, 0]
    titles = [a["title"] for a in seen.attributes if a.get("title", "").startswith("Token")]
    assert titles == ["Token 1 The: 0.5 nats", "Token 2 ·sea: 2 nats", "Token 3 .: 0 nats"]
    sentence = "KL to unsteered: at most 2.00 nats, at token 2 “·sea”; 0.83 on average."
    assert seen.text == sentence and seen.attributes[0]["aria-label"] == sentence


def test_a_sparkline_of_no_difference_or_an_infinite_one_is_still_one() -> None:
    assert sparkline_html((), ()) == ""
    assert sparkline_sentence((0.0, 0.001), ("a", "b")) == "KL to unsteered: below 0.01 nats at every token."
    endless = sparkline_html((1.0, math.inf), ("a", "b"))
    assert "height:100%" in endless and "at most inf nats, at token 2" in endless


@pytest.mark.parametrize("nasty", NASTY)
def test_what_looks_like_markup_is_shown_as_it_was_written(nasty: str) -> None:
    found = TokenInspection(0, 7, ((Alternative(7, nasty, -0.1), Alternative(8, nasty, -3.0)),), (), False)
    for markup in (sparkline_html((1.0,), (nasty,)), alternatives_html([nasty], found)):
        seen = Seen(markup)
        assert nasty.replace(" ", "·") in seen.text
        assert set(seen.tags) == {"div"}
        assert all(set(a) <= {"style", "title", "role", "aria-label"} for a in seen.attributes)


@pytest.mark.parametrize(("lane", "position"), [(1, 3), (0, 5), (5, 0)])
def test_a_token_shows_its_alternatives_in_every_lane_and_the_latents_behind_it(
    tiny: Engine, lane: int, position: int
) -> None:
    request, lanes = run_of(tiny)
    expected = inspect_token(tiny, request, lanes, lane, position)
    at = page(request, lanes, **{"steer__inspected": looking(tiny, request, lane, position)})
    assert f"**Token {position + 1}**" in words(at)
    assert alternatives_html([each.name for each in lanes], expected) in html(at)
    table = next(frame.value for frame in at.dataframe if "before" in frame.value and "after" in frame.value)
    assert list(table["latent"]) == [there.index for there in expected.latents]
    assert list(table["before"]) == [pytest.approx(there.unsteered) for there in expected.latents]
    assert list(table["after"]) == [pytest.approx(there.steered) for there in expected.latents]
    assert [each["selected"] for each in strips(at)] == [position if i == lane else None for i in range(7)]


def test_alternatives_are_bars_of_probability_and_the_written_token_is_told_apart() -> None:
    here = (Alternative(4, " sea", math.log(0.75)), Alternative(5, "", math.log(0.125)))
    elsewhere = (Alternative(6, " day", math.log(0.5)),)
    seen = Seen(alternatives_html(["one", "two"], TokenInspection(2, 4, (here, elsewhere), (), False)))
    widths = [re.search(r"width:([\d.]+)%;min-width:1px", a.get("style", "")) for a in seen.attributes]
    assert [found.group(1) for found in widths if found] == ["75.0", "12.5", "50.0"]
    assert seen.text == (
        "one✓ ·sea75.0 %(nothing)12.5 %two·day50.0 %The written token is less likely than these."
    )
    assert [a["title"] for a in seen.attributes if "nats" in a.get("title", "")] == [
        "·sea 0.75 (-0.29 nats), written", "(nothing) 0.125 (-2.08 nats)", "·day 0.5 (-0.69 nats)",
    ]  # fmt: skip


def test_the_inspector_opens_a_card_and_is_closed_by_its_button(tiny: Engine, tmp_path: Path) -> None:
    tiny_atlas(tmp_path / "atlas" / "tiny.db", engine=tiny)
    request, lanes = run_of(tiny, *LANES[:2])
    at = page(request, lanes, **{"steer__inspected": looking(tiny, request, 1, 4)})
    latent = inspect_token(tiny, request, lanes, 1, 4).latents[0].index
    table = next(frame.value for frame in at.dataframe if "after" in frame.value)
    assert "writes" in table
    at.button(key="steer.inspect.card").click()
    assert shown(at).session_state["latent.open"] == latent
    at.button(key=f"steer.inspect.tray.{latent}").click()
    assert shown(at).session_state["tray"].get(f"latent:{latent}") is not None
    at.button(key="steer.inspect.close").click()
    shown(at)
    assert "Likeliest tokens" not in words(at) and INSPECTED not in at.session_state


def test_another_request_or_a_new_run_closes_the_inspector(tiny: Engine) -> None:
    request, lanes = run_of(tiny, *LANES[:2])
    other = replace(request, sampling=Sampling(COUNT, 1.0, seed=4))
    looked = looking(tiny, request, 1, 4)
    assert "Likeliest tokens" in words(page(request, lanes, steer__inspected=looked))
    assert "Likeliest tokens" not in words(page(other, lanes, steer__inspected=looked))
    assert (
        INSPECTED not in page(request, lanes, [still_written(lanes)], steer__inspected=looked).session_state
    )


@pytest.mark.parametrize("name", ["log-probability", "added share", "KL"])
def test_tokens_are_coloured_by_what_was_chosen(tiny: Engine, name: str) -> None:
    request, lanes = run_of(tiny, *LANES[:3], Lane("gated", GATED))
    at = page(request, lanes, steer__colour=name)
    expected = {
        "log-probability": lambda i: tiny.logprob_change(request, request.lanes[i], lanes[i]),
        "added share": lambda i: (*lanes[i].receipt.shares, *[0.0] * (COUNT - len(lanes[i].receipt.shares))),
        "KL": lambda i: divergence(tiny, request, lanes)[i],
    }[name]
    unsteered, *others = strips(at)
    assert all(colour == "" for _, colour, _ in unsteered["said"])
    for index, drawn in enumerate(others, start=1):
        said = [float(re.search(r"; ([-\d.e]+) ", each).group(1)) for each, _, _ in drawn["said"]]
        assert said == pytest.approx(expected(index), rel=1e-3, abs=1e-3)
        assert [bool(colour) for _, colour, _ in drawn["said"]] == [value != 0.0 for value in said]


def test_the_receipt_by_token_says_what_was_added_where_and_what_was_left_alone(tiny: Engine) -> None:
    request, lanes = run_of(tiny, Lane("unsteered"), Lane("steered: gated", GATED))
    receipt = lanes[1].receipt
    assert receipt.gated_off == COUNT - 4
    at = page(request, lanes)
    table = next(frame.value for frame in at.dataframe if "share" in frame.value)
    assert list(table["token"]) == list(range(1, COUNT + 1))
    assert list(table["edit"]) == ["steered"] * 4 + ["left alone: every gate shut"] * (COUNT - 4)
    assert list(table["share"][:4]) == [pytest.approx(share) for share in receipt.shares]
    assert table["share"][4:].isna().all()


def test_the_tokens_of_the_prompt_that_were_steered_are_shown_as_such(tiny: Engine) -> None:
    steering = Steering(UP.terms, 1.0, tokens="all")
    request, lanes = run_of(tiny, Lane("unsteered"), Lane("steered: up", steering))
    ids = tiny.turns.encode(PROMPT).ids
    table = next(f.value for f in page(request, lanes).dataframe if "share" in f.value)
    inside = [f"in the prompt: {visible(piece)}" for piece in tiny.turns.pieces(ids)[1:-1]]
    assert list(table["text"]) == [*inside, *(visible(piece) or "(nothing)" for piece in lanes[1].pieces)]
    assert list(table["token"].isna()) == [True] * len(inside) + [False] * COUNT


def test_of_many_lanes_the_receipt_of_any_can_be_read_wherever_it_stands(tiny: Engine) -> None:
    request, lanes = run_of(tiny)
    at = page(request, lanes)
    assert list(at.selectbox(key="steer.receipt.lane").options) == [lane.name for lane in lanes[1:6]]
    assert shares_shown(at) == [pytest.approx(share) for share in lanes[1].receipt.shares]
    order = [0, 4, 1, 2, 3, 5, 6]
    moved = replace(request, lanes=tuple(request.lanes[i] for i in order))
    for name, index in (("random", 5), ("λ 2", 4), ("gone", 4)):
        at = page(moved, tuple(lanes[i] for i in order), steer__receipt__lane=name)
        assert at.selectbox(key="steer.receipt.lane").value == lanes[index].name
        assert shares_shown(at) == [pytest.approx(share) for share in lanes[index].receipt.shares]
        assert any("realised" in f.value for f in at.dataframe) == (name != "random")


def shares_shown(at: AppTest) -> list[float]:
    return list(next(frame.value for frame in at.dataframe if "share" in frame.value)["share"])


def test_a_run_of_one_lane_has_no_receipt_and_can_be_pressed(tiny: Engine) -> None:
    request, lanes = run_of(tiny, Lane("unsteered"))
    at = page(request, lanes)
    assert len(strips(at)) == 1 and not at.expander and "steer.values" not in at.session_state
