"""The latents of a vector: values as bars, and the evidence behind each as a table."""

import pandas as pd
import streamlit as st

from pages.shared.density import density_columns, density_config
from pages.shared.header import session_id
from pages.shared.naming import name_columns, name_config, names_of
from pages.shared.tokens import plain, visible
from sas_core.atlas.lens import writes
from sas_core.atlas.outputs import output_score
from sas_core.errors import Cancelled, SteerscopeError
from sas_core.steering.engine import Engine
from sas_core.vectors.fields import Feature, VectorFile
from sas_core.vectors.figures import values_alt, values_figure

# the logit lens costs one row of the vocabulary per latent
_READ = 256


def draw_evidence(engine: Engine, vector: VectorFile, *, usable: bool) -> None:
    """Figure and table. What a latent writes is shown only with the SAE that the vector names."""
    st.plotly_chart(
        values_figure(vector), key=f"vectors.values.{vector.name}", config={"displayModeBar": False},
        alt=values_alt(vector),
    )  # fmt: skip
    features = sorted(vector.features, key=lambda feature: -abs(feature.value))
    frame = pd.DataFrame([_cells(feature) for feature in features])
    if usable:
        kept = tuple(feature.index for feature in features[:_READ])
        said = _writes(vector.sae.sha256, engine.name, kept, engine)
        frame.insert(2, "writes", [*said, *[""] * (len(features) - len(said))])
        scores = _output_scores(engine, vector, kept)
        if scores:
            frame.insert(3, "output", [scores.get(feature.index) for feature in features])
        indices, written = frame["index"].tolist(), {f.index: f.label for f in features if f.label}
        frame = frame.drop(columns="label").assign(
            **name_columns(names_of(engine, indices, written), indices), **density_columns(engine, indices)
        )
    first = [column for column in ("index", "value", "label", "auto_right", "density") if column in frame]
    frame = frame[[*first, *(column for column in frame if column not in first)]]
    frame = frame.drop(columns=[c for c in frame if c != "index" and not _filled(frame[c])])
    st.dataframe(frame, hide_index=True, height=360, column_config=_columns(), key="vectors.evidence",
                 alt=f"The {len(features)} latents of the vector", placeholder="")  # fmt: skip


def _output_scores(engine: Engine, vector: VectorFile, latents: tuple[int, ...]) -> dict[int, float]:
    """Of each latent, once they were asked for: one forward pass for 64 of them."""
    known: dict = st.session_state.setdefault("vectors.output", {})
    key = (vector.sae.sha256, engine.name, latents)
    if key in known:
        return known[key]
    asked = st.button(
        "Score what each writes", key="vectors.score", icon=":material/speed:", type="tertiary",
        help="Output score (arXiv 2505.20063): amplified after a neutral prompt, does a latent make its own "
        "tokens likely? Steering works best with latents that score high",
    )  # fmt: skip
    if not asked:
        return {}
    try:
        with st.spinner(f"Scoring {len(latents)} latents"):
            found = output_score(engine, latents, session_id())
    except Cancelled:
        return {}
    except SteerscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return {}
    known[key] = {score.latent: score.score for score in found}
    return known[key]


@st.cache_data(max_entries=64, show_spinner=False)
def _writes(sae: str, model: str, latents: tuple[int, ...], _engine: Engine) -> list[str]:
    return [" ".join(visible(piece) for piece in found.up) for found in writes(_engine, latents)]


def _filled(column: pd.Series) -> bool:
    return bool((column.notna() & (column != "")).any())


def _cells(feature: Feature) -> dict[str, object]:
    return {
        "index": feature.index,
        "value": feature.value,
        "freq_pos": _percent(feature.freq_pos),
        "freq_neg": _percent(feature.freq_neg),
        "mean_pos": feature.mean_pos,
        "mean_neg": feature.mean_neg,
        "label": feature.label or "",
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _columns() -> dict[str, object]:
    column = st.column_config

    def share(label: str, side: str) -> object:
        return column.ProgressColumn(
            label, width=88, min_value=0, max_value=100, format="%.0f %%", color="gray",
            help=f"Share of the {side} texts in which the latent fires",
        )  # fmt: skip

    return {
        "index": column.NumberColumn("Latent", width=52, format="%d"),
        "value": column.NumberColumn("Value", width=55, format="%+.3g", help="Added at strength 1"),
        "writes": column.TextColumn("Writes", width=150, help="Tokens its decoder row raises most"),
        "output": column.NumberColumn(
            "Output",
            width=60,
            format="%.3f",
            help="Output score, 0 to 1: does amplifying the latent make the tokens it raises likely?",
        ),
        "freq_pos": share("Fires, +", "positive"),
        "freq_neg": share("Fires, \u2212", "negative"),
        "mean_pos": column.NumberColumn("Mean, +", width=56, format="%.3g"),
        "mean_neg": column.NumberColumn("Mean, \u2212", width=56, format="%.3g"),
        **name_config(120),
        **density_config(),
    }
