"""The plots of a sweep hold the outcomes' own numbers, draw what there is, and read no name as markup."""

import json
import math

import plotly.graph_objects as go
import pytest

from sas_core.evaluation.bootstrap import Estimate
from sas_core.evaluation.plots import (
    chance_note,
    curves,
    frontier,
    funnel,
    grid,
    heatmap,
    interference,
    off_target,
    overlap,
    unit_strip,
)
from sas_core.evaluation.plots.style import BELOW, WRONG
from sas_core.evaluation.plots.words import AT_CHANCE
from sas_core.evaluation.subset.interference import Interference, Meeting
from sas_core.evaluation.sweep.cells import ARM_TITLES, Cell, Setting
from tests.evaluation.sweeps import HOSTILE, SCALES, SLOPES, a_sweep, outcome, result_of, unmeasured

TWO_TAUS = (Setting(tau=0.5), Setting(tau=0.9))


def drawn(figure: go.Figure, arm: str, place: int = 0) -> go.Scatter:
    """The line of an arm, not its band; `place` counts its lines from the last setting to the first."""
    title = ARM_TITLES[arm]
    return [trace for trace in figure.data if trace.name == title][place]


def bands(figure: go.Figure, arm: str) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.fill == "toself" and trace.legendgroup == arm]


def notes(figure: go.Figure) -> set[str]:
    return {note.text.replace("<br>", " ") for note in figure.layout.annotations}


def numbers(figure: go.Figure) -> dict[tuple[float, float], str]:
    """What a matrix writes at (column, row)."""
    traces = [trace for trace in figure.data if trace.type == "scatter"]
    return {
        (x, y): text
        for trace in traces
        for x, y, text in zip(trace.x, trace.y, trace.text, strict=True)
    }  # fmt: skip


@pytest.mark.parametrize("arm", ["vector", "random-matched", "dense"])
def test_a_line_goes_through_the_changes_of_its_arm_and_through_the_unsteered_model(arm: str) -> None:
    line = drawn(curves(a_sweep(), "margin"), arm)
    assert line.x == SCALES
    assert line.y == pytest.approx([SLOPES[arm] * scale for scale in SCALES])


def test_a_band_runs_along_the_upper_ends_and_back_along_the_lower_ones() -> None:
    (band,) = bands(curves(a_sweep(), "margin"), "vector")
    corners = dict.fromkeys(zip(band.x, (round(y, 9) for y in band.y), strict=True))
    expected = {(s, round(0.2 * s + side * 0.05 * bool(s), 9)) for s in SCALES for side in (-1, 1)}
    assert set(corners) == expected
    assert band.x[: len(SCALES)] == SCALES and band.x[len(SCALES) :] == SCALES[::-1]


def test_the_mean_can_be_drawn_in_place_of_the_change() -> None:
    figure = curves(a_sweep(), "margin", value="mean")
    assert drawn(figure, "vector").y == pytest.approx([0.2 * s - 0.3 for s in SCALES])
    assert max(bands(figure, "vector")[0].y) == pytest.approx(0.2 * 2 - 0.3 + 0.05)
    assert "completion margin (nats per token)" in notes(figure)


def test_against_the_added_share_the_strengths_sign_says_the_side() -> None:
    figure = curves(a_sweep(), "margin", against="share")
    assert drawn(figure, "vector").x == pytest.approx([-0.12, -0.06, 0, 0.06, 0.12])
    assert "added norm / residual norm, with lambda's sign" in notes(figure)


def test_axes_say_what_is_measured_and_its_unit() -> None:
    assert {"change in completion margin (nats per token)", "lambda"} <= notes(curves(a_sweep(), "margin"))


def test_a_point_says_which_cell_it_is_and_everything_known_of_it() -> None:
    line = drawn(curves(a_sweep(settings=(Setting(tau=0.5),)), "margin"), "dense")
    identity, words = line.customdata[SCALES.index(2.0)]
    assert Cell.from_dict(json.loads(identity)) == Cell(Setting(tau=0.5), "dense", 2.0)
    assert "+0.500 [+0.450, +0.550] nats per token" in words
    assert "12 units" in words and "25 % moved the wrong way" in words and "84 latents" in words


