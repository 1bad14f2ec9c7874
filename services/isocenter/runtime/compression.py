"""Compression of what is kept beside the objects."""

from __future__ import annotations

import zstandard

from isocenter.core.errors import Corrupted

_LEVEL = 3


def compress(data: bytes) -> bytes:
    """A Zstandard frame of the data, with its size and a checksum."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data)


def decompress(data: bytes, limit: int) -> bytes:
    """Undo `compress`. Raises `Corrupted` if it is damaged or says it is longer than `limit`
    bytes."""
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= limit:
            raise Corrupted(
                f"a compressed blob says it holds {size} bytes, more than {limit}",
                fix="rebuild the metadata packs",
            )
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise Corrupted(
            f"a compressed blob cannot be read: {error}", fix="rebuild the metadata packs"
        ) from error
