"""Content-Encoding of request bodies (RFC 9110 8.4.1): gzip and deflate, undone while a body
streams, within limits."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, Iterator, Mapping

from isocenter.web.chunks import Chunks
from isocenter.web.multipart import BrokenBody
from isocenter.web.problems import Problem, shown

MAX_RATIO = 256  # decoded bytes for one that arrived; images with much background reach 100
FREE = 64 * 1024**2  # decoded bytes that any body may have, whatever the ratio
CHUNK = 256 * 1024

_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_WINDOWS: Mapping[str, int] = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_ACCEPT_ENCODING = (b"accept-encoding", b"gzip, deflate")


async def decoded(chunks: AsyncIterable[bytes], coding: str, most: int) -> Chunks:
    """The body that a Content-Encoding header field stands for, in chunks of at most `CHUNK` bytes
    if it is coded.

    Raises the 415 `Problem` for other codings, the 413 `Problem` for a body of more than `most`
    bytes or that grows beyond `MAX_RATIO`, `BrokenBody` for what is not coded as it says.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        async for chunk in chunks:
            yield chunk
        return
    if coding not in _WINDOWS:
        detail = f"the body's Content-Encoding {shown(coding)} is not known; send gzip or deflate"
        raise Problem(415, detail, [_ACCEPT_ENCODING])
    decoder = _Decoder(coding)
    arrived = size = 0
    async for chunk in chunks:
        arrived += len(chunk)
        for piece in decoder.feed(chunk):
            size += len(piece)
            if size > most:
                raise Problem(413, f"the body has more than {most} bytes; send fewer objects")
            if size > max(FREE, MAX_RATIO * arrived):
                detail = f"the body grows to more than {MAX_RATIO} times of what is sent"
                raise Problem(413, f"{detail}; send it without Content-Encoding")
            yield piece
    decoder.finish()


class _Decoder:
    """Coded bytes to bytes."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._held = b""  # the first bytes, until they tell the format
        self._members = 0  # begun
        self._stream: zlib._Decompress | None = None  # of the member that is being read

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What this chunk decodes to. To be exhausted before the next call."""
        data, self._held = self._held + chunk, b""
        if not self._members and len(data) < 2:
            self._held = data
            return
        more = bool(data)
        while more:
            if self._stream is None:
                self._stream = self._member(data)
            piece = self._decompress(self._stream, data)
            if self._stream.eof:
                data, self._stream = self._stream.unused_data, None
                more = bool(data)
            else:
                data = self._stream.unconsumed_tail
                # A full piece may have left output behind even when all input is consumed.
                more = bool(data) or len(piece) == CHUNK
            if piece:
                yield piece

    def finish(self) -> None:
        """Raises `BrokenBody` if the coded data does not end here."""
        if self._stream is not None or self._held:
            raise self._broken("it is cut off")

    def _member(self, data: bytes) -> zlib._Decompress:
        """A member of gzip, of which there may be several (RFC 1952 2.2), or all of deflate."""
        window = _WINDOWS[self._coding]
        if window == _ZLIB:
            if self._members:
                raise self._broken("something follows its end")
            # RFC 9110 8.4.1.2: some send deflate without the zlib format around it.
            if data[0] & 0x0F != zlib.DEFLATED or int.from_bytes(data[:2], "big") % 31:
                window = _RAW
        self._members += 1
        return zlib.decompressobj(wbits=window)

    def _decompress(self, stream: zlib._Decompress, data: bytes) -> bytes:
        try:
            return stream.decompress(data, CHUNK)
        except zlib.error as error:
            raise self._broken("it is damaged") from error

    def _broken(self, what: str) -> BrokenBody:
        return BrokenBody(
            f"the body is not the {self._coding} data that Content-Encoding says: {what}",
            fix="send it again, or without Content-Encoding",
        )
