"""What a vector should be called and how strongly it should start, before anyone has said so."""

from sas_core.contrast.choice import Choice
from sas_core.contrast.select import SasVector
from sas_core.steering.engine import Engine
from sas_core.steering.spec import Steering, Term

GOOD_SHARE = 0.3
WEAKEST, STRONGEST = 0.5, 8.0


def propose_strength(engine: Engine, vector: SasVector) -> float:
    """The strength at which the vector adds about GOOD_SHARE of a typical residual norm, within limits."""
    term = Term("vector", tuple(vector.indices.tolist()), tuple(vector.values.tolist()))
    share = engine.added_share(Steering((term,), 1.0))
    return strength_for(share)


def strength_for(share: float) -> float:
    """The strength that turns `share` (of the residual norm, at strength 1) into about GOOD_SHARE."""
    if share <= 0:
        return 1.0
    return max(WEAKEST, min(STRONGEST, round(GOOD_SHARE / share, 1)))


def propose_name(title: str, choice: Choice) -> str:
    """A name that says what was contrasted and which switches were not at their defaults."""
    # a file may be called anything, and a name is one line without control characters
    clean = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    parts = [clean[:40].strip() or "pairs", f"tau {choice.tau:.2f}"]
    if choice.sides != "both":
        parts.append("v+" if choice.sides == "positive" else "v-")
    if choice.top_k is not None:
        parts.append(f"top {choice.top_k}")
    if not choice.drop_shared:
        parts.append("with shared")
    return " ".join(parts)
