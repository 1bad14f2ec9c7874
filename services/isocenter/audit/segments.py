"""Segments of the trail in the object store: read, written and found (`audit.seals` has the keys).

Finding the last seal of a chain costs little however long the chain is: whole millions of records
are skipped, and the next time is only about what is new.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256

from isocenter.audit.chain import Links, checked
from isocenter.audit.seals import (
    CHAINS,
    Expiry,
    Seal,
    Signed,
    folder_of,
    million_of,
)
from isocenter.core.audit_api import Head
from isocenter.core.errors import Conflict, Corrupted, NotFound
from isocenter.core.ports import BlobStore
from isocenter.runtime.streams import generator

_COMPRESSION = 1
_GZIP = 31  # how zlib is told to expect the frame of gzip
_LONGEST_LINE = 4 * 1024 * 1024  # bytes; records are bounded below it (`runtime.audit_bounds`)
_LAST = "~"  # sorts behind everything that a key has


@dataclass(frozen=True, slots=True)
class Sealed:
    """A seal as it is kept."""

    seal: Seal
    signed: Signed

    @property
    def digest(self) -> str:
        """SHA-256 of its file."""
        return self.signed.digest

    @property
    def published(self) -> Head:
        """What others may be told, so that they find out when the end is cut off."""
        seal = self.seal
        return Head(seal.chain, seal.last, seal.head, self.digest, seal.sealed_at)


class Segments:
    """The segments of all chains in one object store."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs
        self._last_keys: dict[str, str] = {}  # of chains: the last seal that was seen

    async def chains(self) -> Sequence[str]:
        """The names of all chains, sorted."""
        found: list[str] = []
        after = ""
        while key := await self._first(CHAINS, after):
            found.append(key.removeprefix(CHAINS).partition("/")[0])
            after = f"{CHAINS}{found[-1]}/{_LAST}"
        return found

    async def last(self, chain: str) -> Sealed | None:
        """The newest seal of a chain, if it has any. Raises `Corrupted`."""
        if known := self._last_keys.get(chain):
            keys = [key async for key in self._seal_keys(f"{CHAINS}{chain}/", known)]
            try:
                return await self._remembered(chain, keys[-1] if keys else known)
            except NotFound:
                del self._last_keys[chain]  # seals stay; somebody has cut the end off
        key = await self._last_key(chain)
        return await self._remembered(chain, key) if key else None

    async def _remembered(self, chain: str, key: str) -> Sealed:
        sealed = await self.read_seal(key)
        self._last_keys[chain] = key
        return sealed

    async def _last_key(self, chain: str) -> str:
        million = await self._last_million(chain)
        while million >= 0:
            # Lines without a seal are of an attempt that did not end; then it is further in front.
            keys = [key async for key in self._seal_keys(million_of(chain, million))]
            if keys:
                return keys[-1]
            million -= 1
        return ""

    async def of(self, chain: str, first: int = 0) -> AsyncIterator[Sealed]:
        """The seals of a chain, from the one that holds record `first` on. Raises `Corrupted`."""
        held: Sealed | None = None
        after = folder_of(chain, first) if first else ""
        if first and (held := await self.holding(chain, first)):
            yield held
        async for key in self._seal_keys(f"{CHAINS}{chain}/", after):
            one = await self.read_seal(key)
            if held is None or one.seal.first > held.seal.first:
                yield one

    async def holding(self, chain: str, sequence: int) -> Sealed | None:
        """The seal of the segment that holds a record, if it is sealed."""
        million = sequence // 1_000_000
        while million >= 0:
            best = ""
            async for key in self._seal_keys(million_of(chain, million)):
                if int(key.split("/")[-2]) > sequence:
                    break
                best = key
            if best:
                found = await self.read_seal(best)
                return found if found.seal.last >= sequence else None
            million -= 1
        return None

    async def lines(self, seal: Seal) -> Links:
        """The lines of a segment, checked against its seal. Raises `NotFound`, `Corrupted`."""
        content = await self.blobs.get(seal.lines_key)
        return links_of(seal, content)

    async def expiry(self, seal: Seal) -> tuple[Expiry, Signed] | None:
        """What says that the lines of a segment were removed, if anything does."""
        key = f"{seal.folder}expired"
        try:
            signed = Signed.read(key, await self.blobs.get(key))
        except NotFound:
            return None
        return signed.content(key, Expiry), signed

    async def say_expired(self, seal: Seal, signed: Signed) -> None:
        """Make durable what says that the lines of a segment are removed; what was said first
        stays."""
        if await self.expiry(seal) is None:
            await self.put(f"{seal.folder}expired", signed.file)

    async def write(self, seal: Seal, signed: Signed, packed: bytes) -> None:
        """Make a segment durable. Raises `Conflict` if somebody else has sealed what is there."""
        await self.put(seal.lines_key, packed)
        key = f"{seal.folder}seal"
        try:
            await self.put(key, signed.file)
            kept = await self.blobs.get(key)
        except Corrupted as error:
            raise _other(seal) from error
        if kept != signed.file:
            raise _other(seal)

    async def put(self, key: str, content: bytes) -> None:
        """Make a small file durable."""
        await self.blobs.put(key, [content], sha256(content).hexdigest())

    async def read_seal(self, key: str) -> Sealed:
        """The seal under a key. Raises `Corrupted`."""
        signed = Signed.read(key, await self.blobs.get(key))
        seal = signed.content(key, Seal)
        if f"{seal.folder}seal" != key:
            raise Corrupted(f"{key} is the seal of another segment", fix="it was moved")
        return Sealed(seal, signed)

    async def _seal_keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        async with aclosing(generator(self.blobs.list(prefix, after))) as infos:
            async for info in infos:
                if info.key.endswith("/seal"):
                    yield info.key

    async def _first(self, prefix: str, after: str) -> str:
        async with aclosing(generator(self.blobs.list(prefix, after))) as infos:
            async for info in infos:
                return info.key
        return ""

    async def _last_million(self, chain: str) -> int:
        """The last one in which a key is; -1 if there is none."""
        prefix = f"{CHAINS}{chain}/"
        found, step = -1, 1
        while True:
            after = f"{prefix}{found + step - 1:010}/{_LAST}" if found + step else ""
            key = await self._first(prefix, after)
            if key:
                found, step = int(key.removeprefix(prefix).partition("/")[0]), step * 2
            elif step == 1:
                return found
            else:
                step = 1


