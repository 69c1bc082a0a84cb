"""The theme and the server settings: known to Streamlit, local, and readable in light and dark."""

import tomllib
from pathlib import Path

import pytest
from streamlit import config as streamlit_config

CONFIG = tomllib.loads((Path(__file__).parent.parent / ".streamlit" / "config.toml").read_text("utf-8"))
MODES = ["light", "dark"]


def option_names(table: dict, prefix: str = "") -> list[str]:
    names = []
    for key, value in table.items():
        names += option_names(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return names


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_gives_the_known_ratios() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_streamlit_knows_every_option() -> None:
    known = set(streamlit_config.get_config_options())
    assert [name for name in option_names(CONFIG) if name not in known] == []


def test_the_app_listens_on_this_machine_only_and_sends_nothing_home() -> None:
    assert CONFIG["server"]["address"] == "127.0.0.1"
    assert CONFIG["browser"]["gatherUsageStats"] is False
    assert CONFIG["server"].keys().isdisjoint({"enableCORS", "enableXsrfProtection", "enableAgentApi"})


@pytest.mark.parametrize("mode", MODES)
def test_text_of_every_kind_has_aa_contrast(mode: str) -> None:
    theme = CONFIG["theme"][mode]
    pages = (theme["backgroundColor"], theme["secondaryBackgroundColor"])
    inks = ("textColor", "linkColor", "blueTextColor", "orangeTextColor", "dataframeHeaderTextColor")
    ratios = {(ink, page): contrast(theme[ink], page) for ink in inks for page in pages}
    assert min(ratios.values()) >= 4.5, ratios


@pytest.mark.parametrize("mode", MODES)
def test_white_on_the_accent_is_readable_and_the_accent_stands_out(mode: str) -> None:
    theme = CONFIG["theme"][mode]
    assert contrast("#ffffff", theme["primaryColor"]) >= 4.5
    assert contrast(theme["primaryColor"], theme["backgroundColor"]) >= 3.0


@pytest.mark.parametrize("mode", MODES)
def test_slider_values_in_the_sidebar_have_aa_contrast(mode: str) -> None:
    sidebar = {**CONFIG["theme"][mode], **CONFIG["theme"][mode]["sidebar"]}
    assert contrast(sidebar["primaryColor"], sidebar["backgroundColor"]) >= 4.5


@pytest.mark.parametrize("mode", MODES)
def test_diverging_colours_fade_evenly_from_both_ends_to_the_background(mode: str) -> None:
    colours, page = CONFIG["theme"][mode]["chartDivergingColors"], CONFIG["theme"][mode]["backgroundColor"]
    assert len(colours) == 10
    prominence = [contrast(colour, page) for colour in colours]
    assert prominence[:5] == sorted(prominence[:5], reverse=True)
    assert prominence[5:] == sorted(prominence[5:])
    for negative, positive in zip(prominence[:5], reversed(prominence[5:]), strict=True):
        assert 0.7 < negative / positive < 1.45


@pytest.mark.parametrize("mode", MODES)
def test_the_signs_differ_in_blue_against_yellow_which_every_common_eye_can_tell(mode: str) -> None:
    for colour in CONFIG["theme"][mode]["chartDivergingColors"]:
        red, blue = int(colour[1:3], 16), int(colour[5:7], 16)
        negative = colour in CONFIG["theme"][mode]["chartDivergingColors"][:5]
        assert (blue > red + 20) if negative else (red > blue + 20), colour


@pytest.mark.parametrize("mode", MODES)
def test_sequential_colours_grow_more_prominent_step_by_step(mode: str) -> None:
    colours, page = CONFIG["theme"][mode]["chartSequentialColors"], CONFIG["theme"][mode]["backgroundColor"]
    prominence = [contrast(colour, page) for colour in colours]
    assert len(colours) == 10
    assert prominence == sorted(prominence)
