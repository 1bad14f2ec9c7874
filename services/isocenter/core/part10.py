"""Part 10 files (PS3.10 section 7): File Meta Information, written and read."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass

from isocenter.core.errors import Unprocessable
from isocenter.core.identity import IMPLEMENTATION_CLASS_UID
from isocenter.core.ports import Buffer

_PREAMBLE = 128
_START = _PREAMBLE + 4
_LONG_VRS = frozenset((b"OB", b"OW", b"UN", b"UT", b"SQ", b"OF", b"OD", b"OL", b"UC", b"UR"))
_HEAD = struct.Struct("<HH2sH")
_LONG = struct.Struct("<I")
# Group 0002 holds a dozen short values; private information (0002,0102) may be longer.
MAX_META = 1024 * 1024
_WANTED = {0x0002: "sop_class", 0x0003: "instance", 0x0010: "transfer_syntax"}


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What a file says about its data set. Absent values are empty."""

    sop_class: str
    instance: str
    transfer_syntax: str
    length: int  # of preamble, prefix and group 0002, bytes: where the data set begins


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if vr in _LONG_VRS:
        return _HEAD.pack(2, element, vr, 0) + _LONG.pack(len(value)) + value
    return _HEAD.pack(2, element, vr, len(value)) + value


def _uid(text: str) -> bytes:
    value = text.encode("ascii")
    return value + b"\0" * (len(value) % 2)


def file_meta(sop_class: str, instance: str, transfer_syntax: str) -> bytes:
    """Preamble, "DICM" and group 0002 of a file we write.

    Depends on nothing but the arguments, so the digest of a file depends only on them and on
    the data set.
    """
    group = b"".join(
        (
            _element(0x0001, b"OB", b"\0\1"),
            _element(0x0002, b"UI", _uid(sop_class)),
            _element(0x0003, b"UI", _uid(instance)),
            _element(0x0010, b"UI", _uid(transfer_syntax)),
            _element(0x0012, b"UI", _uid(IMPLEMENTATION_CLASS_UID)),
        )
    )
    return b"\0" * _PREAMBLE + b"DICM" + _element(0x0000, b"UL", _LONG.pack(len(group))) + group


def parse_meta(buffer: Buffer, complete: bool = True) -> FileMeta | None:
    """File Meta Information at the beginning of a file.

    None if it goes on behind the buffer, unless `complete` says that the file ends there.
    Group 0002 ends where another group begins; its length element is not needed and not
    trusted. Raises `Unprocessable` if there is none or it is broken.
    """
    if len(buffer) < _START:
        if complete:
            raise _no_meta()
        return None
    if bytes(buffer[_PREAMBLE:_START]) != b"DICM":
        raise _no_meta()
    found: dict[str, str] = {}
    position = _START
    while True:
        step = _next(buffer, position, found)
        if step is None:
            break
        if step == position:
            return _meta(found, position)
        position = step
    if not complete:
        return None
    if position == len(buffer):
        return _meta(found, position)
    raise Unprocessable(
        f"File Meta Information is cut off at byte {position}", fix="send the whole file"
    )


def _next(buffer: Buffer, position: int, found: dict[str, str]) -> int | None:
    """Read one element of group 0002 into `found`; answers with the position behind it, the
    same one if another group begins there, None if the buffer ends before."""
    size = len(buffer)
    if position + 2 > size:
        return None
    if bytes(buffer[position : position + 2]) != b"\x02\x00":
        return position
    if position + 12 > size:
        return None
    _, element, vr, length = _HEAD.unpack_from(buffer, position)
    value = position + 8
    if vr in _LONG_VRS:
        (length,) = _LONG.unpack_from(buffer, position + 8)
        value = position + 12
    end: int = value + length
    if end > MAX_META:
        raise Unprocessable(
            f"File Meta Information element (0002,{element:04X}) says it is {length} bytes",
            fix="write the file again: group 0002 must be short",
        )
    if end > size:
        return None
    if element in _WANTED:
        text = bytes(buffer[value:end]).decode("ascii", "replace")
        found[_WANTED[element]] = text.strip("\0 ")
    return end


def _meta(found: dict[str, str], length: int) -> FileMeta:
    if not found.get("transfer_syntax"):
        raise Unprocessable(
            "File Meta Information has no Transfer Syntax UID (0002,0010)",
            fix="write the file with a transfer syntax (PS3.10 7.1)",
        )
    return FileMeta(
        found.get("sop_class", ""), found.get("instance", ""), found["transfer_syntax"], length
    )


def _no_meta() -> Unprocessable:
    return Unprocessable(
        "not a DICOM file: no 'DICM' behind a preamble of 128 bytes",
        fix="give a Part 10 file with File Meta Information (PS3.10 7.1)",
    )


async def split(
    chunks: AsyncIterable[Buffer],
) -> tuple[FileMeta, AsyncGenerator[Buffer, None]]:
    """The File Meta Information of an incoming file, and its data set as it goes on.

    The chunks are asked for as the data set is; each is handed on without a copy but the first.
    Raises `Unprocessable` if there is no File Meta Information or it is broken.
    """
    rest = aiter(chunks)
    head = bytearray()
    async for chunk in rest:
        head += chunk
        meta = parse_meta(head, complete=False)
        if meta is not None:
            return meta, _chain(bytes(head[meta.length :]), rest)
    meta = parse_meta(head)
    assert meta is not None
    return meta, _chain(bytes(head[meta.length :]), rest)


async def _chain(first: bytes, rest: AsyncIterator[Buffer]) -> AsyncGenerator[Buffer, None]:
    try:
        if first:
            yield first
        async for chunk in rest:
            yield chunk
    finally:
        if isinstance(rest, AsyncGenerator):
            await rest.aclose()
