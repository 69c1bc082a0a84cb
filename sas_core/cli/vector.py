"""`vector show` and `vector check`: what a vector file holds, and whether it still does what it recorded.

`show` reads the file alone; `check` loads the model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from sas_core.cli.common import AsJson, Loading, takes_engine
from sas_core.cli.files import read_vector
from sas_core.cli.output import quiet, show, show_json, table
from sas_core.vectors.schema import Difference, Feature, VectorFile

if TYPE_CHECKING:
    from sas_core.vectors.replay import Replay

VectorPath = Annotated[Path, typer.Argument(metavar="FILE", help="A vector file.")]

COLUMNS = ("latent", "value", "freq +", "freq -")


def show_vector(
    path: VectorPath,
    top: Annotated[int, typer.Option(min=1, help="How many latents, the largest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print what a vector file holds. Needs no model."""
    vector = read_vector(path)
    features = sorted(vector.features, key=lambda feature: -abs(feature.value))[:top]
    if not as_json:
        return show(_facts(vector), _evidence(features))
    return show_json(
        {
            "name": vector.name,
            "model": vector.model.model_dump(),
            "sae": vector.sae.model_dump(),
            "tau": vector.tau,
            "count": len(vector.features),
            "features": [feature.model_dump() for feature in features],
        }
    )


@takes_engine
def check(loading: Loading, path: VectorPath, as_json: AsJson = False) -> None:
    """Say whether a vector belongs to what is loaded, and repeat its recorded run."""
    vector = read_vector(path)
    with quiet():
        from sas_core.vectors.build import check_belongs
        from sas_core.vectors.replay import replay

        engine = loading.engine()
        found = check_belongs(vector, engine)
        again = replay(engine, vector) if vector.verify else None
    if as_json:
        run = {"agree": again.agree, "total": again.total,
               "partings": [asdict(parting) for parting in again.partings]} if again else None  # fmt: skip
        return show_json({"name": vector.name, "differences": [asdict(d) for d in found], "reproduced": run})
    return show(*_verdict(vector, found, again))


def columns(feature: Feature) -> tuple[str, ...]:
    """The cells of COLUMNS; empty where a hand-picked latent has no evidence."""
    return str(feature.index), f"{feature.value:+.3f}", _three(feature.freq_pos), _three(feature.freq_neg)


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _evidence(features: Sequence[Feature]) -> Table:
    rows = [(*columns(f), _three(f.mean_pos), _three(f.mean_neg), f.label or "") for f in features]
    numbers = (*COLUMNS, "mean +", "mean -")
    return table((*numbers, "label"), rows, right=numbers)


def _facts(vector: VectorFile) -> Table:
    """Everything of the file but its latents and the dense sum."""
    sae = vector.sae
    source = f"{sae.release} / {sae.sae_id}" if sae.release else sae.path or "unnamed"
    negative = sum(feature.value < 0 for feature in vector.features)
    rows = [
        ("name", vector.name),
        ("model", f"{vector.model.name}, {vector.model.dtype}"),
        ("SAE", f"{source}: {sae.d_sae:,} latents at {sae.hook_name} (sha256 {sae.sha256[:12]})"),
        ("method", _method(vector)),
        ("latents", f"{len(vector.features):,} ({len(vector.features) - negative:,} +, {negative:,} -)"),
        ("start at", f"{vector.strength:g}"),
        ("applied", f"{vector.nonlinearity}, tokens: {vector.steered_tokens}"),
        ("pairs", f"{vector.pairs.name}, {vector.pairs.count:,}" if vector.pairs else "none"),
        ("recorded run", repr(vector.verify.prompt) if vector.verify else "none"),
        ("created", vector.created_at),
    ]
    return table(("", ""), rows, header=False)


def _method(vector: VectorFile) -> str:
    if vector.method != "sas":
        return "hand-picked latents"
    shared = "shared latents dropped" if vector.drop_shared else "shared latents kept"
    return f"SAS, tau {vector.tau:g}, position {vector.position}, sides {vector.sides}, {shared}"


def _verdict(vector: VectorFile, found: Sequence[Difference], again: "Replay | None") -> Iterator[str]:
    if not found:
        yield f"{vector.name!r} belongs to the model and SAE that are loaded."
    yield from (f"Warning: {difference.sentence}" for difference in found)
    if again is None:
        yield "It carries no recorded run to repeat."
    elif again.whole:
        yield f"Reproduced: all {again.total} recorded tokens."
    else:
        verdict = "Reproduced up to rounding" if again.rounded else "Not reproduced"
        yield f"{verdict}: {again.agree} of {again.total} recorded tokens, up to the first that differs."
        yield from again.why