def test_the_unsteered_point_of_a_control_is_the_vectors_cell() -> None:
    line = drawn(curves(a_sweep(), "margin"), "dense")
    assert json.loads(line.customdata[SCALES.index(0.0)][0])["arm"] == "vector"


def test_each_value_of_the_axis_that_varies_has_a_plot_of_its_own() -> None:
    figure = curves(a_sweep(settings=TWO_TAUS), "margin")
    assert {"tau 0.5", "tau 0.9"} <= notes(figure)
    axes = {json.loads(line.customdata[0][0])["tau"]: line.xaxis for line in figure.data if line.customdata}
    assert axes == {0.5: "x", 0.9: "x2"}


def test_what_varies_besides_is_told_apart_by_strokes_and_a_legend() -> None:
    settings = tuple(Setting(tau=tau, top_k=k) for tau in (0.5, 0.9) for k in (None, 10))
    figure = curves(a_sweep(settings=settings), "margin", by="tau")
    strokes = {
        json.loads(line.customdata[0][0])["top_k"]: line.line.dash for line in figure.data if line.customdata
    }
    assert strokes[None] != strokes[10]
    legend = {
        trace.name: trace.line.dash for trace in figure.data if trace.name and trace.name.startswith("top-k")
    }
    assert legend == {"top-k all": strokes[None], "top-k 10": strokes[10]}


def test_an_arm_is_in_the_legend_once_however_many_lines_it_has() -> None:
    figure = curves(a_sweep(settings=TWO_TAUS), "margin")
    assert sorted(t.name for t in figure.data if t.showlegend) == sorted(ARM_TITLES[a] for a in SLOPES)


def test_settings_can_be_fixed_so_that_only_theirs_are_drawn() -> None:
    figure = curves(a_sweep(settings=TWO_TAUS), "margin", only={"tau": 0.9})
    assert {json.loads(line.customdata[0][0])["tau"] for line in figure.data if line.customdata} == {0.9}


def test_a_half_shows_its_own_outcomes() -> None:
    result = result_of((outcome(), outcome(half="test", change=0.9), outcome(scale=0.0, half="test")))
    assert drawn(curves(result, "margin", "test"), "vector").y == pytest.approx([0, 0.9])


def test_a_cell_that_could_not_be_measured_leaves_a_gap() -> None:
    outcomes = [outcome(scale=s) for s in (-1.0, 0.0, 2.0, 3.0)] + [unmeasured("vector", 1.0)]
    figure = curves(result_of(tuple(outcomes)), "margin")
    assert drawn(figure, "vector").x == (-1, 0, None, 2, 3)
    assert len(bands(figure, "vector")) == 2


def test_a_point_without_neighbours_has_bars_for_its_interval() -> None:
    figure = curves(result_of((outcome(scale=1.0, change=0.4),)), "margin")
    line = drawn(figure, "vector")
    assert (line.y[0] + line.error_y.array[0], line.y[0] - line.error_y.arrayminus[0]) == pytest.approx(
        (0.45, 0.35)
    )
    assert not bands(figure, "vector")


def test_where_nothing_was_added_the_mark_is_hollow_and_the_hover_says_why() -> None:
    result = result_of((outcome(scale=0.0), outcome(scale=1.0, problem="Nothing was added at any token.")))
    line = drawn(curves(result, "margin"), "vector")
    assert line.marker.symbol == ("circle", "circle-open")
    assert "Nothing was added at any token." in line.customdata[1][1]


def test_an_arm_without_a_single_number_is_not_in_the_legend() -> None:
    result = result_of((outcome(scale=0.0), outcome(), unmeasured("dense", 1.0)))
    assert [t.name for t in curves(result, "margin").data if t.name] == ["the vector"]


def test_a_system_prompt_is_a_level_on_each_side_since_it_has_no_strength() -> None:
    vector = tuple(outcome(scale=s) for s in SCALES)
    system = (outcome("system", -1.0, change=-0.3), outcome("system", 1.0, change=0.4))
    line = drawn(curves(result_of(vector + system), "margin"), "system")
    assert line.x == (0, -2, None, 0, 2)
    assert line.y == (-0.3, -0.3, None, 0.4, 0.4)


