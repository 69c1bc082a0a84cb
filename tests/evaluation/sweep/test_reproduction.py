"""The specs of docs/reproduction can be read, and name dictionaries that sae-lens knows."""

from pathlib import Path

import pytest
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

from sas_core.evaluation.sweep.cells import count_cells
from sas_core.evaluation.sweep.spec import read_spec
from tests.test_import_direction import ROOT

SPECS = sorted((ROOT / "docs" / "reproduction").glob("*.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_is_usable_and_named_as_its_file(path: Path) -> None:
    spec = read_spec(path)
    assert spec.name == path.stem and count_cells(spec) > 4
    known = get_pretrained_saes_directory()
    for name in filter(None, spec.axes.sae):
        release, _, sae_id = name.partition("/")
        assert sae_id in known[release].saes_map


def test_every_spec_has_its_row_in_the_table() -> None:
    page = (ROOT / "docs" / "reproduction.md").read_text()
    assert [path.name for path in SPECS if f"reproduction/{path.name}" not in page] == []
