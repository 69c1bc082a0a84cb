"""What is installed, also while another thread changes the import path."""

import importlib.metadata
import sys

import pytest

from sas_core.model.versions import installed_version, library_versions


class Leaves(str):
    """An entry of the import path that goes, as by another thread, while the path is looked through."""

    def __hash__(self) -> int:
        if self in sys.path:
            sys.path.remove(self)
        return super().__hash__()


def test_the_deciding_libraries_are_named_as_importlib_names_them():
    versions = library_versions()
    assert set(versions) == {"torch", "transformers", "transformer-lens", "sae-lens"}
    assert versions == {name: importlib.metadata.version(name) for name in versions}


@pytest.mark.parametrize("name", ["", "no-such-distribution", "../x", "a b"])
def test_a_name_that_is_not_installed(name):
    assert installed_version(name) == "none"


def test_a_path_that_shrinks_while_it_is_read_hides_no_library(monkeypatch):
    at = str(importlib.metadata.distribution("torch").locate_file(""))

    def shrinking() -> list[str]:
        return [Leaves("/nowhere"), at]

    monkeypatch.setattr(sys, "path", shrinking())
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("torch")
    monkeypatch.setattr(sys, "path", shrinking())
    assert installed_version("torch") != "none"
