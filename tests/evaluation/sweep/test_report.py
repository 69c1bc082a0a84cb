"""The report of a sweep is one file: it says what was done, needs nothing else, and runs nothing foreign."""

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from sas_core.evaluation.sweep.cells import Setting
from sas_core.evaluation.sweep.outcome import SweepResult
from sas_core.evaluation.sweep.report import html
from sas_core.evaluation.sweep.report.story import findings, story
from sas_core.evaluation.sweep.report.tables import COLUMNS, cells_table
from sas_core.evaluation.sweep.spec import parse_spec
from tests.evaluation.sweeps import (
    HOSTILE,
    PROVENANCE,
    a_sweep,
    outcome,
    result_of,
    some_texts,
    unmeasured,
)


class Elements(HTMLParser):
    """The tags of a document with their attributes, and the text of each script."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch):
    """`page` without the 5 MB of plotly.js, which say nothing about us."""
    monkeypatch.setattr(html, "get_plotlyjs", lambda: "/*plotly.js*/")
    return html.page


def plots_of(document: str) -> list[dict]:
    """The data of every plot."""
    elements = Elements(document)
    scripts = [attributes for tag, attributes in elements.tags if tag == "script"]
    return [
        json.loads(text)
        for attributes, text in zip(scripts, elements.scripts, strict=True)
        if attributes.get("type") == "application/json"
    ]


def words(document: str) -> str:
    """The text of the document as a reader sees it."""
    body = re.sub(r"(?s)<(script|style).*?</\1>", "", document)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_report_says_what_was_done_and_where_it_comes_from(report) -> None:
    text = words(report(a_sweep()))
    assert "shipped contrast sea" in text and "lambda \u22122 to +2" in text
    assert "versions torch 2.13.0" in text and "sae d_sae 4096" in text
    assert "tasks measured 20 of 20" in text


def test_what_does_not_apply_is_not_said_to_be_none(report) -> None:
    provenance = {"vector": None, "heldout": {"name": "sea", "limit": None}, "notes": ["a", "b"]}
    text = words(report(a_sweep(provenance=provenance)))
    assert "heldout name sea notes a, b sweep k1" in text and "None" not in text


def test_the_chosen_strength_comes_first_with_its_change_on_both_halves(report) -> None:
    text = words(report(a_sweep()))
    assert text.index("chosen on the dev half") < text.index("Plots")
    assert "the vector +2 +0.400 [+0.350, +0.450] +0.400 [+0.350, +0.450] 25 % 12 %" in text


def test_the_spec_in_the_report_is_the_spec(report) -> None:
    result = a_sweep(spec={"name": "sea & sky", "limit": 12})
    shown = re.search(r"(?s)<pre>(.*?)</pre>", report(result)).group(1)
    assert parse_spec(unescape(shown)) == result.spec


def test_every_plot_has_its_data_and_buttons_for_both_formats(report) -> None:
    document = report(a_sweep(settings=(Setting(tau=0.5), Setting(tau=0.9))))
    # curves, heat map and frontier of the margin, curves of the price, the funnel
    assert len(plots_of(document)) == 5
    forms = [a["data-format"] for tag, a in Elements(document).tags if tag == "button"]
    assert forms == ["png", "svg"] * 5
    assert all(plot["data"] for plot in plots_of(document))


def test_plotly_is_in_the_file_once_and_nothing_is_fetched() -> None:
    document = html.page(a_sweep(), some_texts())
    assert document.count("plotly.js v") == 1 and len(document) > 3_000_000
    elements = Elements(document)
    assert all("src" not in attributes and "href" not in attributes for _, attributes in elements.tags)
    policy = next(a["content"] for t, a in elements.tags if t == "meta" and a.get("http-equiv"))
    assert policy.startswith("default-src 'none'") and "http" not in policy


def hostile() -> SweepResult:
    settings = (Setting(sae=HOSTILE), Setting(sae="other"))
    provenance = {**PROVENANCE, HOSTILE: {HOSTILE: HOSTILE}}
    result = a_sweep(
        figures=("margin", f"words:{HOSTILE}", "price"), settings=settings,
        spec={"name": HOSTILE, "behaviour": HOSTILE, "axes": {"sae": (HOSTILE, "other")}},
        provenance=provenance, notes=(HOSTILE,), key=HOSTILE,
    )  # fmt: skip
    broken = unmeasured("vector", 5.0, setting=settings[0])
    return replace(result, outcomes=(*result.outcomes, replace(broken, problem=HOSTILE)))


def test_no_foreign_text_becomes_an_element_or_ends_a_script(report) -> None:
    written = replace(some_texts(HOSTILE)[0], prompt=HOSTILE, scores={HOSTILE: 1.0}, arm=HOSTILE)
    document = report(hostile(), (written, *some_texts(HOSTILE)))
    elements = Elements(document)
    plain = Elements(report(a_sweep(), some_texts()))
    assert {tag for tag, _ in elements.tags} == {tag for tag, _ in plain.tags}
    assert not [a for _, a in elements.tags if any(name.startswith("on") for name in a)]
    assert HOSTILE in words(document)
    scripts = elements.scripts
    assert len(plots_of(document)) == len(scripts) - 2
    assert not any("<" in script for script in scripts if script.startswith("{"))


def test_texts_are_shown_for_each_arm_at_a_few_strengths(report) -> None:
    text = words(report(a_sweep(), some_texts()))
    for arm, scale in (("vector", "-2"), ("vector", "0"), ("dense", "2")):
        assert f"over the warm sand. ({arm} {scale})" in text
    assert text.count("Tell me about your day.") == 2


def test_of_many_strengths_the_outermost_and_some_between_are_shown(report) -> None:
    one = some_texts()[0]
    many = tuple(replace(one, scale=float(s), text=f"said at {s}.") for s in range(-10, 11))
    shown = re.findall(r"said at (-?\d+)\.", words(report(a_sweep(), many)))
    assert shown == ["-10", "-5", "0", "5", "10"]


def test_a_report_without_texts_or_choices_leaves_the_sections_out(report) -> None:
    text = words(report(replace(a_sweep(), chosen=())))
    assert "Some texts" not in text and "What came of it" not in text


def test_a_sweep_that_is_not_done_says_how_far_it_came(report) -> None:
    result = replace(result_of((outcome(scale=0.0), unmeasured("vector", 1.0))), done=3, total=12)
    text = words(report(result))
    assert "so far: 3 of 12 tasks" in text and "the rest is missing" in text
    assert "not measured" in text and "The model broke off." in text and "nan" not in text.lower()


def test_a_sweep_before_its_first_number_is_a_report_too(report) -> None:
    assert "Nothing is measured yet" in words(report(replace(result_of(()), done=0)))


def test_multiple_choice_at_chance_is_said_in_words(report) -> None:
    assert "That is chance: this model does not answer" in words(report(a_sweep(figures=("mcq",))))


def test_the_story_names_what_varied_and_the_controls() -> None:
    axes = {"scale": (1.0,), "tau": (0.5, 0.9), "top_k": (None, 10)}
    told = story(a_sweep(spec={"axes": axes, "controls": ("random", "caa")}))
    assert "Varied besides: tau (0.5, 0.9); top-k (all, 10)." in told
    assert "random direction, dense norm; dense CAA" in told and "3 seeds" in told


def test_a_sweep_without_controls_says_what_that_means() -> None:
    assert "No control was run" in story(a_sweep(arms=("vector",), spec={"controls": ()}))


def test_of_several_settings_the_finding_is_the_one_that_was_best_on_dev() -> None:
    low, high = Setting(tau=0.5), Setting(tau=0.9)
    outcomes = tuple(
        outcome(scale=2.0, half=half, setting=setting, change=change)
        for setting, dev, test in ((low, 0.5, 0.2), (high, 0.3, 0.6))
        for half, change in (("dev", dev), ("test", test))
    )
    (said,) = findings(result_of(outcomes, spec={"axes": {"tau": (0.5, 0.9)}}))
    assert "tau 0.5" in said and "+0.200" in said


def test_a_change_that_may_be_none_is_called_so() -> None:
    outcomes = tuple(outcome(scale=2.0, half=half, change=0.01) for half in ("dev", "test"))
    assert "cannot be told from none" in findings(result_of(outcomes))[0]


def test_the_furthest_random_control_and_the_price_stand_beside_the_effect() -> None:
    (said,) = findings(a_sweep())
    assert "Random direction, own norm went +0.020" in said
    assert "The price on neutral text is +0.080" in said


def test_the_table_has_a_row_per_outcome_with_its_own_numbers() -> None:
    result = a_sweep(settings=(Setting(tau=0.5, top_k=10), Setting()))
    table = cells_table(result)
    assert tuple(table.columns) == COLUMNS and len(table) == len(result.outcomes)
    row = table[
        (table.arm == "dense") & (table.scale == 2) & (table.half == "test") & (table.figure == "margin")
    ]
    assert row.change.tolist() == pytest.approx([0.5, 0.5]) and row.tau.tolist() == [0.5, 0.7]
    assert set(row.unit) == {"nats per token"}


def test_whole_numbers_stay_whole_in_the_csv_and_what_is_missing_is_empty() -> None:
    result = result_of((outcome(setting=Setting(top_k=10)), outcome(), unmeasured("dense", 1.0)))
    csv = cells_table(result).to_csv(index=False).splitlines()
    first, second, third = (dict(zip(csv[0].split(","), line.split(","), strict=True)) for line in csv[1:])
    assert (first["top_k"], second["top_k"], first["problem"]) == ("10", "", "")
    assert (third["change"], third["problem"]) == ("", "The model broke off.")


def test_a_table_of_nothing_still_has_its_columns() -> None:
    assert tuple(cells_table(result_of(())).columns) == COLUMNS
