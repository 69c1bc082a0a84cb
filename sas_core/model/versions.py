"""Versions of the libraries that decide numbers, for the files that record what made them."""

import sys
from importlib.metadata import distributions

_DECIDING = ("torch", "transformers", "transformer-lens", "sae-lens")


def library_versions() -> dict[str, str]:
    return {name: installed_version(name) for name in _DECIDING}


def installed_version(name: str) -> str:
    """The version installed under this distribution name, or "none"; a name from a file may be any text."""
    if not name:
        return "none"
    # A copy of the path: it is looked through lazily, and one entry is passed over when another thread takes
    # an earlier one away meanwhile, as Streamlit does at the end of a script run.
    found = next(iter(distributions(name=name, path=list(sys.path))), None)
    return "none" if found is None else found.version
