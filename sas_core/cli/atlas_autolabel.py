"""`atlas autolabel`: make the automatic labels of an atlas again, from its file alone. Knows no model."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.table import Table

from sas_core.atlas.autolabel import summary
from sas_core.atlas.autolabel.make import relabel
from sas_core.atlas.readers import Readers
from sas_core.cli.atlas_open import AtlasPath, found
from sas_core.cli.common import AsJson
from sas_core.cli.output import show, show_json, show_steps, table


def autolabel(cache: AtlasPath = None, as_json: AsJson = False) -> None:
    """Label every latent of an atlas by rules that are tested on contexts they were not made from.

    `atlas build` does this at its end; here for an atlas of an older release, or one too wide for that. Your
    own labels are not touched.
    """
    path = found(cache)
    show_steps(_told(path))
    facts = document(path)
    return show_json(facts) if as_json else show(_table(facts))


def document(path: Path) -> dict[str, Any]:
    """How many labels of each kind an atlas holds, and the median confidence of the clear ones."""
    with closing(Readers(path)) as readers, readers.reading() as connection:
        return summary.of(connection)


def _told(path: Path) -> Iterator[tuple[str, float]]:
    with closing(relabel(path)) as shares:
        for share in shares:
            yield f"Labelling: {share:.0%}", share


def _table(facts: dict[str, Any]) -> Table:
    kinds = [(kind, f"{count:,}") for kind, count in facts["kinds"].items()]
    middle = facts["median_confidence"]
    rows = [*kinds, ("median confidence", "" if middle is None else f"{middle:.2f}")]
    return table(("labels", "number"), rows, right=("number",))
