"""multipart/related (RFC 2046 5.1, RFC 2387), read and written in bounded memory.

Lines end as the first boundary line does: CRLF, or LF alone from clients that are careless. Data
before the first boundary and behind the last one is skipped.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from isocenter.core.errors import Invalid
from isocenter.web.problems import shown

MAX_BOUNDARY = 70  # characters (RFC 2046 5.1.1)
MAX_HEADERS = 16_384  # bytes of one part's header fields
MAX_PREAMBLE = 65_536  # bytes before the first boundary
_PADDING = 256  # bytes of blanks that may follow a boundary

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


class BrokenBody(Invalid):
    """The body as a whole is malformed; nothing behind this point can be told apart."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part; `body` is to be read before the next part is asked for. What is left of it then is
    skipped, also if it was closed."""

    headers: Mapping[str, str]  # names in lower case
    body: AsyncGenerator[bytes, None]


Parts = AsyncGenerator[Part, None]


class MultipartReader:
    """The parts of a body."""

    def __init__(self, chunks: AsyncIterator[bytes], boundary: str) -> None:
        """Raises `Invalid` for what is no boundary."""
        if not _BOUNDARY.fullmatch(boundary):
            raise Invalid(
                f"boundary {shown(boundary)} is not allowed",
                fix=f"use 1 to {MAX_BOUNDARY} characters of RFC 2046 5.1.1",
            )
        self._chunks = chunks
        self._dashes = b"--" + boundary.encode("ascii")
        self._newline = b"\r\n"
        self._buffer = bytearray()
        self._closed = False
        self._within_body = False

    async def parts(self) -> Parts:
        """Raises `BrokenBody`, also from a part's body, where the body is malformed or ends."""
        await self._skip_preamble()
        while not self._closed:
            headers = await self._headers()
            self._within_body = True
            async with aclosing(self._body()) as body:
                yield Part(headers, body)
            if self._within_body:
                async for _ in self._body():
                    pass

    async def _fill(self) -> None:
        """More bytes, or `BrokenBody` at the end."""
        chunk = await anext(self._chunks, None)
        if chunk is None:
            raise BrokenBody(
                "the multipart body ends before its closing boundary", fix="send it whole"
            )
        self._buffer += chunk

    async def _skip_preamble(self) -> None:
        position = 0
        while True:
            at = self._buffer.find(self._dashes, position)
            if at < 0:
                if len(self._buffer) > MAX_PREAMBLE:
                    raise BrokenBody("there is no boundary at the beginning of the body")
                await self._fill()
                continue
            end = await self._line_end(at + len(self._dashes))
            if end and (at == 0 or self._buffer[at - 1 : at] == b"\n"):
                if not self._closed and self._buffer[end - 2 : end] != b"\r\n":
                    self._newline = b"\n"
                del self._buffer[:end]
                return
            position = at + 1

    async def _line_end(self, position: int) -> int:
        """Where the line of a boundary ends, that itself ends at `position`; 0 if it is none."""
        while len(self._buffer) < position + 2:
            await self._fill()
        if self._buffer[position : position + 2] == b"--":
            self._closed = True
            return position + 2
        end = position
        while end - position < _PADDING:
            if end + 2 > len(self._buffer):
                await self._fill()
            elif self._buffer[end] in b" \t":
                end += 1
            elif self._buffer[end : end + 2] == b"\r\n":
                return end + 2
            else:
                return end + 1 if self._buffer[end] in b"\n" else 0
        return 0

    async def _headers(self) -> Mapping[str, str]:
        blank = self._newline * 2
        while True:
            if self._buffer.startswith(self._newline):
                del self._buffer[: len(self._newline)]
                return {}
            end = self._buffer.find(blank)
            if end >= 0:
                raw = bytes(self._buffer[:end])
                del self._buffer[: end + len(blank)]
                return _parse_headers(raw)
            if len(self._buffer) > MAX_HEADERS:
                raise BrokenBody(f"a part has more than {MAX_HEADERS} bytes of header fields")
            await self._fill()

    async def _body(self) -> AsyncGenerator[bytes, None]:
        delimiter = self._newline + self._dashes
        while True:
            at = self._buffer.find(delimiter)
            if at < 0:
                safe = len(self._buffer) - len(delimiter) + 1
                if safe > 0:
                    yield self._take(safe)
                await self._fill()
                continue
            end = await self._line_end(at + len(delimiter))
            if end:
                self._within_body = False
                if at:
                    last = self._take(at)
                    del self._buffer[: end - at]
                    yield last
                else:
                    del self._buffer[:end]
                return
            yield self._take(at + 1)  # it only begins like the boundary

    def _take(self, length: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:length])
        del self._buffer[:length]
        return taken


def _parse_headers(raw: bytes) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for line in re.sub(rb"\r?\n[ \t]+", b" ", raw).splitlines():
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name.strip():
            raise BrokenBody("a header field of a part has no name or no colon")
        headers[name.strip().lower()] = value.strip()
    return headers


class MultipartWriter:
    """Makes the pieces of a multipart/related answer."""

    def __init__(self, part_type: str) -> None:
        """`part_type` is the media type of the first part (RFC 2387 3.1)."""
        self._boundary = uuid.uuid4().hex  # 122 random bits: does not occur in data by chance
        self.content_type = (
            f'multipart/related; type="{part_type}"; boundary={self._boundary}'.encode("ascii")
        )
        self.end = f"\r\n--{self._boundary}--\r\n".encode("ascii")

    def begin(self, content_type: str, location: str = "") -> bytes:
        """What stands before a part's data."""
        place = f"Content-Location: {location}\r\n" if location else ""
        return (f"\r\n--{self._boundary}\r\nContent-Type: {content_type}\r\n{place}\r\n").encode(
            "ascii"
        )
