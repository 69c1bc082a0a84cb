"""The measured search as a page: one table for each thing varied, and what is best by each figure."""

from collections.abc import Iterator
from statistics import fmean
from typing import Any

import numpy as np

from sas_core.model.hooked import layer_of

_VARIED = {
    "layer": ("Layer: rebuilding", "layer"),
    "k": ("Active latents a token", "k"),
    "width": ("Width", "latents"),
    "positions": ("Positions learnt from", "positions"),
    "selection": ("Selection: k of each token (TopK) or on average (BatchTopK)", "selection"),
}


def page(document: dict[str, Any]) -> str:
    """The Markdown beside the JSON; tables that are not yet measured are left out."""
    lines = ["# Which layer, how wide, how sparse", "", *_told(document), ""]
    if document["dense"]:
        lines += ["## Layer: steering with a dense mean difference", "", *_dense(document), ""]
    for name, keys in document["tables"].items():
        rows = [document["rows"][key] for key in keys if key in document["rows"]]
        if rows:
            lines += [f"## {_VARIED[name][0]}", "", *_table(name, rows, document), ""]
    return "\n".join([*lines, "## Best by each figure", "", *_best(document), ""])


def swing(rows: list[dict[str, float]], share: float) -> float:
    """Change of the margin at `+share` less that at `-share`, in nats per token."""
    at = {row["share"]: row["change"] for row in rows}
    return at[share] - at[-share]


def price(rows: list[dict[str, float]], share: float) -> float:
    """Mean over both signs, in nats per token."""
    return fmean(row["price"] for row in rows if abs(row["share"]) == share)


def swing_at_price(dense: dict[str, Any], hook: str, wanted: float) -> float:
    """Mean swing where the mean price is `wanted`, on straight lines from nothing through the shares."""
    shares = _shares(dense)
    prices = [0.0, *(_mean(dense, hook, price, share) for share in shares)]
    swings = [0.0, *(_mean(dense, hook, swing, share) for share in shares)]
    return float(np.interp(wanted, np.maximum.accumulate(prices), swings))


def _told(document: dict[str, Any]) -> list[str]:
    settings = document["settings"]
    mix = ", ".join(f"{name} {weight:g}" for name, weight in settings["text"])
    held_out = ", ".join(f"{kind} {name}" for kind, name in settings["held_out"].items())
    return [
        f"Made by `python -m benchmarks.search_dictionary` on {settings['model']} ({settings['dtype']}); "
        f"text and weights: {mix}; held out: {held_out}, {settings['windows']} windows of "
        f"{settings['context_size']} tokens each.",
        "",
        "Every SAE is trained once from a fresh start by one recipe, far shorter than that of a dictionary "
        "in use, so rows compare, and none says what its setting could reach. CE: increase of cross-entropy "
        "in nats per token with the reconstruction spliced in; recovered: of the loss by mean ablation; "
        "dead: latents that 20,000 positions leave silent; seconds: of processor time "
        "in training; typical norm: the median at 20,000 positions.",
    ]


def _table(name: str, rows: list[dict[str, Any]], document: dict[str, Any]) -> Iterator[str]:
    kinds = list(document["settings"]["held_out"])
    columns = [
        _VARIED[name][1], *(["typical norm"] if name == "layer" else []),
        *(f"{figure}, {kind}" for figure in ("FVU", "L0", "CE", "recovered") for kind in kinds),
        "dead", "seconds",
    ]  # fmt: skip
    fixed = rows[-1]["recipe"]
    yield _fixed(name, fixed)
    yield ""
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(_cells(name, row, kinds, document))} |"


def _fixed(name: str, recipe: dict[str, Any]) -> str:
    said = {
        "layer": f"after block {layer_of(recipe['hook_name'])}",
        "width": f"{recipe['d_sae']:,} latents",
        "k": f"k {recipe['k']}",
        "positions": f"{recipe['positions']:,} positions",
        "selection": _selection(recipe),
    }
    same = [words for varied, words in said.items() if varied != name]
    return (
        f"The same in all rows: {', '.join(same)}, each met {recipe['epochs']} times in batches of "
        f"{recipe['batch_size']}, learning rate {recipe['lr']:g}."
    )


def _selection(recipe: dict[str, Any]) -> str:
    return "BatchTopK" if recipe["per"] == "batch" else "TopK"


