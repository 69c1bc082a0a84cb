"""The anatomy of vectors as a document: plain values, null for what is not known or not defined."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sas_core.evaluation.anatomy.measures import Meeting, Sparsity
    from sas_core.evaluation.anatomy.pairs import Anatomy, PairsRead


def anatomy_document(found: "Sequence[Anatomy]", met: "Sequence[Meeting]") -> dict[str, Any]:
    """What `evaluate anatomy --json` prints."""
    return {"vectors": [_vector(one) for one in found], "overlaps": [asdict(meeting) for meeting in met]}


def _vector(found: "Anatomy") -> dict[str, Any]:
    vector = found.vector
    return {
        "vector": vector.name,
        "sae": vector.sae.model_dump(include={"hook_name", "d_in", "d_sae", "sha256"}),
        "tau": vector.tau,
        **_sparsity(found.sparsity),
        "pairs": found.read and _pairs(found.read),
        "by_tau": [{"tau": at.tau, **_sparsity(at.sparsity)} for at in found.by_tau],
        "dense": found.dense and asdict(found.dense),
    }


def _sparsity(found: "Sparsity") -> dict[str, Any]:
    return {"nonzero": found.nonzero, **asdict(found)}


def _pairs(read: "PairsRead") -> dict[str, Any]:
    pairs, position = read.ranking.pairs, read.ranking.position
    return {"name": pairs.name, "count": len(pairs), "sha256": pairs.sha256, "position": position}
