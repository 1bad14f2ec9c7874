"""WADO-RS frames (PS3.18 10.4.1.1.6).

`transfer-syntax=*` means as stored, also together with type="application/octet-stream", as
viewers ask; each part then names the media type of its codestream. Uncompressed frames are
always little endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from isocenter.core.apis import PixelFormat, StoredInstance, Transcoding
from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Codec,
    TransferSyntax,
    lookup,
)
from isocenter.web import conditions, negotiation
from isocenter.web.chunks import Chunks, closing
from isocenter.web.exchange import Exchange
from isocenter.web.multipart import MultipartWriter
from isocenter.web.negotiation import FRAME_MEDIA_TYPES, OCTETS, Accepted, Offer
from isocenter.web.retrieving import Retrieving, frame_numbers, resource

_MPEG = "video/mpeg"  # as RFC 3555 calls MPEG-2


def is_plain(stored: TransferSyntax) -> bool:
    """Whether frames are kept as the bytes that uncompressed ones are sent as."""
    return stored.codec is Codec.NATIVE and stored.little_endian and not stored.encapsulated


def offers(stored: TransferSyntax, *, multipart: bool) -> Sequence[Offer]:
    """The forms in which frames can be had (PS3.18 tables 8.7.3-4 and -5), as stored before
    decoded where the client leaves it open with `*`."""
    native = (
        Offer(OCTETS, EXPLICIT_VR_LITTLE_ENDIAN, multipart),
        Offer(OCTETS, IMPLICIT_VR_LITTLE_ENDIAN, multipart, default=False),
    )
    if not stored.encapsulated:
        return native
    kept = [Offer(FRAME_MEDIA_TYPES[stored.uid], stored.uid, multipart)]
    if stored.codec is Codec.MPEG2:
        kept.append(Offer(_MPEG, stored.uid, multipart))
    as_octets = Offer(OCTETS, stored.uid, multipart, default=False)
    return (as_octets, *kept) if stored.video else (as_octets, *native, *kept)


def choose(accepted: Accepted, stored: TransferSyntax, *, single: bool) -> Offer | None:
    """The form that is wanted most; None if nothing acceptable can be made."""
    can = [
        offer
        for multipart in ((True, False) if single else (True,))
        for offer in offers(stored, multipart=multipart)
    ]
    best = accepted.best(can)
    if best and best.media == OCTETS and stored.encapsulated and best.transfer_syntax == stored.uid:
        return replace(best, media=FRAME_MEDIA_TYPES[stored.uid])
    return best


def _content_type(form: Offer) -> str:
    return f"{form.media}; transfer-syntax={form.transfer_syntax}"


class Frames:
    """The transaction that retrieves frames, and how others give them out."""

    def __init__(self, *, retrieving: Retrieving, transcoding: Transcoding) -> None:
        self._retrieving = retrieving
        self._storage = retrieving.storage
        self._transcoding = transcoding

    async def frames(self, exchange: Exchange) -> None:
        """The frames of a frame list."""
        numbers = frame_numbers(exchange.path["frames"], exchange.settings.max_frames)
        exchange.parameters("accept")
        instance = await self._retrieving.one(exchange)
        await self.answer(exchange, instance, numbers, "WADO-RS frames")

    def form(self, accepted: Accepted, transfer_syntax: str, *, single: bool) -> Offer:
        """The form that is wanted most of frames in a transfer syntax. Raises the 406 `Problem`."""
        stored = lookup(transfer_syntax)
        form = choose(accepted, stored, single=single)
        if form is None:
            raise negotiation.not_acceptable(offers(stored, multipart=True))
        return form

    async def answer(
        self, exchange: Exchange, instance: StoredInstance, numbers: Sequence[int], detail: str
    ) -> None:
        """These frames, as the client wants them."""
        accepted = negotiation.accepted(exchange)
        form = self.form(accepted, instance.transfer_syntax, single=len(numbers) == 1)
        known = conditions.of_instances([instance], form, strong=not form.multipart)
        there = max(numbers) <= instance.number_of_frames
        if there and await known.settled(exchange):
            return
        headers = known.headers
        await self._retrieving.accessed(exchange, instance.name, detail)
        if len(numbers) == 1:
            await self._single(exchange, instance, numbers[0], form, headers)
            return
        writer = MultipartWriter(form.media)
        headers.append((b"content-type", writer.content_type))
        place = f"{resource(exchange.root, instance.name)}/frames"
        parts = self._whole(writer, instance, numbers, form, place)
        await exchange.stream(200, headers, parts)

    async def _single(
        self,
        exchange: Exchange,
        instance: StoredInstance,
        number: int,
        form: Offer,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        """One frame is in memory as a whole: no stream, a length known beforehand."""
        async with aclosing(self._data(instance, [number], form)) as frames:
            data = await anext(frames)
        if not form.multipart:
            headers.append((b"content-type", _content_type(form).encode("ascii")))
            await exchange.answer(200, headers, data)
            return
        writer = MultipartWriter(form.media)
        headers.append((b"content-type", writer.content_type))
        place = f"{resource(exchange.root, instance.name)}/frames/{number}"
        begin = writer.begin(_content_type(form), place)
        await exchange.answer(200, headers, begin, data, writer.end)

    async def _whole(
        self,
        writer: MultipartWriter,
        instance: StoredInstance,
        numbers: Sequence[int],
        form: Offer,
        place: str,
    ) -> Chunks:
        async with aclosing(self.parts(writer, instance, numbers, form, place)) as chunks:
            async for chunk in chunks:
                yield chunk
        yield writer.end

    async def parts(
        self,
        writer: MultipartWriter,
        instance: StoredInstance,
        numbers: Sequence[int],
        form: Offer,
        place: str,
    ) -> Chunks:
        """Frames, each a part."""
        at = 0
        async with aclosing(self._data(instance, numbers, form)) as frames:
            async for data in frames:
                yield writer.begin(_content_type(form), f"{place}/{numbers[at]}")
                yield data
                at += 1

    async def _data(self, instance: StoredInstance, numbers: Sequence[int], form: Offer) -> Chunks:
        pixels: PixelFormat | None = None
        syntax = instance.transfer_syntax
        decode = form.transfer_syntax != syntax and not is_plain(lookup(syntax))
        async with closing(self._storage.frames(instance, numbers)) as frames:
            async for frame in frames:
                if not decode:
                    yield frame.data
                    continue
                pixels = pixels or await self._storage.pixel_format(instance)
                yield await self._transcoding.decode(frame.data, syntax, pixels)
