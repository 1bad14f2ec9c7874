"""What a backup consists of, blob by blob: lists in the order of the keys.

A list is a file of lines, `{size} {time} {SHA-256} {key}`, compressed with Zstandard. It is read
and written line by line, since an archive has more blobs than fit into memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import zstandard

from isocenter.adapters.backup.files import translated
from isocenter.adapters.blobs import keys
from isocenter.adapters.blobs.staging import fsync_file
from isocenter.core.errors import Corrupted
from isocenter.core.ports import BlobInfo

_NAMED = re.compile(r"(?:objects|packs|deleted)/.*[/.]([0-9a-f]{64})\.(?:dcm|pack|overlay)")
_LINE = re.compile(r"(\d+) (\d+) ([0-9a-f]{64}) (\S+)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One blob of a backup."""

    key: str
    size: int
    modified_at: datetime  # UTC; when it was first durable
    digest: str  # SHA-256; empty: its key does not tell, and it has not been read yet


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list as a whole says."""

    count: int
    bytes: int
    digest: str  # SHA-256 of the file


async def entries_of(found: AsyncIterator[BlobInfo]) -> AsyncIterator[Entry]:
    """The entries of a listing; digests as far as keys tell them."""
    async for info in found:
        named = _NAMED.fullmatch(info.key)
        yield Entry(info.key, info.size, info.modified_at, named[1] if named else "")


async def beside(
    wanted: AsyncIterator[Entry], there: AsyncIterator[BlobInfo]
) -> AsyncIterator[tuple[Entry, BlobInfo | None]]:
    """Each entry with the blob under its key, if there is one. Both come in the order of keys."""
    found = await anext(there, None)
    async for entry in wanted:
        while found is not None and found.key < entry.key:
            found = await anext(there, None)
        yield entry, found if found is not None and found.key == entry.key else None


class ListWriter:
    """A list being written."""

    def __init__(self, writer: zstandard.ZstdCompressionWriter) -> None:
        self._writer = writer
        self.count = self.bytes = 0

    def add(self, entry: Entry) -> None:
        """The next entry in the order of the keys."""
        time = (entry.modified_at - _EPOCH) // _TICK
        self._writer.write(f"{entry.size} {time} {entry.digest} {entry.key}\n".encode())
        self.count += 1
        self.bytes += entry.size


@contextmanager
def list_writer(path: Path) -> Iterator[ListWriter]:
    """A new list, durable afterwards."""
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    with translated(path):
        with path.open("xb") as file, compressor.stream_writer(file, closefd=False) as writer:
            yield ListWriter(writer)
        fsync_file(path)


def listed(path: Path, count: int, size: int) -> Listed:
    """What is said of a list that was written."""
    return Listed(count, size, file_digest(path))


def read_list(path: Path) -> Iterator[Entry]:
    """The entries of a list. Raises `Corrupted`."""
    try:
        with translated(path), path.open("rb") as file:
            rest = ""
            for chunk in zstandard.ZstdDecompressor().read_to_iter(file, write_size=_CHUNK):
                *lines, rest = (rest + chunk.decode("ascii")).split("\n")
                for line in lines:
                    yield _entry(path, line)
    except (zstandard.ZstdError, UnicodeDecodeError) as error:
        raise damaged_list(path) from error
    if rest:
        raise damaged_list(path)


async def each(entries: Iterator[Entry]) -> AsyncIterator[Entry]:
    """The same, where an asynchronous iterator is needed."""
    for entry in entries:
        yield entry


def _entry(path: Path, line: str) -> Entry:
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise damaged_list(path)
    size, time, digest, key = parts.groups()
    keys.components(key)
    return Entry(key, int(size), _EPOCH + int(time) * _TICK, digest)


def damaged_list(path: Path) -> Corrupted:
    """The error of a list that is not as it was written."""
    return Corrupted(
        f"the list {path} of a backup is damaged", fix="take an older backup, with --at TIME"
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with translated(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
