"""WADO-RS bulk data and pixel data (PS3.18 10.4.1.1.5 and 10.4.1.1.7): single values, and all
those of an instance, a series or a study.

A value comes as application/octet-stream in little endian, an encapsulated document also as the
media type that it says it has. The value of encapsulated pixel data is its frames, each a part.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from isocenter.core.access import SYSTEM
from isocenter.core.apis import StoredInstance
from isocenter.core.dictionary import PIXEL_TAGS
from isocenter.core.errors import NotFound
from isocenter.core.packs import BULK_BASE
from isocenter.core.transfer_syntax import lookup
from isocenter.web import conditions, negotiation, ranges
from isocenter.web.chunks import Chunks, closing
from isocenter.web.exchange import Exchange
from isocenter.web.frames import Frames
from isocenter.web.multipart import MultipartWriter
from isocenter.web.negotiation import OCTETS, Accepted, Offer
from isocenter.web.retrieving import Retrieving, resource

_PIXELS = frozenset(f"{tag:08X}" for tag in PIXEL_TAGS)
_DOCUMENT, _DOCUMENT_TYPE = "00420011", "00420012"
_MEDIA = re.compile(r"[a-z0-9][a-z0-9.+-]{0,126}/[a-z0-9][a-z0-9.+-]{0,126}")
_OCTETS = (Offer(OCTETS, multipart=True), Offer(OCTETS))


class BulkData:
    """The transactions that retrieve values of elements."""

    def __init__(self, *, retrieving: Retrieving, frames: Frames) -> None:
        self._retrieving = retrieving
        self._storage = retrieving.storage
        self._frames = frames

    async def element(self, exchange: Exchange) -> None:
        """The value of one element."""
        exchange.parameters("accept")
        path = exchange.path["path"]
        instance = await self._retrieving.one(exchange)
        if path.upper() in _PIXELS and lookup(instance.transfer_syntax).encapsulated:
            if not instance.number_of_frames:
                raise NotFound("the instance has no frames that could be told apart")
            numbers = range(1, instance.number_of_frames + 1)
            await self._frames.answer(exchange, instance, numbers, "WADO-RS bulk data")
            return
        forms = [*_OCTETS, *await self._as_document(instance, path)]
        form = negotiation.accepted(exchange).best(forms)
        if form is None:
            raise negotiation.not_acceptable(forms)
        size = await self._storage.bulk_size(instance, path)
        known = conditions.of_instances([instance], form, strong=not form.multipart)
        if await known.settled(exchange):
            return
        headers = known.headers
        part = None if form.multipart else ranges.asked(exchange, size, known.etag)
        await self._retrieving.accessed(exchange, instance.name, "WADO-RS bulk data")
        if form.multipart:
            writer = MultipartWriter(form.media)
            place = f"{resource(exchange.root, instance.name)}/bulkdata/{path}"
            begin = writer.begin(form.media, place)
            length = size + len(begin) + len(writer.end)
            headers += [_length(length), (b"content-type", writer.content_type)]
            value = self._storage.bulk(instance, path)
            await exchange.stream(200, headers, _part(begin, value, writer.end))
            return
        headers += [(b"content-type", form.media.encode("ascii")), (b"accept-ranges", b"bytes")]
        offset, length = part or (0, size)
        headers += [_length(length), *([ranges.content_range(part, size)] if part else [])]
        value = self._storage.bulk(instance, path, offset, length)
        await exchange.stream(206 if part else 200, headers, _part(b"", value, b""))

    async def _as_document(self, instance: StoredInstance, path: str) -> Sequence[Offer]:
        """The media type of an encapsulated document (PS3.3 C.24.2)."""
        if path != _DOCUMENT:
            return ()
        value = (await self._attributes(instance)).get(_DOCUMENT_TYPE, {}).get("Value", [""])[0]
        media = str(value).strip().lower()
        return (Offer(media),) if _MEDIA.fullmatch(media) else ()

    async def _attributes(self, instance: StoredInstance) -> dict[str, Any]:
        name = instance.name
        level = name.partition, name.study, name.series, name.instance
        found = self._storage.metadata(SYSTEM, *level)  # whoever asks was given the instance
        async with closing(found) as fragments:
            attributes: dict[str, Any] = orjson.loads(await anext(fragments))
            return attributes

    # --- all of a level --------------------------------------------------------------------------

    async def all_values(self, exchange: Exchange) -> None:
        """All bulk data at or below the address, pixel data included."""
        await self._all(exchange, "WADO-RS bulk data", pixels_alone=False)

    async def all_pixels(self, exchange: Exchange) -> None:
        """All pixel data at or below the address."""
        await self._all(exchange, "WADO-RS pixel data", pixels_alone=True)

    async def _all(self, exchange: Exchange, detail: str, *, pixels_alone: bool) -> None:
        exchange.parameters("accept")
        accepted = negotiation.accepted(exchange)
        octets = accepted.best(_OCTETS[:1])
        instances = await self._retrieving.all(exchange)
        if pixels_alone:
            instances = [one for one in instances if one.number_of_frames]
            if not instances:
                raise NotFound("nothing here has pixel data")
        syntaxes = {one.transfer_syntax for one in instances if one.number_of_frames}
        forms = [self._frames.form(accepted, one, single=False) for one in sorted(syntaxes)]
        if octets is None and not pixels_alone:
            raise negotiation.not_acceptable(_OCTETS[:1])
        writer = MultipartWriter(OCTETS)
        root = exchange.root
        known = conditions.of_instances(instances, forms, pixels_alone, root, strong=False)
        if await known.settled(exchange):
            return
        await self._retrieving.record(exchange, len(instances), detail)
        headers = [*known.headers, (b"content-type", writer.content_type)]
        parts = (self._parts(writer, root, accepted, one, pixels_alone) for one in instances)
        await exchange.stream(200, headers, _joined(parts, writer.end))

    async def _parts(
        self,
        writer: MultipartWriter,
        root: str,
        accepted: Accepted,
        instance: StoredInstance,
        pixels_alone: bool,
    ) -> Chunks:
        """The values of an instance, each a part."""
        place = resource(root, instance.name)
        for path in _paths(await self._attributes(instance)):
            is_pixels = path in _PIXELS
            if pixels_alone and not is_pixels:
                continue
            if is_pixels and lookup(instance.transfer_syntax).encapsulated:
                form = self._frames.form(accepted, instance.transfer_syntax, single=False)
                numbers = range(1, instance.number_of_frames + 1)
                chunks = self._frames.parts(writer, instance, numbers, form, f"{place}/frames")
            else:
                begin = writer.begin(OCTETS, f"{place}/bulkdata/{path}")
                chunks = _part(begin, self._storage.bulk(instance, path), b"")
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        self._retrieving.given_out.count(instance.size)


def _paths(attributes: dict[str, Any]) -> list[str]:
    """Where the bulk data elements of an instance are, in their order."""
    found: list[str] = []
    for element in attributes.values():
        uri = element.get("BulkDataURI", "")
        if uri.startswith(BULK_BASE):
            found.append(uri.partition("/bulkdata/")[2])
        if element["vr"] == "SQ":
            for item in element.get("Value") or ():
                found += _paths(item)
    return found


async def _joined(streams: Iterable[Chunks], end: bytes) -> Chunks:
    for stream in streams:
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk
    yield end


async def _part(begin: bytes, value: AsyncIterator[bytes], end: bytes) -> Chunks:
    async with closing(value) as chunks:
        first = await anext(chunks, b"")  # not before the value is known to be there
        yield begin + first
        async for chunk in chunks:
            yield chunk
    if end:
        yield end


def _length(size: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % size
