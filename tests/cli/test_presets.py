"""`presets` and `behaviours` list exactly what the other commands take."""

from sas_core.contrast.shipped import behaviour_names, load_behaviour
from sas_core.model.presets import PRESETS
from tests.cli.conftest import Run


def test_presets_lists_every_preset_with_its_sae(cli: Run) -> None:
    listed = {row["name"]: row for row in cli("presets", "--json").json}
    assert list(listed) == list(PRESETS)
    assert listed["gpt2-small"]["sae_id"] == PRESETS["gpt2-small"].sae_id


def test_the_table_of_presets_keeps_every_name_whole(cli: Run) -> None:
    ran = cli("presets")
    assert all(name in ran.out for name in PRESETS)
    assert (ran.code, ran.err) == (0, "") and "…" not in ran.out


def test_behaviours_lists_every_shipped_contrast_with_its_number_of_pairs(cli: Run) -> None:
    listed = {row["name"]: row for row in cli("behaviours", "--json").json}
    assert tuple(listed) == behaviour_names()
    sea = load_behaviour("sea")
    assert (listed["sea"]["pairs"], listed["sea"]["heldout"]) == (len(sea.train), len(sea.heldout))


def test_the_table_of_behaviours_names_them_all(cli: Run) -> None:
    ran = cli("behaviours")
    assert all(name in ran.out for name in behaviour_names()) and ran.err == ""
