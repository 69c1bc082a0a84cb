"""`evaluate margin`: does a vector move what it should on held-out pairs, and what does it cost."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sas_core.cli.common import AsJson, Loading, takes_engine
from sas_core.cli.files import check_writable, read_vector
from sas_core.cli.output import finish, note, plain, quiet, show, show_json, table
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.parse import read_pairs
from sas_core.contrast.positions import resolve_position
from sas_core.contrast.shipped import Behaviour, behaviour_names, load_behaviour
from sas_core.errors import BadInput
from sas_core.evaluation import margin_document as document
from sas_core.evaluation.margin_report import MarginReport
from sas_core.evaluation.plan import Plan, plan
from sas_core.text_file import write_file
from sas_core.vectors.fields import VectorFile

if TYPE_CHECKING:
    from sas_core.steering.engine import Engine


@takes_engine
def margin(
    loading: Loading,
    vector: Annotated[Path | None, typer.Option(metavar="FILE", help="A vector file.")] = None,
    behaviour: Annotated[
        str | None, typer.Option(metavar="NAME", help="A shipped contrast: its vector is built first.")
    ] = None,
    all_behaviours: Annotated[
        bool, typer.Option("--all-behaviours", help="Every shipped contrast; the results go to --out.")
    ] = False,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Held-out pairs.", show_default="the behaviour's own"),
    ] = None,
    scales: Annotated[
        str, typer.Option(help="Strengths (lambda); 0 is always measured.")
    ] = "-4,-2,-1,0,1,2,4",
    controls: Annotated[
        str, typer.Option(help="Out of random, random-matched, dense.")
    ] = "random,random-matched,dense",
    seeds: Annotated[int, typer.Option(help="Random directions per control, averaged.")] = 3,
    tau: Annotated[float, typer.Option(min=0, max=1, help="For a vector that is built first.")] = 0.7,
    at: Annotated[float, typer.Option(help="With --all-behaviours: the strength of the summary.")] = 2.0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON, and a Markdown page of the same name beside it."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score held-out pairs at several strengths, against random directions of equal norm."""
    if [vector is not None, behaviour is not None, all_behaviours].count(True) != 1:
        raise BadInput("Give --vector FILE, --behaviour NAME or --all-behaviours, one of the three.")
    if all_behaviours != (out is not None):
        raise BadInput("--all-behaviours and --out FILE go together; with one vector, redirect --json.")
    asked = plan(numbers(scales), [name.strip() for name in controls.split(",") if name.strip()], seeds)
    if out is not None:
        if pairs is not None:
            raise BadInput("--all-behaviours scores each contrast's own held-out pairs; leave --pairs out.")
        document.reference(asked.scales, at)
        _make_room(out, force=force)
        with quiet():
            _measure_all(loading.engine(), asked, tau, at, out)
        return note(f"The results are in {out} and {out.with_suffix('.md')}.")
    given = read_vector(vector) if vector is not None else None
    contrast = load_behaviour(behaviour) if behaviour is not None else None
    heldout = _heldout(given, contrast, pairs)
    with quiet():
        engine = loading.engine()
        file = given or _built(engine, contrast, tau)
        report = _measured(engine, file, heldout, asked)
    if as_json:
        return show_json({**vector_facts(engine, file), **document.values(report, per_pair=True)})
    return show(_table(report), plain(_verdict(report)))


