"""Where a latent is used: the saved vectors that hold it, with its value in each."""

from dataclasses import dataclass

from sas_core.errors import BadInput
from sas_core.vectors.shelf import Shelf


@dataclass(frozen=True)
class Use:
    """A saved vector and what it adds to the latent at strength 1, in units of its activation.

    `place` counts from 1 for the vector's largest value, of `count` latents in all.
    """

    name: str
    value: float
    place: int
    count: int


def uses_of(shelf: Shelf, latent: int, sae_sha256: str) -> tuple[Use, ...]:
    """Vectors of this SAE that hold the latent, the one that adds most to it first.

    A vector whose file is damaged is passed over: the shelf's own page says so.
    """
    found = []
    for item in shelf.list():
        if item.sae_sha256 == sae_sha256:
            found += _use(shelf, item.name, latent)
    return tuple(sorted(found, key=lambda use: -abs(use.value)))


def _use(shelf: Shelf, name: str, latent: int) -> list[Use]:
    try:
        features = shelf.get(name).features
    except BadInput:
        return []
    values = {feature.index: feature.value for feature in features}
    if latent not in values:
        return []
    larger = sum(abs(value) > abs(values[latent]) for value in values.values())
    return [Use(name, values[latent], larger + 1, len(values))]
