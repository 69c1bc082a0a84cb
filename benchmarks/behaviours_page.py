"""The page of `benchmarks.behaviours`: tables by sign, counts of who moves further, and what they hold for.

Every number and every count comes from the JSON document. Knows no model.
"""

from collections.abc import Iterator
from typing import Any

from benchmarks.matched import Estimate

ARMS = {"vector": "SAS", "dense": "dense equivalent", "caa": "dense CAA", "random": "random"}
SIGNS = {1: "towards the behaviour", -1: "away from it"}
FIGURES = {
    "margin": "Completion margin on held-out pairs, nats per token",
    "probe": "What is written to held-out prompts: log odds of a probe, nats",
    "words": "What is written to held-out prompts: share of the behaviour's words, less its opposite's",
}
_OUTCOMES = ("further", "not told apart", "less far", "no match")


def page(document: dict[str, Any]) -> str:
    """The whole page, of as many behaviours as there are."""
    lines = [*_head(document), ""]
    for figure in _figures(document):
        lines += [f"## {FIGURES[figure]}", ""]
        for sign in SIGNS:
            lines += [*_table(document, figure, sign), ""]
    lines += ["## SAS beside the others at the same price", "", *_counts(document), "", *_closing(document)]
    return "\n".join(lines) + "\n"


def _head(document: dict[str, Any]) -> Iterator[str]:
    sae, where, found = document["sae"], document["environment"], document["behaviours"].values()
    targets = " and ".join(f"{target:g}" for target in document["targets"])
    yield "# Does it steer? Shipped vectors against dense directions at one price"
    yield ""
    asked = f"--pairs {document['pairs']} --prompts {document['prompts']}"
    yield (
        f"Made by `python -m benchmarks.behaviours {asked}`; every figure is in the JSON beside this page. "
        f"Model {document['model']}, {where['dtype']} on {where['device']}; SAE of {sae['d_sae']:,} latents "
        f"at {sae['hook_name']}, sha256 {sae['sha256'][:12]}."
    )
    yield ""
    yield (
        f"Price: nats per token by which the answers to {document['neutral_texts']} neutral questions become "
        "less likely. They are read over a grid of strengths, and between those until an arm costs "
        f"{targets} within a tenth or is out of tries; there price and effects are measured. So a strength "
        "is chosen by its price and never by its effect."
    )
    yield ""
    yield (
        f"Effects are changes against the unsteered model, means over {_span(found, 'pairs')} held-out pairs "
        f"and {_span(found, 'prompts')} prompts of such pairs (0: nothing was written), with 95 % bootstrap "
        "intervals over them; the uncertainty of the price is not in them. SAS: the shipped vector, built at "
        "tau 0.7. Dense equivalent: `lambda sum_i v_i W_dec[i]`. Dense CAA: the difference of mean residuals "
        "of the same training pairs. Random: the mean of two directions, each at its own strength."
    )
    yield ""
    yield _met(document)


def _span(found: Any, name: str) -> str:
    counts = sorted({each[name] for each in found})
    return " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))


def _met(document: dict[str, Any]) -> str:
    """How near the measured prices come to the wanted ones, and who never got there."""
    said = []
    for target in document["targets"]:
        met = [row for _, row in _rows(document) if row["target"] == target and row["reached"]]
        prices = sorted(row["figures"]["price"]["mean"] for row in met)
        if prices:
            said.append(
                f"For {target:g} nats the prices measured lie between {prices[0]:.3f} and {prices[-1]:.3f}."
            )
    missed = sum(not row["reached"] for _, row in _rows(document))
    said.append(
        f"{missed} of {sum(1 for _ in _rows(document))} never cost so much at any strength tried: the "
        "strongest is given, with its price."
    )
    return " ".join(said)


def _table(document: dict[str, Any], figure: str, sign: int) -> Iterator[str]:
    targets = document["targets"]
    columns = [f"{title}, {target:g}" for target in targets for title in ARMS.values()]
    yield f"Lambda {'above' if sign > 0 else 'below'} 0, {SIGNS[sign]}:"
    yield ""
    yield "| behaviour | latents | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 2) + "|"
    for name, found in document["behaviours"].items():
        by = {(row["target"], row["arm"]): row for row in found["rows"] if row["sign"] == sign}
        cells = [_cell(by[target, arm], figure) for target in targets for arm in ARMS]
        yield f"| {name} | {found['latents']} | " + " | ".join(cells) + " |"


def _cell(row: dict[str, Any], figure: str) -> str:
    found = row["figures"].get(figure)
    if found is None:
        return ""
    text = f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
    return text if row["reached"] else f"{text} at {row['figures']['price']['mean']:.3f}"


def _counts(document: dict[str, Any]) -> Iterator[str]:
    others = [arm for arm in ARMS if arm != "vector"]
    yield (
        "In how many behaviours SAS moves further in the wanted direction than the other arm / cannot be "
        "told apart (the 95 % interval of the difference over the same pairs or prompts holds 0) / moves "
        "less far / has no match, since one of the two never costs so much."
    )
    yield ""
    yield "| figure | direction | price | " + " | ".join(f"against {ARMS[arm]}" for arm in others) + " |"
    yield "|---" * (len(others) + 3) + "|"
    for figure in _figures(document):
        for sign, direction in SIGNS.items():
            for target in document["targets"]:
                cells = [" / ".join(map(str, tally(document, figure, arm, sign, target))) for arm in others]
                yield f"| {figure} | {direction} | {target:g} | " + " | ".join(cells) + " |"


def tally(document: dict[str, Any], figure: str, arm: str, sign: int, target: float) -> tuple[int, ...]:
    """Behaviours in which SAS moves further than `arm`, is not told apart, moves less far, has no match."""
    counts = dict.fromkeys(_OUTCOMES, 0)
    for _, row in _rows(document):
        if (row["arm"], row["sign"], row["target"]) == (arm, sign, target):
            leads = row["vector_leads_by"].get(figure)
            counts[_OUTCOMES[1 - Estimate(**leads).verdict] if leads else "no match"] += 1
    return tuple(counts.values())


def _closing(document: dict[str, Any]) -> Iterator[str]:
    n = len(document["behaviours"])
    for figure in _figures(document):
        for arm in ("caa", "random"):
            sums = [
                tally(document, figure, arm, sign, target)
                for sign in SIGNS for target in document["targets"]
            ]  # fmt: skip
            further, level, less, unmet = (sum(each) for each in zip(*sums, strict=True))
            yield (
                f"- {figure.capitalize()}, both directions and prices together ({n * len(sums)} comparisons "
                f"in {n} behaviours): SAS moves further than {ARMS[arm]} in {further}, cannot be told apart "
                f"in {level}, moves less far in {less}; {unmet} have no match."
            )
    yield ""
    yield (
        "The comparisons of one behaviour share its pairs and are not independent, and one interval of 95 % "
        "in twenty is wrong. One model, one layer, one dictionary: nothing here says which method is better "
        "elsewhere."
    )


def _figures(document: dict[str, Any]) -> list[str]:
    return [name for name in FIGURES if any(name in row["figures"] for _, row in _rows(document))]


def _rows(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, found in document["behaviours"].items():
        for row in found["rows"]:
            yield name, row
