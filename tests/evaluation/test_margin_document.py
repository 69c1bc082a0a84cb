"""The JSON values and the Markdown page say what the reports hold."""

import json

import pytest

from sas_core.errors import BadInput
from sas_core.evaluation import margin_document as document
from sas_core.evaluation.margin_report import MarginReport


@pytest.fixture
def report(engine, vector, pairs, measure) -> MarginReport:
    return measure(engine, vector, pairs, (-2.0, 2.0), controls=("random", "dense"), seeds=1)


def test_the_values_are_json_and_carry_every_figure(report) -> None:
    found = json.loads(json.dumps(document.values(report, per_pair=True), allow_nan=False))
    assert [curve["name"] for curve in found["curves"]] == ["vector", "dense", "random"]
    cell, own = found["curves"][0]["cells"][2], report.curves[0].at(2.0)
    assert cell["change"] == pytest.approx(own.change, abs=1e-6)
    assert cell["interval"]["low"] == pytest.approx(own.interval.low, abs=1e-6)
    assert cell["changes"] == pytest.approx(own.changes, abs=1e-6)
    assert found["holds"] == {"-2": report.holds(-2.0), "2": report.holds(2.0)}
    assert found["unit"] == "nats per token"


def test_each_pairs_own_change_is_left_out_unless_asked_for(report) -> None:
    cells = [cell for curve in document.values(report)["curves"] for cell in curve["cells"]]
    assert cells
    assert not any("changes" in cell for cell in cells)


def test_the_page_has_a_row_per_behaviour_and_sign_and_every_column_filled(report) -> None:
    page = document.markdown({"model": "tiny, float32"}, {"weather": report, "again": report}, at=2.0)
    summary = page.split("## At lambda -2 and 2")[1].split("## Mean change")[0]
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in summary.splitlines()
        if "|" in line
    ]
    assert [row[:3] for row in rows[2:]] == [
        ["weather", "3", "-2"], ["weather", "3", "+2"], ["again", "3", "-2"], ["again", "3", "+2"],
    ]  # fmt: skip
    assert {len(row) for row in rows} == {len(rows[0])}
    up = report.curves[0].at(2.0)
    assert f"{up.change:+.3f} [{up.interval.low:+.3f}, {up.interval.high:+.3f}]" in rows[3]
    assert f"{report.curve('dense').at(2.0).change:+.3f}" in rows[3]


def test_the_page_says_how_it_was_measured_and_holds_the_whole_curves(report) -> None:
    page = document.markdown({"model": "tiny, float32"}, {"weather": report}, at=2.0)
    assert "- model: tiny, float32" in page
    whole = page.split("## Mean change at every lambda")[1]
    for curve in report.curves:
        cells = " | ".join(f"{cell.change:+.3f}" for cell in curve.cells)
        assert f"| weather | {document.NAMES[curve.name]} | {cells} |" in whole


@pytest.mark.parametrize("at", [1.0, 0.0, -2.0])
def test_a_summary_at_strengths_that_were_not_measured_is_refused(report, at) -> None:
    with pytest.raises(BadInput, match="must be among the strengths"):
        document.markdown({}, {"weather": report}, at=at)


def test_the_file_of_measured_margins_names_its_format() -> None:
    found = json.loads(document.dump({"behaviours": {}}))
    assert found == {"format": "steerscope-measured-margins", "version": 1, "behaviours": {}}
