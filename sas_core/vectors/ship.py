"""Rebuild the vectors that ship with the demo: `python -m sas_core.vectors.ship`, after a new dictionary."""

import sys
from collections.abc import Sequence
from pathlib import Path

from sas_core.contrast.choice import begin_with
from sas_core.contrast.positions import resolve_position
from sas_core.contrast.ranking import Ranking, rank
from sas_core.contrast.shipped import behaviour_names, load_behaviour
from sas_core.model.presets import get_preset, load_engine
from sas_core.paths import PACKAGE
from sas_core.steering.engine import Engine
from sas_core.steering.spec import Steering
from sas_core.vectors.build import sas_vector_file, term_of
from sas_core.vectors.fields import VectorFile
from sas_core.vectors.schema import dump_vector

SHIPPED = PACKAGE / "vectors" / "shipped"
# tried from the top: added norm over a typical residual norm, at most
SHARES = (0.4, 0.3, 0.2, 0.1)


def strength_for(engine: Engine, vector: VectorFile, share: float) -> float:
    """The strength at which the vector adds at most `share` of a typical residual norm, to one decimal."""
    at_one = engine.added_share(Steering((term_of(vector),)))
    return round(min(max(share / at_one, 0.1), 8.0), 1) if at_one else 1.0


def repeats(ids: Sequence[int], n: int = 4) -> bool:
    """Whether any n-gram comes twice: the first sign of a strength that breaks the model."""
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return len(set(grams)) < len(grams)


def build_shipped(engine: Engine, name: str) -> VectorFile:
    """A behaviour's vector, at the largest strength whose recorded run does not repeat itself."""
    behaviour = load_behaviour(name)
    position = resolve_position("auto", behaviour.form)
    *_, ranking = rank(engine, behaviour.train, position, heldout=behaviour.heldout)
    if not isinstance(ranking, Ranking):
        raise TypeError("rank ended without a ranking")
    choice = begin_with(behaviour.form)
    vector = sas_vector_file(engine, name, ranking, choice, verify=False)
    for share in SHARES:
        strength = strength_for(engine, vector, share)
        vector = sas_vector_file(engine, name, ranking, choice, strength=strength)
        if vector.verify and not repeats(vector.verify.steered):
            break
    return vector


def free_text_behaviours() -> list[str]:
    """Those the demo can carry: at the answer letter it tells no side apart (no latent passes tau 0.7)."""
    return [name for name in behaviour_names() if load_behaviour(name).form == "free-text"]


def main(folder: Path = SHIPPED) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    engine = load_engine(get_preset("demo"))
    for name in sys.argv[1:] or free_text_behaviours():
        vector = build_shipped(engine, name)
        (folder / f"{name}.json").write_text(dump_vector(vector))
        print(f"{name}: {len(vector.features)} latents, strength {vector.strength:g}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
