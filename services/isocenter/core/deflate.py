"""Inflating deflated data sets (PS3.5 A.5) as they stream, within a limit."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator

from isocenter.core.errors import Unprocessable
from isocenter.core.ports import Buffer

MAX_INFLATED = 4 * 1024**3  # bytes a data set may become
CHUNK = 256 * 1024


class Inflater:
    """Raw deflate (RFC 1951) to bytes, in bounded pieces."""

    def __init__(self, limit: int = MAX_INFLATED) -> None:
        self._limit = limit
        self._size = 0
        self._stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)

    def feed(self, chunk: Buffer) -> Iterator[bytes]:
        """What this chunk inflates to, in pieces of at most `CHUNK` bytes. To be exhausted
        before the next call. Raises `Unprocessable`."""
        data = bytes(chunk)
        more = bool(data)
        while more and not self._stream.eof:
            piece = self._piece(data)
            data = self._stream.unconsumed_tail
            # A full piece may have left output behind even when all input is consumed.
            more = bool(data) or len(piece) == CHUNK
            if piece:
                yield piece

    def finish(self) -> None:
        """Raises `Unprocessable` unless the stream has come to its end."""
        if not self._stream.eof:
            raise Unprocessable(
                f"the deflated data set is cut off after {self._size} inflated bytes",
                fix="send the object again as its creator wrote it",
            )

    def _piece(self, data: bytes) -> bytes:
        try:
            piece = self._stream.decompress(data, CHUNK)
        except zlib.error as error:
            raise Unprocessable(
                f"the data set is not deflated as its transfer syntax says: {error}",
                fix="send the object again as its creator wrote it",
            ) from error
        self._size += len(piece)
        if self._size > self._limit:
            raise Unprocessable(
                f"the deflated data set becomes more than {self._limit} bytes",
                fix="send the object in a transfer syntax that is not deflated",
            )
        return piece


async def inflate(
    chunks: AsyncIterable[Buffer], limit: int = MAX_INFLATED
) -> AsyncGenerator[bytes, None]:
    """The data set that a deflated stream holds. Raises `Unprocessable`."""
    inflater = Inflater(limit)
    async for chunk in chunks:
        for piece in inflater.feed(chunk):
            yield piece
    inflater.finish()