@pytest.mark.parametrize(
    "figure",
    [
        curves(result_of(()), "margin"),
        curves(a_sweep(), "probe"),
        curves(a_sweep(halves=("all",)), "margin", "dev"),
        heatmap(result_of((outcome(scale=0.0),)), "margin"),
        heatmap(result_of((unmeasured("vector", 1.0),)), "margin"),
        frontier(a_sweep(figures=("margin",)), "margin"),
        funnel(result_of(())),
        unit_strip([math.nan], [0.1]),
        overlap([], []),
    ],
)
def test_where_there_is_nothing_to_draw_the_plot_says_so(figure: go.Figure) -> None:
    assert not figure.data
    assert len(figure.layout.annotations) == 1 and figure.layout.annotations[0].text.endswith(".")


def test_a_heat_map_has_a_row_per_setting_and_a_column_per_strength_but_zero() -> None:
    figure = heatmap(a_sweep(settings=TWO_TAUS), "margin", rows="tau")
    assert figure.layout.yaxis.ticktext == ("0.5", "0.9")
    assert figure.layout.xaxis.ticktext == ("\u22122", "\u22121", "+1", "+2")
    assert [list(row) for row in figure.data[0].z] == [pytest.approx([-0.4, -0.2, 0.2, 0.4])] * 2
    assert numbers(figure)[(3, 0)] == "<b>+0.40</b>"


def test_the_colours_of_a_heat_map_are_centred_on_no_change_and_blue_is_below() -> None:
    colours = heatmap(a_sweep(), "margin").data[0]
    assert (colours.zmin, colours.zmax) == pytest.approx((-0.4, 0.4))
    red, green, blue = (int(BELOW[i : i + 2], 16) for i in (1, 3, 5))
    assert colours.colorscale[0][1].startswith(f"rgba({red},{green},{blue},")


def test_a_number_whose_interval_holds_zero_is_not_bold() -> None:
    result = result_of((outcome(scale=1.0, change=0.3), outcome(scale=2.0, change=0.3, width=0.4)))
    assert numbers(heatmap(result, "margin")) == {(0, 0): "<b>+0.30</b>", (1, 0): "+0.30"}


def test_a_cell_of_a_heat_map_can_be_found_from_its_point() -> None:
    figure = heatmap(a_sweep(settings=TWO_TAUS), "margin", arm="dense")
    points = next(t for t in figure.data if t.type == "scatter")
    found = {Cell.from_dict(json.loads(key)) for key, _ in points.customdata}
    assert found == {Cell(s, "dense", scale) for s in TWO_TAUS for scale in SCALES if scale}


def test_rows_are_sorted_by_the_chosen_axis_first_and_name_all_that_vary() -> None:
    settings = tuple(Setting(tau=tau, top_k=k) for tau in (0.5, 0.9) for k in (None, 10))
    rows = heatmap(a_sweep(settings=settings), "margin", rows="top_k").layout.yaxis.ticktext
    assert rows == ("top-k all, tau 0.5", "top-k all, tau 0.9", "top-k 10, tau 0.5", "top-k 10, tau 0.9")


def test_a_missing_cell_of_a_heat_map_is_left_empty() -> None:
    kept = [outcome(scale=s, setting=t) for s in (1.0, 2.0) for t in TWO_TAUS][:3]
    figure = heatmap(result_of((*kept, unmeasured("vector", 2.0, setting=TWO_TAUS[1]))), "margin")
    assert figure.data[0].z[1][1] is None and len(numbers(figure)) == 3


def test_the_frontier_puts_each_strength_at_its_price_and_effect() -> None:
    trail = drawn(frontier(a_sweep(), "margin"), "vector")
    assert trail.x == pytest.approx([0.02 * s**2 for s in SCALES])
    assert trail.y == pytest.approx([0.2 * s for s in SCALES])
    assert trail.text == ("\u22122", "\u22121", "0", "+1", "+2")
    assert trail.error_x.array == pytest.approx([0.05, 0.05, 0, 0.05, 0.05])


def test_the_frontier_takes_prices_of_all_texts_where_the_half_has_none() -> None:
    outcomes = [outcome(scale=s, half="test") for s in SCALES] + [
        outcome(scale=s, figure="price") for s in SCALES
    ]
    trail = drawn(frontier(result_of(tuple(outcomes)), "margin", half="test"), "vector")
    assert trail.x == pytest.approx([0.08, 0.02, 0, 0.02, 0.08])


