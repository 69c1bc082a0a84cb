"""Building an atlas: one pass over a corpus, committed as it goes, stopped and resumed at any block.

The engine's turn is held for one batch at a time, so that generations run between two batches.
"""

import itertools
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlite_utils.db import Database

from sas_core.atlas import state
from sas_core.atlas.begin import begin, opened
from sas_core.atlas.finish import finish
from sas_core.atlas.firing import read_batch
from sas_core.atlas.made_of import MadeOf
from sas_core.atlas.recorder import Recorder
from sas_core.atlas.windows import BLOCK, WindowReader, batches
from sas_core.errors import BadInput, QueueFull
from sas_core.model.rows import SourceFacts, describe, read_rows
from sas_core.model.versions import library_versions
from sas_core.steering.engine import Engine

_BATCH_TOKENS = {"cpu": 2_048, "cuda": 16_384}
_SECONDS_BETWEEN_COMMITS = 15.0
# a wide SAE's state takes seconds to write: at most a twentieth of the time goes there
_TIMES_A_COMMIT = 20
_LEAST_WINDOW, _LARGEST_WINDOW, _LARGEST_TOP_K = 8, 4_096, 200


@dataclass(frozen=True)
class BuildSpec:
    """What to read and how much to keep: `top_k` contexts by maximum and as many sampled ones a latent.

    `corpus` is a file (`model.rows`) or a hub data set; `window` and `limit_tokens` count tokens.
    """

    corpus: str
    text_field: str | None = None
    limit_tokens: int | None = None
    window: int = 128
    top_k: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for what, value, low, high in (
            ("window", self.window, _LEAST_WINDOW, _LARGEST_WINDOW),
            ("number of contexts", self.top_k, 1, _LARGEST_TOP_K),
            ("token limit", 1 if self.limit_tokens is None else self.limit_tokens, 1, None),
            ("seed", self.seed, 0, 2**20),
        ):
            if value < low or (high is not None and value > high):
                most = f" to {high:,}" if high is not None else " or more"
                raise BadInput(f"The {what} {value:,} is out of range; choose {low:,}{most}.")


@dataclass(frozen=True)
class Progress:
    """`share` is of the stage, None where the corpus's size is unknown; `rate` is in tokens a second."""

    stage: Literal["reading", "finishing"]
    tokens: int
    share: float | None
    rate: float
    remaining_s: float | None

    @property
    def sentence(self) -> str:
        if self.stage == "finishing":
            return f"Read {self.tokens:,} tokens; writing the tables: {self.share or 0:.0%}"
        left = "" if self.remaining_s is None else f"; about {_duration(self.remaining_s)} left"
        return f"Read {self.tokens:,} tokens, {self.rate:,.0f} a second{left}"


def build(
    engine: Engine, spec: BuildSpec, path: Path, *, resume: bool = False, session: str = "atlas"
) -> Generator[Progress, None, None]:
    """Build the atlas `path`, yielding progress; closing the generator commits what is done and stops.

    With `resume` a stopped (or killed) build goes on; it ends with the same content as an uninterrupted one.
    Raises BadInput (nothing to read, a window the model cannot hold, what `begin.begin` refuses), Unavailable
    (the hub, the disk).
    """
    _check_window(engine, spec)
    facts = describe(spec.corpus, spec.text_field)
    with opened(path) as db:
        made = begin(db, _asked(engine, spec, facts), path, resume)
        run = _Run(engine, spec, facts, db, made, session)
        try:
            yield from run.read()
        finally:
            run.commit()
        for share in finish(db, engine, run.made, run.recorder):
            yield run.finishing(share)


