"""`atlas show`: one latent as its atlas describes it, in full as JSON or as a card to read.

Knows no torch and no model, so that it starts at once.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from sas_core.atlas.label_rows import Label
from sas_core.atlas.store import Atlas
from sas_core.atlas.types import AutoLabel, Context, Latent, LatentRow
from sas_core.atlas.words import density_sentence, token_sentence
from sas_core.cli.atlas_open import AtlasPath, Index, opened
from sas_core.cli.common import AsJson
from sas_core.cli.output import plain, show, show_json, table

_BEFORE, _AFTER = 12, 6
_VALUES = 4
_WRITTEN = 10
_NEAR = 6
_BAR = 40


def show_latent(
    index: Index,
    cache: AtlasPath = None,
    top: Annotated[int, typer.Option(min=1, help="Contexts of each band in the card.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Print what an atlas knows of one latent. Needs no model.

    In the card the peak of a context stands between « and ». With --json all contexts are there.
    """
    with opened(cache) as (atlas, labels):
        latent, contexts = atlas.latent(index), atlas.contexts(index)
        label = labels.get(atlas.made_of.sae_sha256, index)
        if as_json:
            return show_json(document(latent, contexts, atlas.made_of.edges, label and label.label))
        return show(*_card(atlas, latent, contexts, label, top))


def document(
    latent: Latent, contexts: Sequence[Context], edges: Sequence[float], label: str | None
) -> dict[str, Any]:
    """What `atlas show --json` prints; the first and the last bin of the histogram are open."""
    return {
        "index": latent.index,
        "label": label,
        "automatic_label": latent.auto and automatic_document(latent.auto),
        "fired": latent.fired,
        "tokens_seen": latent.tokens_seen,
        "density": latent.density,
        "max": latent.max,
        "mean_nonzero": latent.mean_nonzero,
        "histogram": {"edges": edges, "counts": latent.histogram},
        "contexts": [context_document(context) for context in contexts],
        "logits": {"positive": latent.positive, "negative": latent.negative},
        "neighbours": latent.neighbours,
    }


def automatic_document(auto: AutoLabel) -> dict[str, Any]:
    """An automatic label as JSON; `clear` is False where it says nothing of the latent."""
    return {**asdict(auto), "clear": auto.clear}


def context_document(context: Context) -> dict[str, Any]:
    """A context as JSON: `tokens`, `token_ids` and `activations` have one item per token of its window."""
    names = ("band", "max", "peak", "token_ids", "tokens", "activations", "document", "offset")
    return {name: getattr(context, name) for name in names}


def excerpt(context: Context, around: int | None = None) -> str:
    """The tokens near the peak (or near the position `around`) on one line, the peak in guillemets."""
    middle = context.peak if around is None else around
    first, end = max(0, middle - _BEFORE), min(len(context.tokens), middle + _AFTER + 1)
    pieces = [_marked(piece) if at == context.peak else piece for at, piece in enumerate(context.tokens)]
    text = "".join(pieces[first:end]).replace("\n", "⏎").replace("\t", "⇥")
    return f"{'…' if first else ''}{text}{'…' if end < len(context.tokens) else ''}"


def _marked(piece: str) -> str:
    word = piece.lstrip(" ") or piece
    return f"{piece.removesuffix(word)}«{word}»"


def share(density: float) -> str:
    """A density in percent, with three digits."""
    return f"{100 * density:.3g} %"


def _card(
    atlas: Atlas, latent: Latent, contexts: Sequence[Context], label: Label | None, top: int
) -> Iterator[RenderableType]:
    yield plain(f"Latent {latent.index}: {label.label if label else 'no label'}")
    if label and label.note:
        yield plain(label.note)
    if latent.auto:
        yield plain(f"Automatic label: {latent.auto.text}; {latent.auto.said}")
    yield table(("", ""), _facts(atlas, latent), header=False)
    if contexts:
        numbers = ("max", "document")
        yield table(("band", *numbers, "context", "fires at"), _contexts(contexts, top), right=numbers)
        yield table(
            ("activation", "tokens", ""), _bars(latent.histogram, atlas.made_of.edges), right=("tokens",)
        )


def _facts(atlas: Atlas, latent: Latent) -> Iterator[tuple[str, str]]:
    yield "how often", f"{density_sentence(latent)}; {latent.density_class}"
    if latent.mean_nonzero is not None:
        spread = f" (standard deviation {latent.std_nonzero:.2f})" if latent.std_nonzero else ""
        yield "how strongly", f"{latent.mean_nonzero:.2f} on average{spread}, at most {latent.max:.2f}"
        yield "where", token_sentence(latent)
    absent = "not in this atlas"
    yield "raises", _tokens(latent.positive) or absent
    yield "lowers", _tokens(latent.negative) or absent
    yield "near (cosine)", _latents(atlas, latent.neighbours) or absent
    yield "with (Jaccard)", _latents(atlas, atlas.cofiring(latent.index, _NEAR)) or "none in its sample"


def _tokens(tokens: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{token!r} {value:+.2f}" for token, value in tokens[:_WRITTEN])


def _latents(atlas: Atlas, found: Sequence[tuple[int, float]]) -> str:
    found = found[:_NEAR]
    rows = atlas.rows([index for index, _ in found])
    names = [f"{row.index} {named(row) or repr(row.peak_token or '')}" for row in rows]
    return ", ".join(f"{name} {value:.2f}" for name, (_, value) in zip(names, found, strict=True))


def named(row: LatentRow) -> str:
    """The user's label, else the automatic one, marked as such, where it says something."""
    return row.label or (f"auto: {row.auto.text}" if row.auto and row.auto.clear else "")


def _contexts(contexts: Sequence[Context], top: int) -> Iterator[tuple[str, ...]]:
    shown: Counter[str] = Counter()
    for context in contexts:
        shown[context.band] += 1
        if shown[context.band] <= top:
            band = context.band if shown[context.band] == 1 else ""
            yield band, f"{context.max:.2f}", str(context.document), excerpt(context), _strongest(context)


def _strongest(context: Context) -> str:
    both = zip(context.activations, context.tokens, strict=True)
    fired = sorted((pair for pair in both if pair[0]), key=lambda pair: -pair[0])
    rest = ", ..." if len(fired) > _VALUES else ""
    return ", ".join(f"{token!r} {value:.2f}" for value, token in fired[:_VALUES]) + rest


def _bars(counts: Sequence[int], edges: Sequence[float]) -> Iterator[tuple[str, ...]]:
    """From the first bin that is not empty to the last; a bin that is not empty has some bar."""
    filled = [at for at, count in enumerate(counts) if count]
    for at in range(filled[0], filled[-1] + 1):
        low = "0" if at == 0 else f"{edges[at]:.3g}"
        high = "more" if at == len(counts) - 1 else f"{edges[at + 1]:.3g}"
        yield f"{low} to {high}", f"{counts[at]:,}", "#" * math.ceil(_BAR * counts[at] / max(counts))
