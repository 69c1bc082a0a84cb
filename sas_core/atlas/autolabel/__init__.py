"""Automatic labels: rules made from some of a latent's contexts and tested on the others. No model."""

from sas_core.atlas.types import AutoLabel

__all__ = ["AutoLabel"]
