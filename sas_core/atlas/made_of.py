"""What an atlas is made of: model, SAE, corpus, policies, versions. Checked whenever one is opened."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlite_utils.db import Database

from sas_core.errors import BadInput, Mismatch

if TYPE_CHECKING:
    from sas_core.steering.engine import Engine

EDGES: tuple[float, ...] = tuple(float(2.0 ** (i / 2)) for i in range(-20, 27))
"""Bins of the histograms: two an octave from 2^-10 to 2^13; the first and the last bin are open."""

RARE, DENSE = 1e-4, 1e-1
"""Limits of the density classes, in shares of the tokens counted."""

DEDUPE_TOKENS = 8


@dataclass(frozen=True)
class MadeOf:
    """The request (what a resumed build must share) and, below `tokens_seen`, what came of it."""

    model: str
    revision: str | None
    dtype: str
    template_sha256: str | None
    sae_sha256: str
    sae_name: str
    hook_name: str
    d_sae: int
    neuronpedia_id: str | None
    corpus: str
    corpus_sha256: str
    text_field: str | None
    limit_tokens: int | None
    window: int
    top_k: int
    seed: int
    dedupe: str = (
        f"of contexts that share the {DEDUPE_TOKENS} tokens ending in the peak, the strongest is kept"
    )
    excluded: str = (
        "special tokens, the chat template's default preamble and attention sinks are never counted"
    )
    edges: tuple[float, ...] = EDGES
    tokens_seen: int = 0
    """Tokens counted; the denominator of every density."""
    tokens_read: int = 0
    special_excluded: int = 0
    sinks_excluded: int = 0
    documents: int = 0
    documents_empty: int = 0
    windows: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    started: str = ""
    finished: str | None = None

    def request(self) -> dict[str, Any]:
        """The facts that decide the content: two builds that share them end the same."""
        names = [f.name for f in fields(self)]
        asked = names[: names.index("tokens_seen")]
        return {name: getattr(self, name) for name in asked}

    def density_class(self, fired: int) -> str:
        """dead (never fired), rare, normal or dense, by the share of tokens at which a latent fires."""
        if fired == 0:
            return "dead"
        share = fired / max(self.tokens_seen, 1)
        return "rare" if share < RARE else "dense" if share > DENSE else "normal"

    def check(self, engine: "Engine") -> None:
        """Raise Mismatch, naming the difference, unless the atlas describes this engine's latents."""
        identity = engine.dictionary.identity
        for what, ours, loaded in (
            ("model", self.model, engine.name),
            ("hook point", self.hook_name, identity.hook_name),
            ("number of latents", self.d_sae, identity.d_sae),
            ("SAE (hash of its weights)", self.sae_sha256[:12], identity.sha256[:12]),
        ):
            if ours != loaded:
                raise Mismatch(
                    f"This atlas is of another {what}: {ours}, but loaded is {loaded}. Load what it belongs "
                    "to, or build an atlas for what is loaded."
                )


def read(db: Database) -> MadeOf:
    """Raises BadInput when the file does not say what it is made of."""
    known = {f.name for f in fields(MadeOf)}
    rows = {row["key"]: json.loads(row["value"]) for row in db.table("made_of").rows if row["key"] in known}
    try:
        made = MadeOf(**{**rows, "edges": tuple(rows.get("edges", EDGES))})
    except TypeError as error:
        raise BadInput("This file does not say what it is made of, so it is no atlas of ours.") from error
    return made


def write(db: Database, made: MadeOf) -> None:
    """Put every fact in its row; the caller holds the transaction."""
    for name, value in asdict(made).items():
        db.execute("INSERT OR REPLACE INTO made_of VALUES (?, ?)", [name, json.dumps(value)])


def bins_of(values: np.ndarray) -> np.ndarray:
    """The histogram bin of each activation (the slow, plain form; the builder's runs on its device)."""
    return np.clip(np.searchsorted(np.asarray(EDGES), values, side="right") - 1, 0, len(EDGES) - 2)
