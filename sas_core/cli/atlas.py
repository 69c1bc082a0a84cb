"""`atlas`: build the feature atlas of a model and its SAE, read it, search it, label it.

Here are the command group and `build`; the other commands have modules of their own.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sas_core.atlas.store import read_made_of
from sas_core.cli import atlas_autolabel, atlas_card, atlas_info, atlas_labels, atlas_score, atlas_search
from sas_core.cli.common import STOPPED, AsJson, Loading, placed, takes_engine
from sas_core.cli.files import check_writable
from sas_core.cli.output import note, quiet, show, show_json, show_steps
from sas_core.cli.stopping import Stopping
from sas_core.errors import BadInput
from sas_core.model.rows import read_rows

if TYPE_CHECKING:
    from sas_core.atlas.build import BuildSpec, Progress

app = typer.Typer(help="What each latent means: build, read and search an atlas.", rich_markup_mode=None)


@app.command("build")
@takes_engine
def build(
    loading: Loading,
    corpus: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Text to read: .jsonl, .txt, .csv, .parquet (.gz, .zst) or a hub data set."
        ),
    ],
    cache: Annotated[Path, typer.Option(metavar="PATH", help="Where the atlas is written.")],
    limit_tokens: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many tokens.", show_default="all")
    ] = None,
    top_k: Annotated[
        int, typer.Option(help="Contexts kept of each latent: the strongest, and as many sampled.")
    ] = 20,
    window: Annotated[int, typer.Option(help="Tokens the model reads at once.")] = 128,
    field: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Field to read.", show_default="messages, text, prompt or content"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sampled contexts.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a build that was stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a corpus once and write what every latent does in it to one file.

    Ctrl-C stops it after the batch it is at; the same command with --resume goes on from there and ends with
    the same content.
    """
    _check_place(cache, resume)
    with quiet(), Stopping() as stop:
        from sas_core.atlas import build as atlas

        spec = atlas.BuildSpec(corpus, field, limit_tokens, window, top_k, seed)
        _check_corpus(spec)
        engine = loading.engine()
        stop.patient = True
        last = _finished(atlas.build(engine, spec, cache, resume=resume), stop, cache)
    facts = atlas_info.document(cache)
    if as_json:
        show_json(facts)
    else:
        show(atlas_info.summary(facts))
    note(f"Read {last.rate:,.0f} tokens a second. {placed(engine)}")


def _check_place(path: Path, resume: bool) -> None:
    """Raise BadInput for what `build` would refuse to write to, before a model is loaded."""
    check_writable(path, force=True)
    try:
        made = read_made_of(path)
    except BadInput:
        # not there yet, or nothing that says what it is: `build` decides
        return
    if made.finished:
        raise BadInput(f"{path} is a finished atlas; choose another file, or delete it first.")
    if made.tokens_seen and not resume:
        raise BadInput(
            f"{path} is an unfinished atlas ({made.tokens_read:,} tokens read); go on with --resume, or "
            "delete it to start again."
        )


def _check_corpus(spec: "BuildSpec") -> None:
    """Raise BadInput or Unavailable for a corpus that has no first row, before a model is loaded."""
    with closing(read_rows(spec.corpus, spec.text_field)) as rows:
        if next(rows, None) is None:
            raise BadInput(f"{spec.corpus} holds no text; give a corpus with some.")


def _finished(run: "Generator[Progress, None, None]", stop: Stopping, path: Path) -> "Progress":
    """The last progress of a build that came to its end; a stopped one leaves with STOPPED."""
    seen: list[Progress] = []

    def told() -> Iterator[tuple[str, float]]:
        with closing(run):
            for at in run:
                seen[:] = [at]
                yield at.sentence, at.share or 0.0
                if stop.asked:
                    raise KeyboardInterrupt

    try:
        show_steps(told())
    except KeyboardInterrupt:
        kept = f"{path} keeps what is done; the same command with --resume goes on from there."
        note(f"Stopped. {kept}" if path.exists() else "Stopped before anything was kept.")
        raise typer.Exit(STOPPED) from None
    return seen[0]


app.command("show")(atlas_card.show_latent)
app.command("search")(atlas_search.search)
app.command("score")(atlas_score.score)
app.command("info")(atlas_info.info)
app.command("autolabel")(atlas_autolabel.autolabel)
app.command("label")(atlas_labels.label)
app.add_typer(atlas_labels.app, name="labels")
