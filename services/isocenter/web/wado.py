"""WADO-RS (PS3.18 10.4): studies, series and instances as objects and as metadata.

Without a transfer-syntax parameter, and with `*`, objects are sent as stored: nothing is decoded
that can be passed through. PS3.18 8.7.3.5.2 names Explicit VR Little Endian as the default; a
client that needs it says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from isocenter.core.apis import StoredInstance, Transcoding
from isocenter.core.packs import BULK_BASE
from isocenter.core.part10 import file_meta
from isocenter.web import negotiation
from isocenter.web.exchange import Chunks, Exchange, closing, if_none_match
from isocenter.web.multipart import MultipartWriter
from isocenter.web.negotiation import DICOM, DICOM_JSON, MULTIPART, MediaRange
from isocenter.web.retrieving import Retrieving, address, resource, unknown

_BULK_BASE = BULK_BASE.encode("ascii")
_METADATA_CHUNK = 256 * 1024  # bytes collected before they are sent


class Wado:
    """The retrieve transactions of whole objects and of metadata."""

    def __init__(self, *, retrieving: Retrieving, transcoding: Transcoding) -> None:
        self._retrieving = retrieving
        self._storage = retrieving.storage
        self._transcoding = transcoding

    # --- objects ---

    async def objects(self, exchange: Exchange) -> None:
        """A study, series or instance."""
        ranges = [one for one in negotiation.accepted(exchange) if one.takes(DICOM)]
        instances = await self._retrieving.all(exchange)
        wanted, targets = self._choose(ranges, instances, single="instance" in exchange.path)
        etag = _etag(instances, targets)
        if if_none_match(exchange, etag):
            await exchange.not_modified([(b"etag", etag)])
            return
        await self._retrieving.record(exchange, len(instances), "WADO-RS")
        headers = [(b"etag", etag), (b"vary", b"accept")]
        if wanted.multipart or wanted.media == negotiation.ANY:
            writer = MultipartWriter(DICOM)
            headers.append((b"content-type", writer.content_type))
            chunks = self._parts(writer, instances, targets, exchange.root)
        else:
            syntax = f"{DICOM}; transfer-syntax={targets[0]}"
            headers.append((b"content-type", syntax.encode("ascii")))
            headers += _length(instances[0], targets[0])
            chunks = self._file(instances[0], targets[0])
        await exchange.stream(200, headers, chunks)

    def _choose(
        self, ranges: Sequence[MediaRange], instances: Sequence[StoredInstance], *, single: bool
    ) -> tuple[MediaRange, Sequence[str]]:
        """The first range in which all instances can be sent, and each one's transfer syntax;
        ranges that differ only in the transfer syntax add up."""
        for wanted in ranges:
            whole = wanted.multipart or wanted.media == negotiation.ANY
            if not whole and not single:
                continue
            same = [one for one in ranges if one.media == wanted.media]
            targets = [self._target(instance, same) for instance in instances]
            if all(targets):
                return wanted, [target for target in targets if target]
        raise negotiation.not_acceptable(
            [f'{MULTIPART}; type="{DICOM}"; transfer-syntax=*', *([DICOM] if single else [])]
        )

    def _target(self, instance: StoredInstance, ranges: Sequence[MediaRange]) -> str | None:
        stored = instance.transfer_syntax
        for wanted in ranges:
            syntax = wanted.transfer_syntax
            if syntax in ("", "*", stored):
                return stored
            if syntax in self._transcoding.targets(stored):
                return syntax
        return None

    async def _parts(
        self,
        writer: MultipartWriter,
        instances: Sequence[StoredInstance],
        targets: Sequence[str],
        root: str,
    ) -> Chunks:
        for instance, target in zip(instances, targets, strict=True):
            begin = writer.begin(
                f"{DICOM}; transfer-syntax={target}", resource(root, instance.name)
            )
            async with aclosing(self._file(instance, target)) as file:
                async for chunk in file:
                    yield begin + chunk if begin else chunk
                    begin = b""
        yield writer.end

    async def _file(self, instance: StoredInstance, target: str) -> Chunks:
        """A Part 10 file. Its data set is read against the digest."""
        meta = file_meta(instance.sop_class, instance.name.instance, target)
        stored = instance.transfer_syntax
        async with closing(self._storage.data_set(instance)) as kept:
            data = kept if target == stored else self._transcoding.data_set(kept, stored, target)
            async with closing(data):
                async for chunk in data:
                    yield meta + chunk if meta else chunk
                    meta = b""

    # --- metadata ---

    async def metadata(self, exchange: Exchange) -> None:
        """The DICOM JSON Model of all instances at or below the address."""
        negotiation.json_only(exchange)
        headers = [(b"content-type", DICOM_JSON.encode("ascii"))]
        root = exchange.root.encode("ascii")
        async with closing(self._storage.metadata(*address(exchange))) as fragments:
            first = await anext(fragments, None)
            if first is None:
                raise unknown(exchange)
            await self._retrieving.record(exchange, 0, "WADO-RS metadata")
            await exchange.stream(200, headers, _array(first, fragments, root))


async def _array(first: bytes, rest: AsyncIterator[bytes], root: bytes) -> Chunks:
    """One JSON array in pieces of about `_METADATA_CHUNK` bytes."""
    pieces = [b"[" + first.replace(_BULK_BASE, root)]
    size = len(first)
    async for fragment in rest:
        pieces += (b",", fragment.replace(_BULK_BASE, root))
        size += len(fragment)
        if size >= _METADATA_CHUNK:
            yield b"".join(pieces)
            pieces, size = [], 0
    pieces.append(b"]")
    yield b"".join(pieces)


def _length(instance: StoredInstance, target: str) -> list[tuple[bytes, bytes]]:
    """Content-Length of a file that is sent as stored."""
    if target != instance.transfer_syntax:
        return []
    meta = file_meta(instance.sop_class, instance.name.instance, target)
    return [(b"content-length", b"%d" % (len(meta) + instance.size - instance.data_set_offset))]


def _etag(instances: Sequence[StoredInstance], targets: Sequence[str]) -> bytes:
    whole = hashlib.sha256()
    for instance, target in zip(instances, targets, strict=True):
        whole.update(f"{instance.digest} {target}\n".encode("ascii"))
    return f'"{whole.hexdigest()[:32]}"'.encode("ascii")
