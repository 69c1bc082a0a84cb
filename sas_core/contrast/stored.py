"""The ranking of a contrast whose every text is stored already: instant, and never touches the model."""

from contextlib import closing

from sas_core.contrast.lint import usable
from sas_core.contrast.pairs import PairSet
from sas_core.contrast.positions import Position
from sas_core.contrast.ranking import Ranking, rank
from sas_core.errors import QueueFull
from sas_core.steering.engine import Engine


def stored_ranking(
    engine: Engine,
    pairs: PairSet,
    position: Position,
    *,
    heldout: PairSet | None = None,
    chat: bool | None = None,
) -> Ranking | None:
    """The ranking if the code store holds all of it, else None. Raises BadInput as `rank` does."""
    # `rank` says first, for each set, how much of it is stored; only then does it ask for the model
    known = [2 * len(usable(pairs))]
    if heldout is not None:
        known.append(known[0] + 2 * len(heldout))
    try:
        with closing(rank(engine, pairs, position, heldout=heldout, chat=chat)) as events:
            for event in events:
                if isinstance(event, Ranking):
                    return event
                if event.done < known.pop(0):
                    return None
    except QueueFull:
        return None
    return None