def _cells(name: str, row: dict[str, Any], kinds: list[str], document: dict[str, Any]) -> Iterator[str]:
    recipe, held_out = row["recipe"], row["held_out"]
    match name:
        case "layer":
            yield str(layer_of(recipe["hook_name"]))
            yield f"{document['norms'][recipe['hook_name']]:.0f}"
        case "selection":
            yield _selection(recipe)
        case _:
            yield f"{recipe[{'width': 'd_sae'}.get(name, name)]:,}"
    figures = (("fvu", ".3f"), ("l0", ".1f"), ("ce_increase", ".3f"), ("recovered_mean", ".3f"))
    for figure, form in figures:
        yield from (f"{held_out[kind][figure]:{form}}" for kind in kinds)
    yield f"{row['dead_share']:.1%}"
    yield f"{row['seconds']:.0f}"


def _dense(document: dict[str, Any]) -> Iterator[str]:
    dense = document["dense"]
    shares, hooks = _shares(dense), list(next(iter(dense.values())))
    yield (
        "No SAE: the mean difference of the residuals over the completions of the training pairs is added "
        "at the same share of the layer's typical norm. Swing: the completion margin of held-out pairs at "
        "plus the share less that at minus the share; price: how much less likely neutral answers become, "
        "mean of both signs. Both in nats per token, the mean over "
        f"{', '.join(dense)} ({document['settings']['pairs']} held-out pairs each). The swing at one price, "
        "what the larger share costs where it costs least, lies on straight lines between the shares, "
        "which makes it too small, if anything, at all layers but the cheapest."
    )
    yield ""
    columns = [
        "layer",
        *(f"{figure} at {share:g}" for share in shares for figure in ("swing", "price")),
        f"swing at a price of {_common_price(dense):.3f}",
        *(f"{name}: swing at {shares[-1]:g}" for name in dense),
    ]
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for hook in hooks:
        cells = [str(layer_of(hook))]
        for share in shares:
            cells += [f"{_mean(dense, hook, swing, share):+.3f}", f"{_mean(dense, hook, price, share):+.3f}"]
        cells.append(f"{swing_at_price(dense, hook, _common_price(dense)):+.3f}")
        cells += [f"{swing(found[hook], shares[-1]):+.3f}" for found in dense.values()]
        yield f"| {' | '.join(cells)} |"


def _best(document: dict[str, Any]) -> Iterator[str]:
    rows = [document["rows"][key] for key in document["tables"]["layer"] if key in document["rows"]]
    for kind in document["settings"]["held_out"] if rows else ():
        for figure, words, sign in (
            ("ce_increase", "the smallest increase of cross-entropy", -1),
            ("recovered_mean", "the largest recovered share", 1),
        ):
            best = max(rows, key=lambda row: sign * row["held_out"][kind][figure])
            yield (
                f"- {kind}, {words}: layer {layer_of(best['recipe']['hook_name'])} "
                f"({best['held_out'][kind][figure]:.3f})."
            )
    if document["dense"]:
        yield from _best_dense(document["dense"])


def _best_dense(dense: dict[str, Any]) -> Iterator[str]:
    hooks = list(next(iter(dense.values())))
    figures = {f"a share of {s:g}": {h: _mean(dense, h, swing, s) for h in hooks} for s in _shares(dense)}
    cost = _common_price(dense)
    figures[f"a price of {cost:.3f}"] = {h: swing_at_price(dense, h, cost) for h in hooks}
    for words, found in figures.items():
        best = max(found, key=found.__getitem__)
        yield f"- The largest swing at {words}: layer {layer_of(best)} ({found[best]:+.3f})."


def _common_price(dense: dict[str, Any]) -> float:
    """What the larger share costs where it costs least: every layer reaches it."""
    largest = _shares(dense)[-1]
    return min(_mean(dense, hook, price, largest) for hook in next(iter(dense.values())))


def _mean(dense: dict[str, Any], hook: str, figure: Any, share: float) -> float:
    return fmean(figure(found[hook], share) for found in dense.values())


def _shares(dense: dict[str, Any]) -> list[float]:
    rows = next(iter(next(iter(dense.values())).values()))
    return sorted({abs(row["share"]) for row in rows})
