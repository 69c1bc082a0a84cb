"""The automatic labels of a whole atlas, from its file alone. Runs no model."""

from collections.abc import Generator, Iterator
from pathlib import Path

from sqlite_utils.db import Database

from sas_core.atlas.autolabel import table
from sas_core.atlas.autolabel.label import Labeller
from sas_core.atlas.autolabel.passages import Corpus, contexts_of
from sas_core.atlas.begin import opened
from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.migrations import MIGRATIONS
from sas_core.atlas.store import read_made_of
from sas_core.atlas.types import AutoLabel
from sas_core.errors import BadInput

AFFORDABLE = 65_536
"""Latents that a build labels by itself, in a few minutes; for more there is `atlas autolabel`."""

_BETWEEN_REPORTS = 256


def affordable(made: MadeOf) -> bool:
    """Whether labelling all latents is a matter of minutes."""
    return made.d_sae <= AFFORDABLE


def label_all(db: Database, made: MadeOf) -> Iterator[float]:
    """Make the label of every live latent and replace what the file holds, yielding the share that is done.

    The same file gives the same labels. The caller holds the transaction.
    """
    corpus = Corpus(db.conn, made.seed, made.documents)
    labeller = Labeller(corpus.features)
    labels: list[tuple[int, AutoLabel]] = []
    table.clear(db.conn)
    for contexts in contexts_of(db.conn, made.d_sae):
        if contexts.latent % _BETWEEN_REPORTS == 0:
            table.write(db.conn, labels)
            labels.clear()
            yield contexts.latent / made.d_sae
        if len(contexts.windows):
            labels.append((contexts.latent, labeller.label(*corpus.of(contexts))))
    table.write(db.conn, labels)


def relabel(path: Path) -> Generator[float, None, None]:
    """Label the finished atlas `path` again, one of an older release too, yielding the share that is done.

    All or nothing: a kill, or closing the generator, leaves the labels that were there. Raises BadInput for
    an unfinished atlas and as `read_made_of`, Unavailable when the file cannot be written to.
    """
    made = read_made_of(path)
    if made.finished is None:
        raise BadInput(f"The atlas {path} is not finished; its build labels it at the end. Resume that.")
    with opened(path) as db:
        MIGRATIONS.apply(db)
        with db.atomic():
            yield from label_all(db, made)
