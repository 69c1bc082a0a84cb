"""`evaluate run` and `evaluate report`: a declared sweep, run to the end or gone on with, and its files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sas_core.cli.common import STOPPED, AsJson, Loading, takes_engine
from sas_core.cli.lanes import densities
from sas_core.cli.output import note, plain, quiet, show, show_json, show_steps, table
from sas_core.cli.terms import find_vector
from sas_core.errors import BadInput
from sas_core.evaluation.sweep.cells import check_size
from sas_core.evaluation.sweep.spec import SweepSpec, read_spec

if TYPE_CHECKING:
    from sas_core.evaluation.sweep.outcome import SweepResult
    from sas_core.steering.engine import Engine


@takes_engine
def run(
    loading: Loading,
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="A sweep as YAML; docs/evaluation.md has all.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results; made if missing.")],
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Other than SPEC says: axes.tau=[0.5,0.7]."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep and write its results, tables and report. Ctrl-C stops it; the same command goes on."""
    asked = read_spec(spec, change or ())
    check_size(asked)
    _make_room(out)
    with quiet():
        from sas_core.evaluation.sweep.book import SweepBook
        from sas_core.evaluation.sweep.files import write_files
        from sas_core.evaluation.sweep.material import material_of

        material = material_of(asked, find_vector, spec.parent)
        engine = loading.engine()
        book = SweepBook()
        try:
            key = _followed(engine, asked, material, book)
        except KeyboardInterrupt:
            note("Stopped. What is measured is kept; repeat the command to go on from there.")
            raise typer.Exit(STOPPED) from None
        result = book.result(key)
        write_files(out, book, result)
    if as_json:
        return show_json(json.loads((out / "result.json").read_text(encoding="utf-8")))
    return show(_table(result), plain(_words(result, out)))


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `evaluate run` wrote.")],
) -> None:
    """Make report.html of a folder of results again."""
    with quiet():
        from sas_core.evaluation.sweep.files import read_files, write_report

        write_report(folder, *read_files(folder))
    print(folder / "report.html")


def _make_room(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out} cannot be made: {error.strerror}. Choose another --out.") from error


def _followed(engine: "Engine", spec: SweepSpec, material: Any, book: Any) -> str:
    from sas_core.evaluation.sweep.run import run_sweep, sweep_key

    def steps() -> Any:
        counted = densities(engine) if "random-latents" in spec.controls else None
        events = run_sweep(
            engine, spec, material, book, densities=counted, load=lambda name: _other(engine, name)
        )
        for at in events:
            yield f"{spec.name}: {at.doing} ({at.done} of {at.total})", at.done / max(at.total, 1)

    show_steps(steps())
    return sweep_key(engine, spec, material)


def _other(engine: "Engine", name: str) -> "Engine":
    from sas_core.model.dictionary import load_local, load_release

    device = engine.placement.device
    if Path(name).is_dir():
        return engine.with_dictionary(load_local(name, device))
    release, slash, sae_id = name.partition("/")
    if not slash:
        raise BadInput(f"axes.sae: {name!r} is neither a folder nor RELEASE/SAE_ID of sae-lens's registry.")
    return engine.with_dictionary(load_release(release, sae_id, device))


def _table(result: "SweepResult") -> Any:
    from sas_core.evaluation.plots.words import arm_title, change_text, figure_title, setting_text
    from sas_core.evaluation.sweep.cells import varied

    axes = [name for name in varied(result.spec) if name != "scale"]
    rows = [
        (figure_title(c.figure), arm_title(c.arm), setting_text(c.setting, axes), f"{c.scale:+g}",
         change_text(c.dev), change_text(c.test))
        for c in result.chosen
    ]  # fmt: skip
    columns = ("figure", "arm", "setting", "lambda", "change, dev [95 %]", "change, test [95 %]")
    return table(columns, rows, right=columns[3:])


def _words(result: "SweepResult", out: Path) -> str:
    from sas_core.evaluation.sweep.report.story import findings

    return "\n".join([*findings(result), *(f"Not run: {n}" for n in result.notes), f"Results are in {out}."])