class _Run:
    """One process's share of a build."""

    def __init__(
        self, engine: Engine, spec: BuildSpec, facts: SourceFacts, db: Database, made: MadeOf, session: str
    ) -> None:
        self.made = made
        self._engine, self._spec, self._facts, self._db, self._session = engine, spec, facts, db, session
        arrays = state.load(db)
        size = (engine.dictionary.identity.d_sae, spec.top_k, spec.seed)
        self.recorder = Recorder.restore(*size, arrays) if arrays else Recorder(*size)
        self._reader = WindowReader(
            read_rows(spec.corpus, spec.text_field), engine.turns.tokenizer, spec.window,
            field=spec.text_field, bos=_bos(engine), limit_tokens=spec.limit_tokens,
        )  # fmt: skip
        self._began, self._tokens_before = time.monotonic(), self.recorder.counts.tokens_read
        self._committed, self._commit_took = self._began, 0.0
        self._whole = True

    def read(self) -> Iterator[Progress]:
        """Read to the end of the corpus, a block at a time. Raises BadInput when nothing can be counted."""
        device = self._engine.placement.device.partition(":")[0]
        windows = itertools.islice(self._reader, self.recorder.counts.windows, None)
        while block := list(itertools.islice(windows, BLOCK)):
            self._whole = False
            for batch in batches(block, _BATCH_TOKENS.get(device, _BATCH_TOKENS["cpu"])):
                with self.turn():
                    fired, sinks = read_batch(self._engine, batch)
                self.recorder.add(batch, fired, sinks)
            self.recorder.end_block()
            self._whole = True
            if self._due():
                self.commit()
            yield self.progress()
        if not self.recorder.counts.tokens_seen:
            raise BadInput(f"{self._spec.corpus} holds no text that can be counted; give one that does.")

    def commit(self) -> None:
        """Save the state between two blocks; inside one (an error, Ctrl-C) the last saved state stays."""
        if not self._whole:
            return
        began = time.monotonic()
        counts = self.recorder.counts
        self.made = replace(
            self.made, tokens_seen=counts.tokens_seen, tokens_read=counts.tokens_read, windows=counts.windows,
            special_excluded=counts.special_excluded, sinks_excluded=counts.sinks_excluded,
            documents=self._reader.documents, documents_empty=self._reader.empty,
        )  # fmt: skip
        state.save(self._db, self.made, self.recorder.arrays())
        self._committed = time.monotonic()
        self._commit_took = self._committed - began

    def _due(self) -> bool:
        pause = max(_SECONDS_BETWEEN_COMMITS, _TIMES_A_COMMIT * self._commit_took)
        return time.monotonic() - self._committed > pause

    def finishing(self, share: float) -> Progress:
        return Progress("finishing", self.recorder.counts.tokens_read, share, 0.0, None)

    def progress(self) -> Progress:
        tokens = self.recorder.counts.tokens_read
        rate = (tokens - self._tokens_before) / max(time.monotonic() - self._began, 1e-9)
        share = self._share(tokens)
        left = None
        if share and rate:
            left = tokens * (1 / share - 1) / rate
        return Progress("reading", tokens, share, rate, left)

    def _share(self, tokens: int) -> float | None:
        shares = []
        if self._spec.limit_tokens:
            shares.append(tokens / self._spec.limit_tokens)
        if self._facts.rows:
            shares.append(self._reader.documents / self._facts.rows)
        return min(1.0, max(shares)) if shares else None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the model; a full queue is waited for, since nobody sits before this."""
        while True:
            try:
                with self._engine.turn(self._session) as ticket:
                    while not ticket.wait(0.1):
                        pass
                    yield
                return
            except QueueFull:
                time.sleep(0.5)


def _check_window(engine: Engine, spec: BuildSpec) -> None:
    if spec.window > engine.model.cfg.n_ctx:
        raise BadInput(
            f"The window has {spec.window:,} tokens, but this model holds {engine.model.cfg.n_ctx:,}; choose "
            "a shorter window."
        )


def _asked(engine: Engine, spec: BuildSpec, facts: SourceFacts) -> MadeOf:
    sae = engine.dictionary.identity
    path_name = Path(sae.path).name if sae.path else ""
    return MadeOf(
        model=engine.name, revision=None, dtype=engine.placement.dtype,
        template_sha256=engine.turns.template_sha256, sae_sha256=sae.sha256,
        sae_name=f"{sae.release}/{sae.sae_id}" if sae.release else path_name, hook_name=sae.hook_name,
        d_sae=sae.d_sae, neuronpedia_id=sae.neuronpedia_id, corpus=facts.name, corpus_sha256=facts.sha256,
        text_field=spec.text_field, limit_tokens=spec.limit_tokens, window=spec.window, top_k=spec.top_k,
        seed=spec.seed, versions=library_versions(), started=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _bos(engine: Engine) -> int | None:
    """The token each window begins with, where the SAE was trained so."""
    return engine.turns.tokenizer.bos_token_id if engine.dictionary.prepend_bos else None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
