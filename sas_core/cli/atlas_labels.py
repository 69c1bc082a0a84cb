"""`atlas label` and `atlas labels`: the user's own words for latents, set, removed, taken along.

Labels belong to the SAE that an atlas describes and live in the data folder, not in the atlas.
"""

from pathlib import Path
from typing import Annotated

import typer

from sas_core.atlas.label_rows import line_of_automatic
from sas_core.cli.atlas_open import AtlasPath, Index, opened
from sas_core.cli.output import note
from sas_core.errors import BadInput

app = typer.Typer(help="Take labels from one machine to another.", rich_markup_mode=None)


def label(
    index: Index,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="What you call the latent.")] = None,
    cache: AtlasPath = None,
    remark: Annotated[
        str | None, typer.Option("--note", help="A longer note; without it an older note stays.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the label and its note.")] = False,
) -> None:
    """Give a latent a label of your own. A rebuild of the atlas does not lose it."""
    if remove and (text is not None or remark is not None):
        raise BadInput("--remove takes the label away; leave out TEXT and --note.")
    if text is None and not remove:
        raise BadInput("There is no label; give TEXT after the INDEX, or --remove to take a label away.")
    with opened(cache) as (atlas, labels):
        of = atlas.made_of.sae_sha256, atlas.latent(index).index
        if text is None:
            gone = labels.delete(*of)
            return note(f"Latent {index} has no label now." if gone else f"Latent {index} had no label.")
        before = labels.get(*of)
        kept = before.note if before and remark is None else remark or ""
        return note(f"Latent {index} is labelled {labels.put(*of, text, kept).label!r}.")


@app.command("export")
def export_labels(
    cache: AtlasPath = None,
    automatic: Annotated[
        bool, typer.Option("--automatic", help="The automatic labels instead of your own.")
    ] = False,
) -> None:
    """Print every label of the atlas's SAE as JSON Lines: yours, or with --automatic the atlas's.

    Automatic labels are no labels of yours, so `labels import` refuses them.
    """
    with opened(cache) as (atlas, labels):
        if automatic:
            for latent, label in atlas.every_auto_label():
                print(line_of_automatic(atlas.made_of.sae_sha256, latent, label), end="")
        else:
            print(labels.export(atlas.made_of.sae_sha256), end="")


@app.command("import")
def import_labels(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What `labels export` printed.")],
    cache: AtlasPath = None,
) -> None:
    """Take in exported labels, all or none. Of two labels of one latent the later stays."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as UTF-8 text ({error}). Check the path.") from error
    with opened(cache) as (atlas, labels):
        done = labels.import_(text, atlas.made_of.sae_sha256)
    note(
        f"Labels added: {done.added}, replaced: {done.replaced}, the same already: {done.same}, kept because "
        f"they are later than the file's: {done.kept}."
    )
