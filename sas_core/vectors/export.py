"""What leaves the shelf: file names that any system takes, and the program with its vector in one archive."""

import io
import re
import unicodedata
import zipfile

from sas_core.vectors.fields import VectorFile
from sas_core.vectors.schema import dump_vector

# fixed, so that the same vector gives the same bytes
_STAMP = (1980, 1, 1, 0, 0, 0)
_LONGEST = 60


def file_stem(name: str) -> str:
    """A vector's name as a file name without ending: plain letters, digits, `-`, `_`; never empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-")[:_LONGEST].rstrip("-") or "vector"


def json_name(vector: VectorFile) -> str:
    """File name of the exported vector."""
    return f"{file_stem(vector.name)}.json"


def program_name(vector: VectorFile) -> str:
    """File name of the program that applies it."""
    return f"steer_{re.sub('-', '_', file_stem(vector.name))}.py"


def bundle(vector: VectorFile, program: str) -> bytes:
    """A zip of the vector file and the program that reads it by name, side by side."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in ((json_name(vector), dump_vector(vector)), (program_name(vector), program)):
            info = zipfile.ZipInfo(name, _STAMP)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, text)
    return packed.getvalue()
