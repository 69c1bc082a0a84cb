"""Which atlas a reading command means, opened with the labels of its user. Knows no torch and no model."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sas_core.atlas.find import shipped_atlas
from sas_core.atlas.labels import LabelBook
from sas_core.atlas.store import Atlas
from sas_core.errors import BadInput

AtlasPath = Annotated[
    Path | None,
    typer.Option("--cache", metavar="PATH", help="The atlas's file.", show_default="the demo's"),
]
Index = Annotated[int, typer.Argument(metavar="INDEX", help="Number of the latent.")]


@contextmanager
def opened(cache: Path | None) -> Iterator[tuple[Atlas, LabelBook]]:
    """The atlas of `--cache`, else the demo's, and the labels. Raises BadInput, Unavailable."""
    with closing(LabelBook()) as labels, closing(Atlas.open(found(cache), labels)) as atlas:
        yield atlas, labels


def found(cache: Path | None) -> Path:
    """The file `--cache` names, else the demo's. Raises BadInput where that is not shipped, Unavailable."""
    path = cache or shipped_atlas()
    if path is None:
        raise BadInput("This copy comes without an atlas; build one with `atlas build` and name it: --cache.")
    return path