def test_a_strength_without_a_price_is_not_on_the_frontier() -> None:
    outcomes = [outcome(scale=s) for s in SCALES] + [outcome(scale=s, figure="price") for s in (0.0, 1.0)]
    outcomes += [unmeasured("vector", 2.0, "price")]
    assert drawn(frontier(result_of(tuple(outcomes)), "margin"), "vector").y == pytest.approx([0, 0.2])


def test_the_funnel_counts_latents_over_tau() -> None:
    settings = [Setting(tau=tau, top_k=k) for tau in (0.9, 0.5, 0.7) for k in (None, 10)]
    outcomes = tuple(
        outcome(setting=s, latents=10 if s.top_k else round(100 * (1 - s.tau))) for s in settings
    )
    figure = funnel(result_of(outcomes))
    lines = {trace.name: (trace.x, trace.y) for trace in figure.data}
    assert lines == {
        "top-k all": ((0.5, 0.7, 0.9), (50, 30, 10)),
        "top-k 10": ((0.5, 0.7, 0.9), (10, 10, 10)),
    }


def test_what_does_not_change_how_a_vector_is_built_makes_no_line_in_the_funnel() -> None:
    settings = (Setting(error_term=True), Setting(error_term=False))
    assert len(funnel(result_of(tuple(outcome(setting=s) for s in settings))).data) == 1


def test_units_that_moved_against_the_strength_are_set_apart() -> None:
    figure = unit_strip([0.5, 0.1, 0.3, -0.4], [0.2, 0.2, 0.3, -0.6], scale=-2.0)
    marks = {trace.name: trace for trace in figure.data}
    assert set(marks) == {"moved lambda's way: 1", "moved the wrong way: 2", "did not move: 1"}
    wrong = marks["moved the wrong way: 2"]
    assert wrong.x == pytest.approx([0.3, 0.2]) and wrong.marker.color == WRONG
    assert list(wrong.customdata) == [0, 3]


def test_units_of_one_place_stand_on_one_another() -> None:
    (marks,) = unit_strip([0.2, 0.2, 0.9, 0.2], [0.0] * 4).data
    assert sorted(zip(marks.x, marks.y, strict=True)) == [(0.2, 1), (0.2, 2), (0.2, 3), (0.9, 1)]


def test_a_unit_that_was_not_measured_is_left_out_of_the_strip() -> None:
    (marks,) = unit_strip([0.2, math.nan, 0.4], [0.0, 0.0, math.nan]).data
    assert list(marks.customdata) == [0]


def test_many_units_are_bars_that_count_each_of_them() -> None:
    values = [((i * 37) % 101 - 30) / 50 for i in range(500)]
    figure = unit_strip(values, [0.0] * 500)
    assert {trace.type for trace in figure.data} == {"bar"}
    wrong = next(t for t in figure.data if t.name.startswith("moved the wrong way"))
    assert sum(wrong.y) == sum(v < 0 for v in values)
    assert all(x < 0 for x, count in zip(wrong.x, wrong.y, strict=True) if count)


def test_without_unsteered_values_the_values_themselves_are_drawn() -> None:
    figure = unit_strip([0.5, 0.7], None, figure="mcq")
    assert figure.data[0].x == (0.5, 0.7) and figure.data[0].name == "unit: 2"
    assert "change" not in figure.layout.xaxis.title.text


def test_overlap_shows_every_pair_on_a_fixed_scale() -> None:
    figure = overlap(["sea", "formality"], [[1.0, 0.08], [0.08, 1.0]])
    assert numbers(figure)[(1, 0)] == "<b>0.08</b>"
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 1)
    signed = overlap(["sea", "formality"], [[1.0, -0.05], [-0.05, 1.0]], signed=True)
    assert (signed.data[0].zmin, numbers(signed)[(0, 1)]) == (-1, "<b>-0.05</b>")


