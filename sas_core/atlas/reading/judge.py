"""Random latents of an atlas, judged: do the contexts of one mean one thing to a second reader?

Detection scoring by examples, as delphi's `example_embedding` (Paulo et al., arXiv 2410.13928), without a
language model that writes: from half of a latent's strongest contexts a judge learns what to look for, and is
asked to tell the other half from as many places where the latent is silent and another peaks.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import numpy as np

from sas_core.atlas.outputs import input_score, output_score
from sas_core.atlas.reading.directions import direction_tasks
from sas_core.atlas.reading.draw import Drawn
from sas_core.atlas.reading.embedding import EmbeddingJudge, judge_hook, own_directions, read_places
from sas_core.atlas.reading.places import Task
from sas_core.atlas.reading.report import Judged, LatentJudged, Reading, Report, Step, told
from sas_core.atlas.reading.words import WordJudge
from sas_core.atlas.store import Atlas
from sas_core.errors import NoEffect
from sas_core.steering.engine import Engine


def judge_latents(engine: Engine, atlas: Atlas, drawn: Drawn, seed: int) -> Iterator[Step | Report]:
    """Steps, then the report of the latents that were drawn. Others get their turn at the model in between.

    Raises Mismatch for an atlas of another model or SAE, BadInput for a model of one block, QueueFull.
    """
    atlas.check(engine)
    hook_name = judge_hook(engine)
    latents = [task.latent for task in drawn.tasks if task.latent is not None]
    density = atlas.densities()
    followed = yield from _last(
        direction_tasks(engine, drawn, density[latents].tolist(), atlas.made_of.top_k, seed)
    )
    groups = (drawn.tasks, drawn.nobody, tuple(each.task for each in followed))
    places = list(dict.fromkeys(place for group in groups for task in group for place in task.places))
    held = yield from _last(read_places(engine, hook_name, drawn.windows, places))
    usual = [place for task in drawn.tasks for place in task.top_against + task.sampled_against]
    judges = _Judges(EmbeddingJudge(held, usual), WordJudge(drawn.windows, places))
    taken_out = engine.dictionary.identity.d_in == engine.model.cfg.d_model
    own = (own_directions(engine, latents), [None] * len(drawn.nobody), [each.own for each in followed])
    judged = [
        tuple(judges.of(task, mine if taken_out else None) for task, mine in zip(group, theirs, strict=True))
        for group, theirs in zip(groups, own, strict=True)
    ]
    outputs, remarks = _outputs(engine, latents)
    yield Report(
        hook_name, taken_out,
        tuple(
            LatentJudged(i, float(density[i]), len(task.learn), each, _input(atlas, i), outputs.get(i))
            for i, task, each in zip(latents, drawn.tasks, judged[0], strict=True)
        ),
        judged[1], judged[2], remarks,
    )  # fmt: skip


class _Judges:
    def __init__(self, embedding: EmbeddingJudge, words: WordJudge) -> None:
        self._embedding, self._words = embedding, words

    def of(self, task: Task, own: np.ndarray | None) -> Judged:
        """Both on one task."""
        asked = task.places[len(task.learn) :]
        return Judged(
            _reading(task, self._embedding.likeness(task, asked, own)),
            _reading(task, self._words.likeness(task, asked)),
        )


def _reading(task: Task, likeness: np.ndarray) -> Reading:
    """`likeness` is of top, sampled, top against and sampled against, one after the other."""
    top, fires = len(task.top), len(task.top) + len(task.sampled)
    high, low = likeness[:fires], likeness[fires:]
    return Reading(told(high[:top], low[:top]), told(high, low))


def _input(atlas: Atlas, latent: int) -> float | None:
    return input_score(atlas.latent(latent), atlas.contexts(latent))


def _outputs(engine: Engine, latents: Sequence[int]) -> tuple[dict[int, float], tuple[str, ...]]:
    try:
        return {each.latent: each.score for each in output_score(engine, latents)}, ()
    except NoEffect as error:
        return {}, (str(error),)


def _last(events: Iterator[Any]) -> Generator[Step, None, Any]:
    """Pass the steps on and return what comes after them."""
    found = None
    for event in events:
        if isinstance(event, Step):
            yield event
        else:
            found = event
    return found
