"""How often latents fire in ordinary text, as a column: what is in any text means little alone."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.loaded import get_atlas
from sas_core.errors import SteerscopeError
from sas_core.steering.engine import Engine


def density_columns(engine: Engine, latents: Sequence[int]) -> dict[str, list[float]]:
    """Percent of the atlas's tokens, aligned with `latents`; no column without an atlas that can be read."""
    atlas = get_atlas(engine) if latents else None
    if atlas is None:
        return {}
    try:
        found = atlas.densities_of([int(latent) for latent in latents])
        return {"density": [100 * density for density in found]}
    except SteerscopeError:
        # Features says what is wrong with the atlas
        return {}


def density_config() -> dict[str, object]:
    """How a table shows the column of `density_columns`."""
    return {
        "density": st.column_config.NumberColumn(
            "Density", format="%.2g %%", width=68,
            help="Share of the tokens of the atlas's text at which it fires. What fires at every tenth token "
            "is part of how most text is written, and rarely has a meaning of its own",
        )
    }  # fmt: skip
