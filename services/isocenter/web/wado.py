"""WADO-RS (PS3.18 10.4): studies, series and instances as objects and as metadata.

Without a transfer-syntax parameter objects are sent in Explicit VR Little Endian (PS3.18
8.7.3.5.2), but as stored where that cannot be made: videos, and codecs that are not decoded here.
With `*` they are sent as stored: nothing is decoded that can be passed through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import orjson

from isocenter.core.apis import StoredInstance, Transcoding, Versions
from isocenter.core.errors import Withheld
from isocenter.core.events import AuditAction
from isocenter.core.packs import BULK_BASE
from isocenter.core.part10 import file_meta
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.web import conditions, negotiation
from isocenter.web.archives import Member, archive, file_name
from isocenter.web.chunks import Chunks, Pieces, closing, held_back, read_ahead
from isocenter.web.conditions import Validators
from isocenter.web.exchange import Exchange
from isocenter.web.model_answers import Framing, framing
from isocenter.web.multipart import MultipartWriter
from isocenter.web.negotiation import DICOM, ZIP, Accepted, Offer
from isocenter.web.retrieving import Retrieving, address, part10, resource

_BULK_BASE = BULK_BASE.encode("ascii")
_METADATA_CHUNK = 256 * 1024  # bytes collected before they are sent
# Pieces of objects that are transcoded while others are sent. What is only read is read when it
# is sent: the socket's buffer covers that time, and the processor's cache still holds it.
_AHEAD = 4

# How objects are put together: parts, a file of an archive each, and one alone.
_SHAPES_OF_MANY = (Offer(DICOM, multipart=True), Offer(ZIP))
_SHAPES = (*_SHAPES_OF_MANY, Offer(DICOM))

_Described = tuple[Versions | None, bytes]  # as `Storage.described`
_Head = Callable[[StoredInstance, str], bytes]  # what stands before a data set


class Wado:
    """The retrieve transactions of whole objects and of metadata."""

    def __init__(self, *, retrieving: Retrieving, transcoding: Transcoding) -> None:
        self._retrieving = retrieving
        self._storage = retrieving.storage
        self._transcoding = transcoding

    # --- objects ---

    async def objects(self, exchange: Exchange) -> None:
        """A study, series or instance."""
        accepted = negotiation.accepted(exchange)
        negotiation.of_one_kind(accepted)
        instances = await self._retrieving.taken(exchange)
        forms = self._choose(accepted, instances, single="instance" in exchange.path)
        targets = [forms[instance.transfer_syntax].transfer_syntax for instance in instances]
        if forms[instances[0].transfer_syntax].media == ZIP:
            await self._archive(exchange, instances, targets)
            return
        parts = forms[instances[0].transfer_syntax].multipart
        known = conditions.of_instances(instances, targets, DICOM, parts, strong=not parts)
        if await known.settled(exchange):
            return
        record = self._retrieving.record(exchange, len(instances), "WADO-RS")
        recorded = asyncio.create_task(record)
        tail = b""
        if parts:
            writer = MultipartWriter(DICOM)
            media, tail = writer.content_type, writer.end
            head: _Head = partial(_part_head, writer, exchange.root)
        else:
            media, head = f"{DICOM}; transfer-syntax={targets[0]}".encode("ascii"), _file_head
        headers = [*known.headers, (b"content-type", media)]
        heads = [head(*one) for one in zip(instances, targets, strict=True)]
        length = _length(instances, targets, sum(map(len, heads)) + len(tail))
        chunks = self._files(instances, targets, heads, tail)
        if not length:
            chunks = read_ahead(chunks, _AHEAD)
        await exchange.stream(200, headers + length, held_back(chunks, recorded))

    def _choose(
        self, accepted: Accepted, instances: Sequence[StoredInstance], *, single: bool
    ) -> Mapping[str, Offer]:
        """Stored transfer syntax -> the form that is wanted most (PS3.18 8.7.8.1: each part has
        its own), all of them parts or one of them the whole answer."""
        stored = list(dict.fromkeys(instance.transfer_syntax for instance in instances))
        chosen: dict[Offer, Mapping[str, Offer]] = {}
        for shape in _SHAPES if single else _SHAPES_OF_MANY:
            best = {uid: accepted.best(self._offers(uid, shape)) for uid in stored}
            forms = {uid: offer for uid, offer in best.items() if offer}
            if len(forms) == len(stored):
                chosen[forms[stored[0]]] = forms
        preferred = accepted.best(chosen)
        if preferred is None:
            raise negotiation.not_acceptable(self._all_offers(stored, single=single))
        return chosen[preferred]

    def _offers(self, stored: str, shape: Offer) -> Sequence[Offer]:
        """An instance in each transfer syntax. A file of an archive is as stored by default."""
        targets = (stored, *self._transcoding.targets(stored))
        plain = shape.media == DICOM and EXPLICIT_VR_LITTLE_ENDIAN in targets
        default = EXPLICIT_VR_LITTLE_ENDIAN if plain else stored
        return [replace(shape, transfer_syntax=uid, default=uid == default) for uid in targets]

    def _all_offers(self, stored: Sequence[str], *, single: bool) -> Sequence[Offer]:
        """What all instances can be had as."""
        common = set.intersection(*({one, *self._transcoding.targets(one)} for one in stored))
        return [
            replace(shape, transfer_syntax=uid)
            for shape in (_SHAPES if single else _SHAPES_OF_MANY)
            for uid in ("*", *sorted(common))
        ]

    async def _files(
        self,
        instances: Sequence[StoredInstance],
        targets: Sequence[str],
        heads: Sequence[bytes],
        tail: bytes,
    ) -> Pieces:
        """Part 10 files. Their data sets are read against the checksum, or the digest."""
        for one in zip(instances, targets, heads, strict=True):
            async with closing(part10(self._retrieving, self._transcoding, *one)) as pieces:
                async for piece in pieces:
                    yield piece
        if tail:
            yield tail

    async def _archive(
        self, exchange: Exchange, instances: Sequence[StoredInstance], targets: Sequence[str]
    ) -> None:
        """The same as a ZIP file."""
        known = conditions.of_instances(instances, targets, ZIP)
        if await known.settled(exchange):
            return
        record = self._retrieving.record(
            exchange, len(instances), "WADO-RS ZIP", AuditAction.EXPORT
        )
        recorded = asyncio.create_task(record)
        members = [self._member(*one) for one in zip(instances, targets, strict=True)]
        pieces = archive(members, self._storage.metadata(exchange.caller, *address(exchange)))
        place = f'attachment; filename="{file_name(exchange)}"'.encode("ascii")
        headers = [
            *known.headers,
            (b"content-type", ZIP.encode("ascii")),
            (b"content-disposition", place),
        ]
        await exchange.stream(200, headers, held_back(pieces, recorded))

    def _member(self, instance: StoredInstance, target: str) -> Member:
        head = _file_head(instance, target)
        same = target == instance.transfer_syntax
        size = len(head) + instance.size - instance.data_set_offset if same else None
        file = partial(part10, self._retrieving, self._transcoding, instance, target, head)
        return Member(instance.name, size, file)

    # --- metadata ---

    async def metadata(self, exchange: Exchange) -> None:
        """The model of all instances at or below the address."""
        exchange.parameters("accept", "charset")
        frame = framing(exchange)
        root = exchange.root
        described = self._storage.described(exchange.caller, *address(exchange))
        async with closing(described) as fragments:
            try:
                first = await anext(fragments, None)
            except Withheld as withheld:
                raise await self._retrieving.nothing(exchange, withheld.message) from withheld
            if first is None:
                raise await self._retrieving.nothing(exchange)
            versions = first[0]
            headers = [(b"content-type", frame.content_type)]
            if versions:
                weak = frame.parts is not None
                etag = conditions.tag_of([versions.digest, root, weak], strong=not weak)
                known = Validators(etag, versions.modified_at)
                if await known.settled(exchange):
                    return
                headers += known.headers
            record = self._retrieving.record(exchange, 0, "WADO-RS metadata")
            recorded = asyncio.create_task(record)
            await asyncio.sleep(0)  # the record is on its way to the disk while we go on
            chunks = _array(first, fragments, root.encode("ascii"), frame)
            await exchange.stream(200, headers, held_back(chunks, recorded))


async def _array(
    first: _Described, rest: AsyncIterator[_Described], root: bytes, frame: Framing
) -> Chunks:
    """All data sets in pieces of about `_METADATA_CHUNK` bytes."""
    write = partial(_in_xml, frame) if frame.parts else _in_json
    pieces = [frame.begin + await write(first[1].replace(_BULK_BASE, root))]
    size = len(first[1])
    async for _, fragment in rest:
        pieces += (frame.between, await write(fragment.replace(_BULK_BASE, root)))
        size += len(fragment)
        if size >= _METADATA_CHUNK:
            yield b"".join(pieces)
            pieces, size = [], 0
    pieces.append(frame.end)
    yield b"".join(pieces)


async def _in_json(fragment: bytes) -> bytes:
    return fragment


async def _in_xml(frame: Framing, fragment: bytes) -> bytes:
    return await asyncio.to_thread(lambda: frame.part(orjson.loads(fragment)))


def _file_head(instance: StoredInstance, target: str) -> bytes:
    return file_meta(instance.sop_class, instance.name.instance, target)


def _part_head(writer: MultipartWriter, root: str, instance: StoredInstance, target: str) -> bytes:
    begin = writer.begin(f"{DICOM}; transfer-syntax={target}", resource(root, instance.name))
    return begin + _file_head(instance, target)


def _length(
    instances: Sequence[StoredInstance], targets: Sequence[str], around: int
) -> list[tuple[bytes, bytes]]:
    """Content-Length of data sets that are sent as stored, with so many bytes around them."""
    if any(one.transfer_syntax != to for one, to in zip(instances, targets, strict=True)):
        return []
    size = sum(one.size - one.data_set_offset for one in instances)
    return [(b"content-length", b"%d" % (size + around))]