def packed(lines: Sequence[bytes]) -> bytes:
    """The file of lines."""
    return gzip.compress(b"\n".join(lines) + b"\n", _COMPRESSION, mtime=0)


def links_of(seal: Seal, content: bytes) -> Links:
    """The lines of a segment from their file. Raises `Corrupted`."""
    name = f"segment {seal.chain}/{seal.first}"
    if sha256(content).hexdigest() != seal.records:
        raise Corrupted(f"{name} is not what was sealed", fix="isocenter audit verify")
    links = checked(unpacked(seal, content), seal.first, seal.previous)
    if len(links.lines) != seal.count or links.head != seal.head or links.root != seal.root:
        raise Corrupted(f"{name} has other records than its seal", fix="isocenter audit verify")
    return links


def unpacked(seal: Seal, content: bytes) -> list[bytes]:
    """The lines in a file, whatever they are; no more than the records can need. Raises
    `Corrupted`."""
    file = zlib.decompressobj(wbits=_GZIP)
    try:
        text = file.decompress(content, seal.count * _LONGEST_LINE)
    except zlib.error as error:
        raise Corrupted(
            f"segment {seal.chain}/{seal.first} cannot be unpacked", fix="isocenter audit verify"
        ) from error
    if not file.eof:
        raise Corrupted(
            f"segment {seal.chain}/{seal.first} is longer or shorter than its records can be",
            fix="isocenter audit verify",
        )
    return text.removesuffix(b"\n").split(b"\n") if text else []


def _other(seal: Seal) -> Conflict:
    return Conflict(
        f"{seal.chain} was sealed from record {seal.first} on by another process",
        fix="nothing is lost: this one goes on behind it",
    )
