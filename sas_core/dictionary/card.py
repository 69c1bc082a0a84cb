"""The card beside a trained dictionary: what it is made of and what was measured, in Markdown and JSON."""

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from sas_core.dictionary.measures import DENSITY_EDGES
from sas_core.text_file import write_file

_COLUMNS = (
    "held-out text", "positions", "FVU", "L0", "CE increase (nats)", "KL (nats)", "recovered (zero)",
    "recovered (mean)", "silent latents",
)  # fmt: skip


def write_card(folder: Path, training: Mapping[str, Any], measures: Mapping[str, Mapping[str, Any]]) -> None:
    """`card.json` and `README.md` in `folder`. `measures` maps a kind of held-out text to its figures.

    Raises BadInput for a folder that cannot be written to.
    """
    card = {"training": training, "measures": measures}
    write_file(folder / "card.json", json.dumps(card, indent=1) + "\n")
    write_file(folder / "README.md", "\n".join([*_made_of(training), *_measured(measures)]) + "\n")


def _made_of(training: Mapping[str, Any]) -> list[str]:
    spec = training["spec"]
    mix = ", ".join(f"{Path(s['name']).name.partition('.')[0]} {s['weight']:g}" for s in spec["sources"])
    sinks = 1e6 * training["sinks_dropped"] / max(training["positions_kept"], 1)
    return [
        f"# SAE for {spec['model_name']}, `{spec['hook_name']}`",
        "",
        f"{spec['d_sae']:,} latents, trained as BatchTopK with k = {spec['k']:g} (arXiv 2412.06410) by "
        f"sae-lens, saved as JumpReLU in float16{_loosened(spec)}; load with `SAE.load_from_disk`.",
        "",
        f"- Tokens: {spec['tokens']:,} activations{_again(spec)}, batch {spec['batch_size']:,}, learning "
        f"rate {spec['lr']:g} with warm-up and decay over the last {spec['decay_share']:.0%}, "
        f"seed {spec['seed']}.",
        f"- Text (weights per document drawn): {mix}. Chats in the model's template; special tokens, the "
        f"template's preamble, first positions and attention sinks ({sinks:.0f} in a million positions) "
        "left out.",
        "- No text is shipped; the weights and these figures are.",
        "",
    ]


def _loosened(spec: Mapping[str, Any]) -> str:
    scale = spec.get("threshold_scale", 1.0)
    return "" if scale == 1.0 else f", its thresholds times {scale:g}"


def _again(spec: Mapping[str, Any]) -> str:
    """How often they were learnt from and what it began from, where that is not once and nothing."""
    replay, start = spec.get("replay"), spec.get("start_from")
    again = f", {replay} of {replay + 1} of them replayed" if replay else ""
    return again + (f", begun from the SAE `{start}`" if start else "")


def _measured(measures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not measures:
        return ["Not measured on held-out text."]
    return [
        *_table(_COLUMNS, (_row(kind, m) for kind, m in measures.items())),
        "",
        "CE increase is the cost of splicing the reconstruction in; KL is from the model as it is to the "
        "spliced one. The recovered share against zero ablation flatters; against mean ablation it is the "
        "harder figure. Silent: never active in these positions.",
        "",
        "Latents by the share of positions at which they fire:",
        "",
        *_table(("share of positions", *measures), _densities(measures)),
    ]


def _row(kind: str, m: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        kind, f"{m['positions']:,}", f"{m['fvu']:.3f}", f"{m['l0']:.1f}",
        f"{m['ce_increase']:.3f} ({m['ce_clean']:.3f} to {m['ce_spliced']:.3f})", f"{m['kl']:.3f}",
        f"{m['recovered_zero']:.3f}", f"{m['recovered_mean']:.3f}", f"{m['dead']:,} ({m['dead_share']:.1%})",
    )  # fmt: skip


def _densities(measures: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """One row a bin, without those that are empty in every text."""
    bins = {"never": "never"} | {f"{a:g}": f"10^{a:g} to 10^{b:g}" for a, b in pairwise(DENSITY_EDGES)}
    for key, title in bins.items():
        counts = [m["density"][key] for m in measures.values()]
        if any(counts):
            yield title, *(f"{n:,}" for n in counts)


def _table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (columns, ("---",) * len(columns), *rows)]
