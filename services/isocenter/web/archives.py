"""Studies, series and instances as ZIP files (media type application/zip, an extension of ours):
written as they go out, in bounded memory.

Entries are stored, not deflated: pixel data that can be compressed is better compressed by its
transfer syntax. The CRC-32 of an entry is known when its last byte has gone out, so it stands in
a data descriptor behind it (APPNOTE.TXT 4.3.9); readers go by the central directory at the end.
All entries have the oldest date there is: the same objects give the same bytes.

No DICOMDIR: it needs offsets and attributes of all instances before the first byte goes out.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import orjson

from isocenter.core.identity import InstanceName
from isocenter.core.matching import JsonAttributes
from isocenter.core.ports import Buffer
from isocenter.web.chunks import Pieces, closing
from isocenter.web.exchange import Exchange
from isocenter.web.retrieving import LEVELS

# APPNOTE.TXT 6.3.10: 4.3.7 local file header, 4.3.9 data descriptor, 4.3.12 central directory,
# 4.3.14 to 4.3.16 its end, 4.5.3 ZIP64 extended information.
_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR = struct.Struct("<4sLLL")
_DESCRIPTOR_64 = struct.Struct("<4sLQQ")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_EXTENDED = struct.Struct("<2H")

_MOST = 0xFFFFFFFF  # as a size or offset: see the ZIP64 extended information
_MOST_ENTRIES = 0xFFFF
_DESCRIPTOR_FOLLOWS = 1 << 3
_STORED = 0
_TIME, _DATE = 0, 1 << 5 | 1  # 1980-01-01 00:00
_PLAIN_VERSION, _VERSION_64 = 20, 45
_UNIX = 3 << 8
_FILE_MODE = 0o100644 << 16


@dataclass(slots=True)
class _Entry:
    name: bytes
    offset: int
    large: bool  # sizes have 8 bytes
    crc: int = 0
    size: int = 0


class ZipWriter:
    """Makes the pieces of a ZIP file around the data of its entries."""

    def __init__(self) -> None:
        self._position = 0
        self._entries: list[_Entry] = []

    def begin(self, name: str, size: int | None) -> bytes:
        """What stands before an entry's data; of a size that is not known yet it is None."""
        large = size is None or size >= _MOST
        entry = _Entry(name.encode("ascii"), self._position, large)
        self._entries.append(entry)
        extended = _EXTENDED.pack(1, 16) + bytes(16) if large else b""
        # Sizes are zero here, and follow in the descriptor.
        known = _MOST if large else 0
        head = _LOCAL.pack(
            b"PK\3\4", _VERSION_64 if large else _PLAIN_VERSION, _DESCRIPTOR_FOLLOWS, _STORED,
            _TIME, _DATE, 0, known, known, len(entry.name), len(extended),
        )  # fmt: skip
        return self._counted(head + entry.name + extended)

    def note(self, data: Buffer) -> None:
        """The next piece of the entry's data goes out."""
        entry = self._entries[-1]
        entry.crc = zlib.crc32(data, entry.crc)
        entry.size += len(data)
        self._position += len(data)

    def end(self) -> bytes:
        """What stands behind the entry's data."""
        entry = self._entries[-1]
        descriptor = _DESCRIPTOR_64 if entry.large else _DESCRIPTOR
        return self._counted(descriptor.pack(b"PK\7\x08", entry.crc, entry.size, entry.size))

    def close(self) -> bytes:
        """The central directory and its end."""
        begin = self._position
        directory = b"".join(map(_central, self._entries))
        count, size = len(self._entries), len(directory)
        end_64 = b""
        if count >= _MOST_ENTRIES or begin >= _MOST or size >= _MOST:
            end_64 = _END_64.pack(
                b"PK\6\6", _END_64.size - 12, _UNIX | _VERSION_64, _VERSION_64, 0, 0,
                count, count, size, begin,
            ) + _LOCATOR_64.pack(b"PK\6\7", 0, begin + size, 1)  # fmt: skip
        count = min(count, _MOST_ENTRIES)
        end = _END.pack(
            b"PK\5\6", 0, 0, count, count, min(size, _MOST), min(begin, _MOST), 0
        )  # fmt: skip
        return directory + end_64 + end

    def _counted(self, piece: bytes) -> bytes:
        self._position += len(piece)
        return piece


