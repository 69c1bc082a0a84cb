"""`steer`: one prompt answered unsteered and steered, or at a sweep of strengths, as rows of one batch.

Everything that can be wrong without a model is found before one is loaded.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.panel import Panel

from sas_core.cli.common import AsJson, Loading, placed, takes_engine
from sas_core.cli.files import read_text_option, read_vector
from sas_core.cli.output import note, plain, quiet, show, show_json, working
from sas_core.cli.terms import steering_from
from sas_core.cli.zone import parse_scales, zone_document, zone_sentence, zone_table
from sas_core.errors import BadInput
from sas_core.steering.spec import Lane, Nonlinearity, Sampling, SteeredTokens
from sas_core.vectors.schema import VectorFile

if TYPE_CHECKING:
    from sas_core.steering.engine import Engine
    from sas_core.steering.lanes import Done, LaneResult, Request
    from sas_core.steering.zone import Zone


@takes_engine
def steer(
    loading: Loading,
    prompt: Annotated[str, typer.Option(help="What the model answers; - reads standard input.")],
    vector: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A vector file; may be repeated.")
    ] = None,
    latent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INDEX:VALUE[:MODE][:GATE]",
            help="A single latent and what is added to it; with a MODE the value it is set to (clamp), the "
            "share removed (ablate), or by what part it is raised (scale). May be repeated.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Lambda, over everything.", show_default="of a single vector its own, else 1"),
    ] = None,
    strength: Annotated[
        list[float] | None,
        typer.Option(
            metavar="<float>",
            help="One for each --vector, in their order; may be repeated.",
            show_default="1 each",
        ),
    ] = None,
    how: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODE[:GATE]",
            help="What each --vector does, in their order: add, clamp, scale or ablate; and when: "
            "LATENT>VALUE, firstN (generated tokens), answer or always.",
            show_default="add each",
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt.")] = None,
    chat: Annotated[
        bool | None,
        typer.Option("--chat/--raw", help="Chat template, or raw text.", show_default="chat if there is one"),
    ] = None,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Always take the likeliest token; the default.")
    ] = False,
    temperature: Annotated[float | None, typer.Option(help="Sample at this temperature instead.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Sample from the likeliest tokens of this total probability.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sampling; both lanes share their draws.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(help="Length at which an answer is cut.")] = 40,
    tokens: Annotated[
        SteeredTokens | None,
        typer.Option(help="Which positions are steered.", show_default="as the vector says"),
    ] = None,
    nonlinearity: Annotated[
        Nonlinearity | None,
        typer.Option(help="What steered latents pass through.", show_default="as the vector says"),
    ] = None,
    zone: Annotated[
        bool, typer.Option("--zone", help="Sweep the strength instead: where does the text fall apart?")
    ] = False,
    scales: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="With --zone: the lambdas.", show_default="0.1 to 1 of the residual's norm"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer a prompt unsteered and steered, side by side, with a receipt of what was changed."""
    if scales is not None and not zone:
        raise BadInput("--scales are the strengths of a sweep; give --zone too, or --scale for one strength.")
    vectors = [read_vector(path) for path in vector or ()]
    steering = steering_from(
        vectors, strength or (), how or (), latent or (),
        scale=scale, nonlinearity=nonlinearity, tokens=tokens,
    )  # fmt: skip
    sampling, sweep = _sampling(greedy, temperature, top_p, seed, max_new_tokens), parse_scales(scales)
    prompt = read_text_option(prompt, "prompt")
    with quiet():
        from sas_core.steering.lanes import Request

        engine = loading.engine()
        _warn_of_differences(vectors, engine)
        request = Request(prompt, (Lane("unsteered"), Lane("steered", steering)), sampling, chat, system)
        found = _sweep(engine, request, sweep) if zone else _both(engine, request)
    _show(found, engine, as_json=as_json)


def _warn_of_differences(vectors: Sequence[VectorFile], engine: "Engine") -> None:
    from sas_core.vectors.build import check_belongs

    for file in vectors:
        for difference in check_belongs(file, engine):
            note(f"Warning: {difference.sentence}")


def _both(engine: "Engine", request: "Request") -> "Done":
    with working("Writing both answers"):
        return engine.run(request)


def _sweep(engine: "Engine", request: "Request", scales: tuple[float, ...] | None) -> "Zone":
    from sas_core.steering.zone import find_zone

    steering = request.lanes[1].steering
    with working("Writing at every strength"):
        return find_zone(engine, steering, request, scales)


def _show(found: "Done | Zone", engine: "Engine", *, as_json: bool) -> None:
    """Results go to stdout, so this stands outside `quiet`."""
    from sas_core.steering.zone import Zone

    if isinstance(found, Zone):
        if as_json:
            return show_json(zone_document(found))
        show(zone_table(found))
        return note(f"{zone_sentence(found)} {found.rule} {placed(engine)}")
    if as_json:
        return show_json(_document(found))
    show(*(_panel(lane) for lane in found.lanes))
    return note(f"{_receipt(found.lanes[1])} {placed(engine)}")


def _sampling(
    greedy: bool, temperature: float | None, top_p: float | None, seed: int, max_new_tokens: int
) -> Sampling:
    if greedy and (temperature is not None or top_p is not None):
        raise BadInput("--greedy leaves nothing to sample; give it, or --temperature and --top-p.")
    if top_p is not None and temperature is None:
        raise BadInput("--top-p only acts when tokens are sampled; give --temperature too.")
    return Sampling(max_new_tokens, temperature or 0.0, 1.0 if top_p is None else top_p, seed)


def _document(done: "Done") -> dict[str, Any]:
    return {"prompt_ids": done.prompt_ids, "lanes": [_lane(lane) for lane in done.lanes]}


def _lane(lane: "LaneResult") -> dict[str, Any]:
    fields = {"name": lane.name, "scale": lane.scale, "token_ids": lane.token_ids, "text": lane.text}
    return fields if lane.receipt is None else {**fields, "receipt": asdict(lane.receipt)}


def _panel(lane: "LaneResult") -> Panel:
    title = lane.name if lane.receipt is None else f"{lane.name} at {lane.scale:g}"
    return Panel(plain(lane.text), title=title, title_align="left")


def _receipt(lane: "LaneResult") -> str:
    return lane.receipt.sentence() if lane.receipt else ""
