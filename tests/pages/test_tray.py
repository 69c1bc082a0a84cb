"""The tray in the sidebar on a tiny engine: units, ruler, modes, gates, keys, the safe zone, many items."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared.loaded import EngineChoice
from pages.shared.steer.controls import FIRST_PROMPT
from pages.shared.tokens import plain
from sas_core.atlas.store import Atlas
from sas_core.steering.engine import Engine
from sas_core.steering.gates import AnswerOnly, FirstTokens, WhileAbove
from sas_core.steering.lanes import Request
from sas_core.steering.share import half_norm_scale
from sas_core.steering.spec import Sampling, Steering, Term
from sas_core.steering.tray import Tray, TrayItem, latent_item, vector_item
from sas_core.steering.units import UNITS, Sizes, Unit, axis_of
from sas_core.steering.zone import find_zone
from tests.atlas.tiny_atlas import tiny_atlas
from tests.pages.test_tokens import NASTY, Seen

WAVES = vector_item("waves", (3, 11, 20), (6.0, -2.0, 5.0), 1.0)
BUSY = 20
"""A latent of the tiny atlas that fires in many windows."""
LATENT = latent_item(BUSY, 2.0, strength=0.5)

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def atlas(engine: Engine, tmp_path: Path) -> Atlas:
    return Atlas.open(tiny_atlas(tmp_path / "atlas" / "tiny.db", engine=engine))


def script() -> None:
    from pages.shared.header import open_page

    open_page("Any page")


def opened(*items: TrayItem, link: str = "", **state: Any) -> AppTest:
    at = AppTest.from_function(script, default_timeout=60)
    at.session_state["engine_choice"] = EngineChoice("custom", model="tiny")
    if link:
        at.query_params["tray"] = link
    else:
        at.session_state["tray"] = Tray(items)
    for name, value in {"steer__new_tokens": 4, **state}.items():
        at.session_state[name.replace("__", ".")] = value
    return shown(at)


def shown(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def words(at: AppTest) -> str:
    kinds = (at.markdown, at.caption, at.text, at.warning, at.error, at.info)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def tray(at: AppTest) -> Tray:
    return at.session_state["tray"]


def press(at: AppTest, key: str) -> AppTest:
    at.button(key=key).click()
    return shown(at)


def sliders(at: AppTest) -> list[str]:
    return [slider.label.replace("\\", "") for slider in at.slider]


def half_of(engine: Engine, item: TrayItem) -> float:
    term = Term(item.label, item.indices, item.values)
    return half_norm_scale(engine.dictionary, engine.typical_norm, Steering((term,)))


@pytest.mark.parametrize("unit", list(UNITS))
def test_every_unit_shows_the_same_strength_and_sets_it_exactly(
    engine: Engine, atlas: Atlas, unit: Unit
) -> None:
    at = opened(LATENT, tray__unit=unit)
    per_strength = {
        "strength": 1.0,
        "typical": 2.0 / atlas.latent(BUSY).mean_nonzero,
        "share": 0.5 / half_of(engine, LATENT),
    }[unit]
    exact = at.number_input(key=f"exact.{LATENT.key}.add.{unit}")
    assert exact.value == pytest.approx(0.5 * per_strength)
    assert at.slider(key=f"strength.{LATENT.key}.add.{unit}").value == pytest.approx(0.5 * per_strength)
    exact.set_value(1.25 * per_strength)
    assert tray(shown(at)).items[0].strength == 1.25
    press(at, "tray.undo")
    assert tray(at).items[0].strength == 0.5
    assert at.query_params.get("unit", "strength") == unit


def test_the_ruler_says_where_typical_largest_and_half_the_norm_are(engine: Engine, atlas: Atlas) -> None:
    at = opened(LATENT)
    known = atlas.latent(BUSY)
    typical, most, half = known.mean_nonzero / 2.0, known.max / 2.0, half_of(engine, LATENT)
    number = axis_of(LATENT, "strength", Sizes(half=half)).decimals
    sentence = (
        f"Typical activation at {typical:.{number}f}, most seen at {most:.{number}f}; half the "
        f"residual\u2019s norm at \u00b1{half:.{number}f}."
    )
    assert sentence in words(at)
    ruler = Seen(at.get("html")[0].value)
    assert ruler.attributes[0]["aria-label"] == sentence


def test_with_the_whole_tray_twice_as_strong_the_marks_stand_at_half_the_strength(engine: Engine) -> None:
    at = opened(LATENT, scale=2.0)
    assert f"At \u03bb 2: half the residual\u2019s norm at \u00b1{half_of(engine, LATENT) / 2:.2f}" in words(
        at
    )


def test_without_an_atlas_typical_is_not_known_and_the_item_keeps_its_plain_strength() -> None:
    at = opened(LATENT, tray__unit="typical")
    assert at.slider[0].value == 0.5
    assert "Nobody saw its latents fire: that takes an atlas" in words(at)


def test_the_slider_means_what_the_mode_means(atlas: Atlas) -> None:
    at = opened(LATENT)
    assert sliders(at)[0] == f"Strength of latent {BUSY}"
    for mode, label, reading, formula in (
        ("clamp", "Clamp value", 1.0, "z = m v"),
        ("scale", "Factor", 1.5, "z = max(0, 1 + m sign v) f"),
        ("ablate", "Share removed", 0.5, "z = (1 - m) f"),
        ("add", "Strength", 0.5, "z = f + m v"),
    ):
        at.radio(key=f"mode.{LATENT.key}").set_value(mode)
        shown(at)
        assert tray(at).items[0].mode == mode and tray(at).items[0].strength == 0.5
        assert sliders(at)[0] == f"{label} of latent {BUSY}"
        assert at.slider[0].value == reading
        assert formula in [code.value for code in at.code]
        assert ("Typical activation" in words(at)) == (mode in ("add", "clamp"))


def test_a_strength_that_is_no_share_becomes_all_of_it_when_the_item_ablates() -> None:
    at = opened(WAVES)
    at.number_input[0].set_value(7.0)
    shown(at).radio(key=f"mode.{WAVES.key}").set_value("ablate")
    shown(at)
    assert tray(at).items[0].strength == 1.0
    assert (at.slider[0].min, at.slider[0].max, at.slider[0].value) == (0.0, 1.0, 1.0)


def test_every_gate_can_be_set_and_taken_off() -> None:
    at = opened(WAVES)
    gate = f"gate.{WAVES.key}"
    at.selectbox(key=gate).set_value("while a latent is above")
    assert tray(shown(at)).items[0].gate == WhileAbove(3, 0.0)
    at.number_input(key=f"gate.latent.{WAVES.key}").set_value(11)
    shown(at).number_input(key=f"gate.above.{WAVES.key}").set_value(2.5)
    assert tray(shown(at)).items[0].gate == WhileAbove(11, 2.5)
    assert at.query_params["tray"] == "waves:1:11>2.5"
    at.selectbox(key=gate).set_value("first tokens")
    assert tray(shown(at)).items[0].gate == FirstTokens(8)
    at.number_input(key=f"gate.count.{WAVES.key}").set_value(3)
    assert tray(shown(at)).items[0].gate == FirstTokens(3)
    at.selectbox(key=gate).set_value("only the answer")
    assert tray(shown(at)).items[0].gate == AnswerOnly()
    at.selectbox(key=gate).set_value("always")
    assert tray(shown(at)).items[0].gate is None


def test_an_item_that_is_switched_off_stays_off_after_a_reload() -> None:
    at = opened(LATENT, replace(LATENT, key="latent:9", label="latent 9", indices=(9,)))
    at.checkbox(key=f"on.{LATENT.key}").uncheck()
    assert [item.on for item in tray(shown(at))] == [False, True]
    again = opened(link=at.query_params["tray"])
    assert [(item.key, item.on) for item in tray(again)] == [(LATENT.key, False), ("latent:9", True)]


def test_a_vector_is_split_into_latents_and_put_together_again_by_undo() -> None:
    at = press(opened(WAVES), f"split.{WAVES.key}")
    assert [(i.indices, i.values) for i in tray(at)] == [((3,), (6.0,)), ((11,), (-2.0,)), ((20,), (5.0,))]
    assert "split.latent:3" not in [button.key for button in at.button]
    assert tray(press(at, "tray.undo")).items == (WAVES,)


def test_a_vector_that_cannot_be_split_says_why() -> None:
    full = opened(WAVES, *(latent_item(i, 1.0) for i in range(20, 48)), *many(34))
    assert full.button(key=f"split.{WAVES.key}").disabled
    assert "do not fit" in full.button(key=f"split.{WAVES.key}").help
    shared = press(opened(WAVES, latent_item(11, 1.0)), f"split.{WAVES.key}")
    assert "Latent 11 of waves is in the tray by itself already" in shared.toast[0].value.replace("\\", "")
    assert len(tray(shared)) == 2


def test_keys_choose_nudge_and_switch_the_focused_item() -> None:
    at = opened(WAVES, LATENT)
    keys = {b.key: b.proto.shortcut for b in at.button if b.key and b.key.startswith("tray.key.")}
    assert [key.upper() for key in keys.values()] == ["K", "J", "H", "L", "X"]
    press(at, "tray.key.next")
    press(press(at, "tray.key.stronger"), "tray.key.stronger")
    assert [item.strength for item in tray(at)] == [1.0, pytest.approx(0.5 + 2 * at.slider[1].step)]
    press(press(at, "tray.key.next"), "tray.key.weaker")
    assert tray(at).items[0].strength == pytest.approx(1.0 - at.slider[0].step), (
        "next of the last is the first"
    )
    press(press(at, "tray.key.previous"), "tray.key.switch")
    assert [item.on for item in tray(at)] == [True, False]
    assert [item.on for item in tray(press(at, "tray.key.switch"))] == [True, True]


def test_a_nudge_stops_at_the_end_of_what_the_mode_allows() -> None:
    at = opened(replace(WAVES, mode="ablate"))
    assert tray(press(at, "tray.key.stronger")).items[0].strength == 1.0
    assert tray(press(at, "tray.key.weaker")).items[0].strength == 0.99


def test_moving_a_slider_focuses_its_item_and_the_next_of_a_removed_one_is_the_first() -> None:
    at = opened(WAVES, LATENT)
    assert f"zone.find.{WAVES.key}" in [button.key for button in at.button]
    at.slider[1].set_value(1.5)
    assert f"zone.find.{LATENT.key}" in [button.key for button in shown(at).button]
    assert tray(at).items[1].strength == 1.5
    press(at, f"remove.{LATENT.key}")
    assert f"zone.find.{WAVES.key}" in [button.key for button in at.button]


def test_of_64_items_one_is_open_and_the_others_are_a_line_each() -> None:
    at = opened(*many(64))
    assert sliders(at) == ["Strength of item 0", "Strength \u03bb of the whole tray"]
    assert [c.label.strip("*") for c in at.checkbox] == [f"item {i}" for i in range(64)]
    press(at, "focus.vector:item 40")
    assert sliders(at)[0] == "Strength of item 40"
    assert at.button(key="focus.vector:item 40").disabled
    press(at, "tray.key.next")
    assert sliders(at)[0] == "Strength of item 41"


def test_a_link_of_500_latents_fills_the_tray_and_says_so() -> None:
    at = opened(link=";".join(f"{i}@1:0.1" for i in range(500)))
    assert len(tray(at)) == 64
    assert "names 500 items; the tray holds 64" in at.toast[0].value
    # the tiny SAE has 48 latents, so nothing can be steered before the others are removed
    assert "48" in at.error[0].value


def test_names_are_shown_as_they_are_written() -> None:
    for nasty in NASTY:
        at = opened(replace(WAVES, label=nasty, key=f"vector:{nasty}"), LATENT)
        assert plain(nasty) in at.checkbox[0].label
        assert all(
            nasty == plain(nasty) or nasty not in element.label for element in (*at.slider, *at.checkbox)
        )


def find(at: AppTest, name: str) -> AppTest:
    return press(at, f"zone.find.{name}")


def test_the_zone_found_is_the_sweeps_shown_kept_and_set_at_a_button(engine: Engine) -> None:
    at = find(opened(WAVES), WAVES.key)
    term = Term("waves", WAVES.indices, WAVES.values)
    zone = find_zone(engine, Steering((term,)), Request(FIRST_PROMPT, (), Sampling(4), True))
    assert zone.highest > 0.0, "else there is nothing to set"
    axis = axis_of(WAVES, "strength", Sizes(half=zone.half_norm))
    assert f"coherent from {axis.words(0.0)} to {axis.words(zone.highest)}" in words(at)
    table = at.dataframe[0].value
    assert list(table["strength"]) == [axis.words(point.scale) for point in zone.points]
    assert list(table["text"]) == [point.text for point in zone.points]
    press(at, f"zone.detent.{WAVES.key}")
    assert tray(at).items[0].strength == zone.highest
    assert f"coherent from {axis.words(0.0)} to {axis.words(zone.highest)}" in words(at), (
        "kept at any strength"
    )


def test_a_zone_is_dropped_with_the_prompt_or_the_mode_it_was_found_for() -> None:
    at = find(opened(WAVES, prompt="Tell me about the river."), WAVES.key)
    assert "coherent from" in words(at)
    at.session_state["prompt"] = "Another one."
    assert "coherent from" not in words(shown(at))
    at.session_state["prompt"] = "Tell me about the river."
    assert "coherent from" in words(shown(at))
    at.radio(key=f"mode.{WAVES.key}").set_value("clamp")
    assert "coherent from" not in words(shown(at))


def test_both_sides_of_a_zone_are_found_one_by_one() -> None:
    at = find(opened(WAVES), WAVES.key)
    at.number_input[0].set_value(-1.0)
    at = find(shown(at), WAVES.key)
    found = [float(x) for x in re.search(r"coherent from (\S+) to (\S+)\.", words(at)).groups()]
    assert found[0] < 0 < found[1]


def test_beyond_the_zone_a_warning_names_what_broke(engine: Engine) -> None:
    at = find(opened(replace(WAVES, strength=50.0)), WAVES.key)
    zone = next(iter(at.session_state["zone.kept"].values()))
    broken = next(point for point in zone.points if point.broken)
    assert f"Beyond the safe zone: at {broken.scale:.3f} {broken.broken}." in words(at)
    at.number_input[0].set_value(zone.highest)
    assert not shown(at).warning


def test_the_zone_of_the_whole_tray_is_in_its_own_strength(engine: Engine) -> None:
    at = find(opened(WAVES, LATENT), "tray")
    steering = Tray((WAVES, LATENT)).steering(1.0)
    zone = find_zone(engine, steering, Request(FIRST_PROMPT, (), Sampling(4), True))
    press(at, "zone.detent.tray")
    assert at.session_state["scale"] == min(3.0, zone.highest)


def test_what_a_share_removed_is_tried_at_stays_a_share() -> None:
    at = find(opened(replace(WAVES, mode="ablate")), WAVES.key)
    assert list(at.dataframe[0].value["share removed"]) == ["0.000", "0.250", "0.500", "0.750", "1.000"]


def test_a_search_that_fails_says_why_and_leaves_everything_as_it_was(engine: Engine) -> None:
    at = find(opened(WAVES, prompt=" "), WAVES.key)
    assert "The prompt is empty" in at.error[0].value
    assert tray(at).items == (WAVES,) and len(engine.queue) == 0
    assert not shown(at).error


def many(count: int) -> list[TrayItem]:
    return [vector_item(f"item {i}", (i % 48,), (0.5,), 0.25) for i in range(count)]