def _central(entry: _Entry) -> bytes:
    far = entry.offset >= _MOST
    numbers = [entry.size, entry.size] * entry.large + [entry.offset] * far
    extended = struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
    version = _VERSION_64 if extended else _PLAIN_VERSION
    size = _MOST if entry.large else entry.size
    head = _CENTRAL.pack(
        b"PK\1\2", _UNIX | version, version, _DESCRIPTOR_FOLLOWS, _STORED, _TIME, _DATE,
        entry.crc, size, size, len(entry.name), len(extended), 0, 0, 0, _FILE_MODE,
        min(entry.offset, _MOST),
    )  # fmt: skip
    return head + entry.name + extended


# --- names ---------------------------------------------------------------------------------------

_NOT_SAFE = re.compile(r"[^A-Z0-9_]")  # a CS has spaces too
_TAIL = 12  # characters


def file_name(exchange: Exchange) -> str:
    """What a browser saves the archive of this address as: `study-840.10008.zip`."""
    level = next(name for name in reversed(LEVELS) if name in exchange.path)
    return f"{level}-{_tail(exchange.path[level])}.zip"


def _tail(uid: str) -> str:
    """The end of a UID, by which people tell apart those of one machine."""
    return uid[-_TAIL:].lstrip(".")


class EntryNames:
    """Where files stand in the archive: `{study}/{series number}-{modality}-{end of series UID}/
    {instance number}-{SOP Instance UID}.dcm`.

    Names hold nothing of the patient. They are ASCII letters, digits, points and hyphens, never
    one of Windows' reserved names, and short enough to be unpacked there: 185 characters at
    most, 209 where two series would have the same folder. What an instance says about itself
    comes from its metadata; parts that are missing, negative or not safe are left out.
    """

    def __init__(self, metadata: AsyncIterator[bytes]) -> None:
        """`metadata`: as `Storage.metadata`, best in the order in which names are asked for."""
        self._metadata = metadata
        self._known: dict[tuple[str, str], tuple[str, str]] = {}  # folder and file, by UIDs
        self._folders: dict[str, str] = {}  # by the series they belong to

    async def of(self, name: InstanceName) -> str:
        """The path of an instance's file; no two are the same."""
        wanted = name.series, name.instance
        while wanted not in self._known:
            fragment = await anext(self._metadata, None)
            if fragment is None:
                self._known[wanted] = _tail(name.series), name.instance
                break
            attributes = orjson.loads(fragment)
            key = _text(attributes, "0020000E"), _text(attributes, "00080018")
            self._known[key] = _names(attributes, *key)
        folder, file = self._known.pop(wanted)
        return f"{name.study}/{self._folder(name.series, folder)}/{file}.dcm"

    def _folder(self, series: str, wanted: str) -> str:
        """One series' folder: all of its instances are in the one that its first one names."""
        if series not in self._folders:
            taken = wanted in self._folders.values()
            self._folders[series] = series if taken else wanted
        return self._folders[series]


def _names(attributes: JsonAttributes, series: str, instance: str) -> tuple[str, str]:
    modality = _NOT_SAFE.sub("", _text(attributes, "00080060"))[:16]
    folder = [_number(attributes, "00200011", 4), modality, _tail(series)]
    file = [_number(attributes, "00200013", 5), instance]
    return "-".join(filter(None, folder)), "-".join(filter(None, file))


def _first(attributes: JsonAttributes, tag: str) -> object:
    return (attributes.get(tag, {}).get("Value") or (None,))[0]


def _text(attributes: JsonAttributes, tag: str) -> str:
    value = _first(attributes, tag)
    return value if isinstance(value, str) else ""


def _number(attributes: JsonAttributes, tag: str, width: int) -> str:
    value = _first(attributes, tag)
    usable = isinstance(value, int) and 0 <= value < 2**31  # an IS, PS3.5 6.2
    return f"{value:0{width}}" if usable else ""


# --- archives ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """An instance that goes into an archive."""

    name: InstanceName
    size: int | None  # of its file, bytes; None: not known before it is made
    open: Callable[[], Pieces]  # the file


async def archive(members: Sequence[Member], metadata: AsyncIterator[bytes]) -> Pieces:
    """The ZIP file. Nothing goes out before the first member's data is known to be there."""
    writer = ZipWriter()
    waiting = b""  # to be sent with what comes next
    async with closing(metadata):
        names = EntryNames(metadata)
        for member in members:
            waiting += writer.begin(await names.of(member.name), member.size)
            async with closing(member.open()) as pieces:
                async for piece in pieces:
                    if waiting:
                        yield waiting
                        waiting = b""
                    writer.note(piece)
                    yield piece
            waiting += writer.end()
    yield waiting + writer.close()
