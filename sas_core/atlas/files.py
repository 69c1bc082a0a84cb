"""The folder of the atlases. Imports no torch."""

from pathlib import Path

from sas_core.errors import Unavailable
from sas_core.paths import cache_dir


def atlas_folder() -> Path:
    """Where atlases are kept; made if missing. Raises Unavailable when it cannot be."""
    try:
        folder = cache_dir() / "atlas"
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise not_writable(error) from error
    return folder


def not_writable(error: OSError) -> Unavailable:
    """The refusal for a fault of the disk."""
    return Unavailable(
        f"The folder of the atlases cannot be written to ({error.strerror or error}). Free some space, or "
        "set STEERSCOPE_CACHE to a writable folder."
    )
