"""Pictures of instances, as rendered resources, thumbnails and WADO-URI give them (PS3.18 8.7.4):
which kinds of them there are of an instance, and making them one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from isocenter.core.access import SYSTEM
from isocenter.core.apis import Rendering, StoredInstance, Transcoding
from isocenter.core.matching import JsonAttributes
from isocenter.core.transfer_syntax import TRANSFER_SYNTAXES, Codec
from isocenter.web import conditions, negotiation
from isocenter.web.chunks import Chunks, Pieces, closing, held_back, read_ahead
from isocenter.web.exchange import Exchange
from isocenter.web.gif import animation
from isocenter.web.negotiation import Offer
from isocenter.web.problems import Headers, Problem
from isocenter.web.render_parameters import Given
from isocenter.web.retrieving import Retrieving

GIF = "image/gif"
PDF = "application/pdf"
# PS3.18 table 8.7.4-1, the default first; image/webp is ours.
IMAGE_TYPES = ("image/jpeg", "image/png", GIF, "image/webp")

_ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
_ENCAPSULATED_DOCUMENT = "00420011"
# Frames per second, or milliseconds per frame (PS3.3 C.7.6.5), the first that there is.
_RATES = ("00082144", "00180040")
_FRAME_TIME = "00181063"
_AHEAD = 4  # pictures that are made while others are sent
_DELAY = 10  # hundredths of a second, where the object says nothing


@dataclass(frozen=True, slots=True)
class Subject:
    """Frames of an instance."""

    instance: StoredInstance
    numbers: Sequence[int]

    @property
    def drawable(self) -> bool:
        """Whether frames can be drawn one by one."""
        syntax = TRANSFER_SYNTAXES.get(self.instance.transfer_syntax)
        return bool(self.numbers and syntax and not syntax.video and syntax.codec is not Codec.JPIP)

    @property
    def there(self) -> bool:
        """Whether the instance has these frames."""
        return max(self.numbers, default=0) <= self.instance.number_of_frames

    @property
    def is_pdf(self) -> bool:
        """Whether the instance is a PDF in an object."""
        return self.instance.sop_class == _ENCAPSULATED_PDF and not self.numbers

    def given_as(self, media_type: str) -> bool:
        """Whether there is something of it in this media type."""
        return self.is_pdf if media_type == PDF else self.drawable

    def count(self, media_type: str) -> int:
        """How many files it makes: an animation and a document are one."""
        return 1 if media_type in (GIF, PDF) else len(self.numbers)


def whole(instance: StoredInstance) -> Subject:
    """All frames of an instance."""
    return Subject(instance, range(1, instance.number_of_frames + 1))


def choose(exchange: Exchange, forms: Sequence[Offer]) -> Offer:
    """The form that is wanted most. Raises the 406 `Problem`."""
    best = negotiation.accepted(exchange).best(forms)
    if best is None:
        raise negotiation.not_acceptable(forms)
    return best


def nothing_to_draw(subjects: Iterable[Subject]) -> Problem:
    """406, with the reason."""
    if any(subject.numbers for subject in subjects):
        return Problem(406, "videos and referenced pixels are not drawn; retrieve the object")
    return Problem(406, "there is no pixel data to be drawn; retrieve the object or its metadata")


async def settled(
    exchange: Exchange, subjects: Sequence[Subject], form: Offer, how: Rendering, given: Given
) -> list[tuple[bytes, bytes]] | None:
    """The header fields of an answer, the media type last; None if the client has these pictures
    and was told so."""
    known = conditions.of_instances(
        [subject.instance for subject in subjects],
        form,
        how,
        [subject.numbers for subject in subjects],
        strong=not form.multipart,
    )
    there = all(subject.there for subject in subjects)
    if there and await known.settled(exchange):
        return None
    return [*known.headers, *given.warnings, (b"content-type", form.media.encode("ascii"))]


async def stream(
    exchange: Exchange, headers: Headers, chunks: Pieces, record: Callable[[], Awaitable[None]]
) -> None:
    """An answer while it is made, that begins once it is recorded."""
    recorded = asyncio.ensure_future(record())
    await exchange.stream(200, headers, held_back(read_ahead(chunks, _AHEAD), recorded))


class Pictures:
    """Makes them."""

    def __init__(self, *, retrieving: Retrieving, transcoding: Transcoding) -> None:
        self._storage = retrieving.storage
        self._transcoding = transcoding

    async def drawn(self, subject: Subject, how: Rendering) -> Chunks:
        """A file for each frame. Raises `NotFound` for a frame that is not there."""
        instance = subject.instance
        pixels = await self._storage.pixel_format(instance)
        async with closing(self._storage.frames(instance, subject.numbers)) as frames:
            async for frame in frames:
                syntax = instance.transfer_syntax
                yield await self._transcoding.render(frame.data, syntax, pixels, how)

    async def answer(
        self,
        exchange: Exchange,
        headers: Headers,
        subject: Subject,
        how: Rendering,
        record: Callable[[], Awaitable[None]],
    ) -> None:
        """Answer with the one file of a subject: an animation while it is made, a document while it
        is read, others as a whole, of a length that is known."""
        if how.media_type == PDF or (how.media_type == GIF and len(subject.numbers) > 1):
            await stream(exchange, headers, self.file(subject, how), record)
            return
        async with aclosing(self.file(subject, how)) as pieces:
            file = [piece async for piece in pieces]
        await record()
        await exchange.answer(200, headers, *file)

    async def file(self, subject: Subject, how: Rendering) -> Chunks:
        """The one file that the subject makes, in pieces."""
        if how.media_type == PDF:
            async with closing(self._document(subject.instance)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        async with aclosing(self.drawn(subject, how)) as drawn:
            if how.media_type == GIF and len(subject.numbers) > 1:
                delay = await self._delay(subject.instance)
                async with aclosing(animation(drawn, delay)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            async for picture in drawn:
                yield picture

    async def _document(self, instance: StoredInstance) -> Chunks:
        """A document, without the NUL that makes its length even (PS3.5 7.1)."""
        last = b""
        async with closing(self._storage.bulk(instance, _ENCAPSULATED_DOCUMENT)) as chunks:
            async for chunk in chunks:
                yield last
                last = chunk
        yield last.removesuffix(b"\0")

    async def _delay(self, instance: StoredInstance) -> int:
        """Between frames, in hundredths of a second."""
        name = instance.name
        level = name.partition, name.study, name.series, name.instance
        found = self._storage.metadata(SYSTEM, *level)  # whoever asks was given the instance
        async with closing(found) as fragments:
            async for fragment in fragments:
                return _delay(orjson.loads(fragment))
        return _DELAY


def _delay(attributes: JsonAttributes) -> int:
    for rate in _RATES:
        per_second = _positive(attributes, rate)
        if per_second:
            return max(1, round(100 / per_second))
    milliseconds = _positive(attributes, _FRAME_TIME)
    return max(1, round(milliseconds / 10)) if milliseconds else _DELAY


def _positive(attributes: JsonAttributes, tag: str) -> float:
    """A number above 0; 0 where there is none."""
    value = (attributes.get(tag, {}).get("Value") or [0])[0]
    return float(value) if isinstance(value, int | float) and value > 0 else 0.0
