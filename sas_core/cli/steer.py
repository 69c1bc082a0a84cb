"""`steer`: one prompt answered twice, unsteered and steered, as rows of one batch.

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
from sas_core.errors import BadInput
from sas_core.steering.spec import Lane, Nonlinearity, Sampling, SteeredTokens, Steering, Term
from sas_core.vectors.schema import VectorFile

if TYPE_CHECKING:
    from sas_core.steering.lanes import Done, LaneResult


@takes_engine
def steer(
    loading: Loading,
    prompt: Annotated[str, typer.Option(help="What the model answers; - reads standard input.")],
    vector: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A vector file; may be repeated.")
    ] = None,
    latent: Annotated[
        list[str] | None,
        typer.Option(metavar="INDEX:VALUE", help="A single latent and what is added to it; may be repeated."),
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
    as_json: AsJson = False,
) -> None:
    """Answer a prompt unsteered and steered, side by side, with a receipt of what was changed."""
    vectors = [read_vector(path) for path in vector or ()]
    terms = (*_vector_terms(vectors, strength or ()), *map(_latent_term, latent or ()))
    if not terms:
        raise BadInput("There is nothing to steer with; give --vector FILE or --latent INDEX:VALUE.")
    steering = Steering(
        terms,
        _scale(scale, vectors, terms),
        nonlinearity or _agreed(vectors, "nonlinearity", "relu"),
        tokens or _agreed(vectors, "steered_tokens", "generated"),
    )
    sampling = _sampling(greedy, temperature, top_p, seed, max_new_tokens)
    prompt = read_text_option(prompt, "prompt")
    with quiet():
        from sas_core.steering.lanes import Request
        from sas_core.vectors.build import check_belongs

        engine = loading.engine()
        for file in vectors:
            for difference in check_belongs(file, engine):
                note(f"Warning: {difference.sentence}")
        lanes = (Lane("unsteered"), Lane("steered", steering))
        with working("Writing both answers"):
            done = engine.run(Request(prompt, lanes, sampling, chat, system))
    if as_json:
        return show_json(_document(done))
    show(*(_panel(lane) for lane in done.lanes))
    return note(f"{_receipt(done.lanes[1])} {placed(engine)}")


def _vector_terms(vectors: Sequence[VectorFile], strengths: Sequence[float]) -> list[Term]:
    if strengths and len(strengths) != len(vectors):
        raise BadInput(
            f"{len(strengths)} --strength for {len(vectors)} --vector; give one for each, or none at all."
        )
    return [
        Term(vector.name, tuple(f.index for f in vector.features), tuple(f.value for f in vector.features), s)
        for vector, s in zip(vectors, strengths or [1.0] * len(vectors), strict=True)
    ]


def _latent_term(text: str) -> Term:
    index, _, value = text.partition(":")
    try:
        number, added = int(index), float(value)
    except ValueError:
        raise BadInput(f"--latent {text!r} is not INDEX:VALUE, such as 812:3.5.") from None
    return Term(f"latent {number}", (number,), (added,))


def _scale(asked: float | None, vectors: Sequence[VectorFile], terms: Sequence[Term]) -> float:
    """A file says where to start; several together have no such figure."""
    if asked is not None:
        return asked
    return vectors[0].strength if len(vectors) == len(terms) == 1 else 1.0


def _agreed(vectors: Sequence[VectorFile], field: str, default: str) -> Any:
    """What all vectors say of this field. Raises BadInput when they differ and nothing was asked."""
    said = {getattr(vector, field) for vector in vectors} or {default}
    if len(said) > 1:
        option = {"steered_tokens": "--tokens"}.get(field, f"--{field}")
        raise BadInput(f"The vectors differ in {field} ({', '.join(sorted(said))}); choose with {option}.")
    return said.pop()


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