def test_a_grid_has_the_first_vector_downwards_and_the_second_across() -> None:
    figure = grid(("sea", "calm"), (0.0, 2.0), (-1.0, 0.0, 1.0), [[0.1, 0.0, math.nan], [0.3, 0.4, 0.5]])
    assert (figure.layout.yaxis.title.text, figure.layout.xaxis.title.text) == (
        "lambda of sea",
        "lambda of calm",
    )
    assert numbers(figure)[(2, 1)] == "<b>+0.50</b>" and (2, 0) not in numbers(figure)


def test_a_value_that_rounds_to_zero_has_no_minus() -> None:
    assert numbers(grid(("a", "b"), (1.0,), (1.0, 2.0), [[-0.001, 1.0]]))[(0, 0)] == "<b>+0.00</b>"


def test_small_values_are_written_with_more_decimals() -> None:
    assert numbers(grid(("a", "b"), (1.0,), (1.0, 2.0), [[-0.012, 0.034]]))[(0, 0)] == "<b>-0.012</b>"


def test_a_number_without_a_known_interval_is_not_bold() -> None:
    result = result_of((outcome(scale=1.0, change=0.3, width=math.nan),))
    assert numbers(heatmap(result, "margin")) == {(0, 0): "+0.30"}


def test_off_target_effects_that_may_be_none_are_not_bold() -> None:
    figure = off_target(["sea"], ["sea", "calm"], [[0.4, 0.1]], [[0.3, -0.1]], [[0.5, 0.3]])
    assert numbers(figure) == {(0, 0): "<b>+0.40</b>", (1, 0): "+0.10"}


def test_interference_is_drawn_symmetric_and_empty_on_the_diagonal() -> None:
    def about(value: float) -> Estimate:
        return Estimate(value, value - 0.1, value + 0.1)

    met = (Meeting(7, 2, about(0.1), about(0.5)), Meeting(7, 9, about(0.1), about(-0.2)),
           Meeting(2, 9, about(0.1), about(0.01)))  # fmt: skip
    figure = interference(Interference((7, 2, 9), (about(0.1),) * 3, met), "nats per token")
    assert [list(row) for row in figure.data[0].z] == [
        [None, 0.5, -0.2], [0.5, None, 0.01], [-0.2, 0.01, None],
    ]  # fmt: skip


def test_multiple_choice_at_chance_is_never_drawn_without_a_word() -> None:
    chance = a_sweep(figures=("mcq", "price"))
    assert "chance" in chance_note(chance) and "0.500 [0.450, 0.550]" in chance_note(chance)
    for figure in (curves(chance, "mcq"), frontier(chance, "mcq")):
        assert AT_CHANCE in notes(figure)
    assert any(AT_CHANCE in note for note in notes(heatmap(chance, "mcq")))


def test_a_model_that_answers_gets_no_remark() -> None:
    able = tuple(outcome(scale=s, figure="mcq", mean=0.8 + 0.01 * s) for s in SCALES)
    assert chance_note(result_of(able)) is None and AT_CHANCE not in notes(curves(result_of(able), "mcq"))
    assert chance_note(a_sweep()) is None


def test_no_name_from_outside_is_read_as_markup() -> None:
    settings = (Setting(sae=HOSTILE), Setting(sae="other"))
    result = a_sweep(figures=("words:<b>x</b>", "price"), settings=settings)
    figures = [
        curves(result, "words:<b>x</b>"),
        curves(result, "words:<b>x</b>", by="tau"),
        heatmap(result, "words:<b>x</b>", rows="sae"),
        frontier(result, "words:<b>x</b>"),
        funnel(result),
        unit_strip([1.0], [0.0], figure="words:<b>x</b>"),
        overlap([HOSTILE, "b"], [[1, 0.5], [0.5, 1]]),
        grid((HOSTILE, HOSTILE), (1.0,), (1.0,), [[1.0]]),
        off_target([HOSTILE], [HOSTILE], [[1.0]], [[0.5]], [[1.5]]),
    ]
    for figure in figures:
        shown = json.loads(figure.to_json())
        shown["layout"].pop("template")
        for trace in shown["data"]:
            # the first is the JSON of the cell, which is never shown
            for point in trace.get("customdata", []):
                if isinstance(point, list):
                    point[0] = ""
        text = json.dumps(shown)
        assert "<img" not in text and "<b>x" not in text and "</script" not in text