def numbers(text: str) -> tuple[float, ...]:
    """The strengths of an option. Raises BadInput for what is no list of numbers."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise BadInput(f"--scales {text!r} is not a list of numbers like -2,-1,0,1,2.") from None


def _make_room(out: Path, *, force: bool) -> None:
    if out.suffix == ".md":
        raise BadInput(f"{out} is the name the page would get; give --out a name that ends with .json.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out.parent} cannot be made: {error.strerror}. Choose another place.") from error
    for path in (out, out.with_suffix(".md")):
        check_writable(path, force=force)


def _heldout(file: VectorFile | None, contrast: Behaviour | None, path: Path | None) -> PairSet:
    """The pairs to score: those given, else those that were kept back when the contrast was written."""
    if path is not None:
        parsed = read_pairs(path)
        for problem in parsed.problems:
            note(f"{problem.severity.capitalize()}: {problem.message}")
        if parsed.pairs.sha256 == _built_from(file, contrast):
            note("Warning: the vector was built from these very pairs, so the result says little.")
        return parsed.pairs
    if contrast is None and file is not None and file.pairs and file.pairs.name in behaviour_names():
        contrast = load_behaviour(file.pairs.name)
    if contrast is None:
        raise BadInput("This vector was not built from a shipped contrast; give held-out pairs with --pairs.")
    return contrast.heldout


def _built_from(file: VectorFile | None, contrast: Behaviour | None) -> str | None:
    """The hash of the pairs behind the vector, where it is known."""
    if contrast is not None:
        return contrast.train.sha256
    return file.pairs.sha256 if file and file.pairs else None


def _built(engine: "Engine", contrast: Behaviour, tau: float) -> VectorFile:
    from sas_core.contrast.choice import begin_with
    from sas_core.contrast.collect import Progress
    from sas_core.contrast.ranking import rank
    from sas_core.vectors.build import sas_vector_file

    position = resolve_position("auto", contrast.form)
    events = rank(engine, contrast.train, position)
    ranking = finish(events, Progress, f"{contrast.name}: reading the pairs")
    choice = replace(begin_with(contrast.form), tau=tau)
    return sas_vector_file(engine, contrast.name, ranking, choice, verify=False)


def _measured(engine: "Engine", file: VectorFile, heldout: PairSet, asked: Plan) -> MarginReport:
    from sas_core.evaluation.margin import Progress, evaluate_margin

    events = evaluate_margin(engine, file, heldout, asked.scales, controls=asked.controls, seeds=asked.seeds)
    return finish(events, Progress, f"{file.name}: scoring held-out pairs")


def _measure_all(engine: "Engine", asked: Plan, tau: float, at: float, out: Path) -> None:
    """Every shipped behaviour; both files are written anew after each, so a stop loses one at most."""
    reports: dict[str, MarginReport] = {}
    vectors: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name in behaviour_names():
        contrast = load_behaviour(name)
        try:
            file = _built(engine, contrast, tau)
        except BadInput as error:
            left_out[name] = str(error)
            note(f"{name} is left out. {error}")
            continue
        vectors[name] = vector_facts(engine, file)
        reports[name] = _measured(engine, file, contrast.heldout, asked)
        found = {n: {**vectors[n], **document.values(r)} for n, r in reports.items()}
        write_file(out, document.dump({"tau": tau, "behaviours": found, "left_out": left_out}))
        page = document.markdown(_heading(engine, vectors[name], reports, left_out), reports, at=at)
        write_file(out.with_suffix(".md"), page)
    if not reports:
        raise BadInput(f"No shipped contrast gives a vector at tau {tau:g} with this SAE; lower --tau.")


def vector_facts(engine: "Engine", file: VectorFile) -> dict[str, Any]:
    """What was measured on what, ready for JSON."""
    placed = engine.placement
    return {
        "model": file.model.name,
        "sae": {"name": _sae_name(file), **file.sae.model_dump(include={"hook_name", "d_sae", "sha256"})},
        "device": placed.device,
        "dtype": placed.dtype,
        "tau": file.tau,
        "position": file.position,
        "latents": len(file.features),
        "nonlinearity": file.nonlinearity,
        "steered_tokens": file.steered_tokens,
        "versions": dict(file.versions),
    }


def _sae_name(file: VectorFile) -> str | None:
    sae = file.sae
    return f"{sae.release} / {sae.sae_id}" if sae.release else sae.path


def _heading(
    engine: "Engine", facts: dict[str, Any], reports: dict[str, MarginReport], left_out: dict[str, str]
) -> dict[str, str]:
    sae, report = facts["sae"], next(iter(reports.values()))
    lines = {
        "model": f"{facts['model']}, {facts['dtype']} on {facts['device']}",
        "SAE": f"{sae['name']}, {sae['d_sae']:,} latents at {sae['hook_name']}, sha256 {sae['sha256'][:12]}",
        "vectors": f"tau {facts['tau']:g}, {facts['nonlinearity']}",
        "steered tokens": facts["steered_tokens"],
        "random controls": f"{report.seeds} directions each, averaged",
        "price": f"over {report.neutral_texts} neutral texts",
    }
    if left_out:
        lines["left out"] = "; ".join(f"{name} ({reason})" for name, reason in left_out.items())
    return lines


def _table(report: MarginReport) -> Any:
    controls = [curve.name for curve in report.curves[1:]]
    rows = [
        (
            f"{cell.scale:+g}", f"{cell.margin:+.3f}", document.change_text(cell),
            document.right_way_text(cell),
            *(document.control_text(report, control, cell.scale) for control in controls),
            f"{cell.share:.2f}", f"{cell.price:+.3f}", document.stands_text(report, cell.scale),
        )
        for cell in report.curves[0].cells
    ]  # fmt: skip
    short = [name.removeprefix("random-") for name in controls]
    columns = ("lambda", "margin", "change [95 %]", "right way", *short, "added norm", "price", "stands")
    return table(columns, rows, right=columns[:-1])


def _verdict(report: MarginReport) -> str:
    stands = [f"{scale:+g}" for scale in report.scales if report.holds(scale)]
    problems = [f"Lambda {c.scale:+g}: {c.problem}" for c in report.curves[0].cells if c.problem]
    where = f"stands at lambda {', '.join(stands)}" if stands else "stands at no lambda"
    return "\n".join(
        [
            f"{report.vector}, {report.count} pairs of {report.pairs!r}, {report.unit}: {where}.",
            "It stands where the change and the lead over every random control have 95 % intervals on the "
            "right side of 0. Price: nats per token by which neutral text became less likely.",
            *problems,
        ]
    )
