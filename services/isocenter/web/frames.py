"""WADO-RS frames and bulk data (PS3.18 10.4.1.1.5 and 10.4.1.1.6).

`transfer-syntax=*` means as stored, also together with type="application/octet-stream", as
viewers ask; each part then names the media type of its codestream. Uncompressed frames are
always little endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from isocenter.core.apis import PixelFormat, StoredInstance, Transcoding
from isocenter.core.errors import Invalid
from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Codec,
    TransferSyntax,
    lookup,
)
from isocenter.web import negotiation
from isocenter.web.exchange import Chunks, Exchange, closing, if_none_match
from isocenter.web.multipart import MultipartWriter
from isocenter.web.negotiation import FRAME_MEDIA_TYPES, MULTIPART, OCTETS, MediaRange
from isocenter.web.retrieving import Retrieving, frame_numbers, resource

_UNCOMPRESSED = frozenset({"", EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN})
_PRIVATE = (b"cache-control", b"private, no-cache")


@dataclass(frozen=True, slots=True)
class Form:
    """How frames are sent."""

    media_type: str
    transfer_syntax: str
    decode: bool
    multipart: bool

    @property
    def content_type(self) -> str:
        """Of one frame."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"


def choose(ranges: Sequence[MediaRange], stored: TransferSyntax, *, single: bool) -> Form | None:
    """The form that is wanted most; None if nothing acceptable can be made."""
    plain = stored.codec is Codec.NATIVE and stored.little_endian and not stored.encapsulated
    as_stored = FRAME_MEDIA_TYPES[stored.codec]
    for wanted in ranges:
        multipart = wanted.multipart or wanted.media == negotiation.ANY
        if not multipart and not single:
            continue
        syntax = wanted.transfer_syntax
        native = Form(OCTETS, EXPLICIT_VR_LITTLE_ENDIAN, not plain, multipart)
        if plain:
            if wanted.takes(OCTETS) and (syntax in _UNCOMPRESSED or syntax == "*"):
                return native
            continue
        kept = Form(as_stored, stored.uid, decode=False, multipart=multipart)
        if (
            stored.encapsulated
            and syntax in ("*", stored.uid)
            and (wanted.takes(as_stored) or wanted.takes(OCTETS))
        ):
            return kept
        if syntax in _UNCOMPRESSED | {"*"} and wanted.takes(OCTETS) and not stored.video:
            return native
        if stored.encapsulated and not syntax and wanted.takes(as_stored):
            return kept
    return None


class Frames:
    """The transactions that retrieve pixels and other bulk data."""

    def __init__(self, *, retrieving: Retrieving, transcoding: Transcoding) -> None:
        self._retrieving = retrieving
        self._storage = retrieving.storage
        self._transcoding = transcoding

    async def frames(self, exchange: Exchange) -> None:
        """The frames of a frame list."""
        numbers = frame_numbers(exchange.path["frames"], exchange.settings.max_frames)
        ranges = negotiation.accepted(exchange)
        instance = await self._retrieving.one(exchange)
        stored = lookup(instance.transfer_syntax)
        form = choose(ranges, stored, single=len(numbers) == 1)
        if form is None:
            inner = dict.fromkeys((FRAME_MEDIA_TYPES[stored.codec], OCTETS))
            raise negotiation.not_acceptable([f'{MULTIPART}; type="{one}"' for one in inner])
        etag = f'"{instance.digest[:32]}-{form.transfer_syntax}"'.encode("ascii")
        headers = [(b"etag", etag), (b"vary", b"accept"), _PRIVATE]
        if if_none_match(exchange, etag):
            await exchange.not_modified(headers)
            return
        await self._retrieving.accessed(exchange, instance.name, "WADO-RS frames")
        if len(numbers) == 1:
            await self._single(exchange, instance, numbers[0], form, headers)
            return
        writer = MultipartWriter(form.media_type)
        headers.append((b"content-type", writer.content_type))
        place = f"{resource(exchange.root, instance.name)}/frames"
        parts = self._parts(writer, instance, numbers, form, place)
        await exchange.stream(200, headers, parts)

    async def _single(
        self,
        exchange: Exchange,
        instance: StoredInstance,
        number: int,
        form: Form,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        """One frame is in memory as a whole: no stream, a length known beforehand."""
        async with aclosing(self._data(instance, [number], form)) as frames:
            data = await anext(frames)
        if not form.multipart:
            headers.append((b"content-type", form.content_type.encode("ascii")))
            await exchange.answer(200, headers, data)
            return
        writer = MultipartWriter(form.media_type)
        headers.append((b"content-type", writer.content_type))
        place = f"{resource(exchange.root, instance.name)}/frames/{number}"
        begin = writer.begin(form.content_type, place)
        await exchange.answer(200, headers, begin, data, writer.end)

    async def _parts(
        self,
        writer: MultipartWriter,
        instance: StoredInstance,
        numbers: Sequence[int],
        form: Form,
        place: str,
    ) -> Chunks:
        at = 0
        async with aclosing(self._data(instance, numbers, form)) as frames:
            async for data in frames:
                yield writer.begin(form.content_type, f"{place}/{numbers[at]}")
                yield data
                at += 1
        yield writer.end

    async def _data(self, instance: StoredInstance, numbers: Sequence[int], form: Form) -> Chunks:
        pixels: PixelFormat | None = None
        syntax = instance.transfer_syntax
        async with closing(self._storage.frames(instance, numbers)) as frames:
            async for frame in frames:
                if not form.decode:
                    yield frame.data
                    continue
                pixels = pixels or await self._storage.pixel_format(instance)
                yield await self._transcoding.decode(frame.data, syntax, pixels)

    async def bulk_data(self, exchange: Exchange) -> None:
        """The value of one element, in its byte order as stored."""
        if exchange.query and exchange.query[0][0] != "accept":
            raise Invalid("bulk data has no parameter but `accept`")
        ranges = [one for one in negotiation.accepted(exchange) if one.takes(OCTETS)]
        if not ranges:
            raise negotiation.not_acceptable([OCTETS, f'{MULTIPART}; type="{OCTETS}"'])
        instance = await self._retrieving.one(exchange)
        etag = f'"{instance.digest[:32]}"'.encode("ascii")
        headers = [(b"etag", etag), (b"vary", b"accept"), _PRIVATE]
        if if_none_match(exchange, etag):
            await exchange.not_modified(headers)
            return
        value = await self._storage.bulk(instance, exchange.path["path"])
        await self._retrieving.accessed(exchange, instance.name, "WADO-RS bulk data")
        if not (ranges[0].multipart or ranges[0].media == negotiation.ANY):
            headers.append((b"content-type", OCTETS.encode("ascii")))
            await exchange.answer(200, headers, value)
            return
        writer = MultipartWriter(OCTETS)
        headers.append((b"content-type", writer.content_type))
        await exchange.answer(200, headers, writer.begin(OCTETS), value, writer.end)
