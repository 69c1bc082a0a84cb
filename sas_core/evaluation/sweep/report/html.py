"""A sweep as one HTML file that needs nothing else: no server, no network, no font from elsewhere.

Every name and text in it is foreign and escaped; the file's own policy forbids it to fetch anything. Knows no
model: all comes from a SweepResult and the texts it is given.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from sas_core.evaluation.plots.words import (
    arm_title,
    axis_title,
    change_text,
    figure_title,
    mean_text,
    percent,
    scale_text,
    setting_text,
)
from sas_core.evaluation.sweep.cells import varied
from sas_core.evaluation.sweep.outcome import Outcome, SweepResult, Written
from sas_core.evaluation.sweep.report.html_plots import halves_text, plots_html
from sas_core.evaluation.sweep.report.story import findings, story

_HERE = Path(__file__).parent
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_PROMPTS, _TEXTS_PER_PROMPT = 2, 5
_ROWS_SHOWN = 60
_CHOSEN_SHOWN = 16


def page(result: SweepResult, texts: Sequence[Written] = ()) -> str:
    """The report of a sweep, complete or not, as a self-contained HTML document of about 5 MB.

    `texts`: generations to choose a few from for each arm. Nothing else is read.
    """
    name = escape(result.spec.name)
    sections = (
        _section("found", "What came of it", _found(result)),
        _section("plots", "Plots", plots_html(result)),
        _section("tables", "Tables", _tables(result)),
        _section("texts", "Some texts", _texts(result, texts)),
        _section("spec", "The spec", f"<pre>{escape(result.spec.dump())}</pre>"),
        _section("made", "Where it comes from", _provenance(result)),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{name}</title>'
        f"<style>{_asset('report.css')}</style></head><body>"
        f'<header><p class="kind">Steering evaluated{_state(result)}</p><h1>{name}</h1>'
        f'<p class="story">{escape(story(result))}</p></header><main>{"".join(sections)}</main>'
        "<noscript><p>Plots need JavaScript; the tables hold the same numbers.</p></noscript>"
        f"<script>{get_plotlyjs()}</script><script>{_asset('report.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _state(result: SweepResult) -> str:
    return "" if result.complete else f", so far: {result.done:,} of {result.total:,} tasks"


def _section(anchor: str, title: str, body: str) -> str:
    return f'<section id="{anchor}"><h2>{title}</h2>{body}</section>' if body else ""


def _found(result: SweepResult) -> str:
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in findings(result))
    axes = _axes(result)
    several = len({c.figure for c in result.chosen}) > 1
    rows = [
        (arm_title(c.arm), *_if(axes, setting_text(c.setting, axes)), *_if(several, figure_title(c.figure)),
         scale_text(c.scale), change_text(c.dev), change_text(c.test), percent(c.test.wrong_way),
         percent(c.test.share))
        for c in result.chosen
    ]  # fmt: skip
    head = ("arm", *_if(axes, "setting"), *_if(several, "figure"), "lambda", "change [95 %], dev",
            "change [95 %], test", "wrong way", "added norm")  # fmt: skip
    chosen = _table(head, rows) if rows else ""
    if len(rows) > _CHOSEN_SHOWN:
        chosen = f"<details><summary>All strengths chosen, {len(rows):,} rows</summary>{chosen}</details>"
    return (f"<ul>{said}</ul>" if said else "") + chosen


def _if(shown: object, cell: str) -> tuple[str, ...]:
    """A cell of a column that is there only when it says something."""
    return (cell,) if shown else ()


def _axes(result: SweepResult) -> tuple[str, ...]:
    return tuple(axis for axis in varied(result.spec) if axis != "scale")


def _tables(result: SweepResult) -> str:
    """One table per figure and half, the first of them open."""
    axes = _axes(result)
    parts: list[str] = []
    for figure in result.figures():
        for half in dict.fromkeys(o.half for o in result.outcomes if o.figure == figure):
            outcomes = result.of(figure, half)
            title = escape(f"{axis_title(figure, change=False)}, {halves_text(half)}")
            is_open = " open" if not parts and len(outcomes) <= _ROWS_SHOWN else ""
            parts.append(
                f"<details{is_open}><summary>{title}, {len(outcomes):,} rows</summary>"
                f"{_cells(outcomes, axes)}</details>"
            )
    return "".join(parts)


def _cells(outcomes: Sequence[Outcome], axes: Sequence[str]) -> str:
    problems = any(o.problem for o in outcomes)
    head = ("arm", *_if(axes, "setting"), "lambda", "mean [95 %]", "change [95 %]", "wrong way", "added norm",
            "latents", "units", *_if(problems, "remark"))  # fmt: skip
    rows = (
        (arm_title(o.arm), *_if(axes, setting_text(o.setting, axes)), scale_text(o.scale), mean_text(o),
         change_text(o), percent(o.wrong_way), percent(o.share), f"{o.latents:,}", f"{o.count:,}",
         *_if(problems, o.problem or ""))
        for o in outcomes
    )  # fmt: skip
    return _table(head, rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _texts(result: SweepResult, texts: Sequence[Written]) -> str:
    """For each arm the first prompts, each at a few strengths from the lowest to the highest."""
    axes = _axes(result)
    parts = []
    for arm in dict.fromkeys(text.arm for text in texts):
        parts.append(f"<h3>{escape(arm_title(arm))}</h3>")
        parts += (_prompt(prompt, group, axes) for prompt, group in _few(texts, arm))
    return "".join(parts)


def _few(texts: Sequence[Written], arm: str) -> Iterator[tuple[str, list[Written]]]:
    own = [text for text in texts if text.arm == arm]
    for prompt in list(dict.fromkeys(text.prompt for text in own))[:_PROMPTS]:
        first: dict[float, Written] = {}
        for text in own:
            if text.prompt == prompt:
                first.setdefault(text.scale, text)
        scales = sorted(first)
        apart = (len(scales) - 1) / (min(len(scales), _TEXTS_PER_PROMPT) - 1 or 1)
        places = dict.fromkeys(round(i * apart) for i in range(min(len(scales), _TEXTS_PER_PROMPT)))
        yield prompt, [first[scales[place]] for place in places]


def _prompt(prompt: str, texts: Sequence[Written], axes: Sequence[str]) -> str:
    return (
        f'<div class="prompt"><p class="asked">{escape(prompt)}</p>'
        + "".join(_written(text, axes) for text in texts)
        + "</div>"
    )


def _written(text: Written, axes: Sequence[str]) -> str:
    scores = ", ".join(f"{figure_title(figure)} {value:.2f}" for figure, value in text.scores.items())
    about = "; ".join(part for part in (setting_text(text.setting, axes), scores) if part)
    return (
        f'<div class="text"><p class="scale">lambda {scale_text(text.scale)}<span>{escape(about)}</span></p>'
        f"<p>{escape(text.text)}</p></div>"
    )


def _provenance(result: SweepResult) -> str:
    tasks = f"{result.done:,} of {result.total:,}"
    rows = (*_flat(result.provenance), ("sweep", result.key), ("tasks measured", tasks))
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{body}</dl>"


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Names with those above them, and values; what is None does not apply and is left out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name} ")
        elif value is not None:
            several = isinstance(value, list | tuple)
            yield f"{above}{name}", ", ".join(map(str, value)) if several else str(value)
