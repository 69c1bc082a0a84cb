"""The bytes of a file, plain or packed as .gz or .zst, as a stream. A torn file is told, not cut short."""

import gzip
import io
from pathlib import Path
from typing import Any, BinaryIO, cast

PACKINGS = (".gz", ".zst")
# few packed bytes at once: zstd can make thousands of plain bytes out of one
_PACKED, _PLAIN = 1 << 14, 1 << 18


class Damaged(Exception):
    """Why a file cannot be read further, as the end of a sentence."""


def unpacked(path: Path) -> BinaryIO:
    """The file's bytes, unpacked on the way; reading raises Damaged, EOFError, zlib.error or OSError."""
    packing = path.suffix.lower()
    if packing == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if packing == ".zst":
        return cast(BinaryIO, io.BufferedReader(_Unzstd(path), _PLAIN))
    return path.open("rb")


class _Unzstd(io.RawIOBase):
    """Any number of zstd frames; unlike zstandard's own reader it notices when the last one is torn."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame, self._ready = _new_frame(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        while not self._ready:
            packed = (self._frame.unused_data if self._frame.eof else b"") or self._file.read(_PACKED)
            if not packed:
                return self._at_end()
            if self._frame.eof:
                self._frame = _new_frame()
            self._ready = _decompressed(self._frame, packed)
        taken, self._ready = self._ready[: len(view)], self._ready[len(view) :]
        view[: len(taken)] = taken
        return len(taken)

    def _at_end(self) -> int:
        if not self._frame.eof:
            raise Damaged("the compressed data end too early")
        return 0

    def close(self) -> None:
        self._file.close()
        super().close()


def _new_frame() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _decompressed(frame: Any, packed: bytes) -> bytes:
    import zstandard

    try:
        return frame.decompress(packed)
    except zstandard.ZstdError as error:
        raise Damaged(f"the compressed data are broken ({error})") from error
