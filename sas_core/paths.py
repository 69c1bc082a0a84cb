"""Where files live. `cache/` holds data only and may be deleted at any time except for the shelf."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(__file__).resolve().parent


def cache_dir() -> Path:
    """The writable data folder: `STEERSCOPE_CACHE`, or `cache/` in the checkout."""
    folder = Path(os.environ.get("STEERSCOPE_CACHE") or ROOT / "cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
