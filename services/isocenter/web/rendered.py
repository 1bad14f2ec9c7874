"""WADO-RS rendered instances and frames, and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4)."""

from __future__ import annotations

import math

from isocenter.core.apis import Rendering, StoredInstance, Transcoding
from isocenter.core.errors import Invalid, NotFound
from isocenter.web import negotiation
from isocenter.web.exchange import Exchange, closing, if_none_match
from isocenter.web.retrieving import Retrieving, frame_numbers

MEDIA_TYPES = ("image/jpeg", "image/png")
_QUALITY = 90


class Rendered:
    """The transactions that draw."""

    def __init__(self, *, retrieving: Retrieving, transcoding: Transcoding) -> None:
        self._retrieving = retrieving
        self._storage = retrieving.storage
        self._transcoding = transcoding

    async def rendered(self, exchange: Exchange) -> None:
        """One frame of an instance, the first unless the address names another."""
        how = _rendering(exchange)
        instance = await self._retrieving.one(exchange)
        await self._draw(exchange, instance, how, "WADO-RS rendered")

    async def thumbnail(self, exchange: Exchange) -> None:
        """A small picture of an instance, a series or a study: of its first one with pixels."""
        edge = exchange.settings.thumbnail
        given = exchange.parameters("accept", "viewport")
        columns, rows = _viewport(exchange, given.get("viewport", f"{edge},{edge}"))
        how = Rendering(negotiation.pick(exchange, MEDIA_TYPES), 80, columns=columns, rows=rows)
        for instance in await self._retrieving.all(exchange):
            if instance.number_of_frames:
                await self._draw(exchange, instance, how, "WADO-RS thumbnail")
                return
        raise NotFound("nothing here has pixel data")

    async def _draw(
        self, exchange: Exchange, instance: StoredInstance, how: Rendering, detail: str
    ) -> None:
        numbers = frame_numbers(exchange.path.get("frames", "1"), exchange.settings.max_frames)
        if len(numbers) > 1:
            raise Invalid("one frame is rendered at a time", fix="name one frame in the address")
        etag = _etag(instance, numbers[0], how)
        headers = [(b"etag", etag), (b"vary", b"accept"), (b"cache-control", b"private, no-cache")]
        if if_none_match(exchange, etag):
            await exchange.not_modified(headers)
            return
        pixels = await self._storage.pixel_format(instance)
        async with closing(self._storage.frames(instance, numbers)) as frames:
            frame = await anext(frames)
        syntax = instance.transfer_syntax
        picture = await self._transcoding.render(frame.data, syntax, pixels, how)
        await self._retrieving.accessed(exchange, instance.name, detail)
        headers.append((b"content-type", how.media_type.encode("ascii")))
        await exchange.answer(200, headers, picture)


def _etag(instance: StoredInstance, number: int, how: Rendering) -> bytes:
    variant = (
        f"{number}-{how.media_type[6:]}-{how.quality}-{how.window_center}-{how.window_width}"
        f"-{how.columns}x{how.rows}"
    )
    return f'"{instance.digest[:32]}-{variant}"'.encode("ascii")


def _rendering(exchange: Exchange) -> Rendering:
    """The parameters of PS3.18 8.3.5 that are supported."""
    given = exchange.parameters("accept", "quality", "viewport", "window")
    center = width = None
    if "window" in given:
        center, width = _window(given["window"])
    columns = rows = 0
    if "viewport" in given:
        columns, rows = _viewport(exchange, given["viewport"])
    media = negotiation.pick(exchange, MEDIA_TYPES)
    return Rendering(media, _quality(given), center, width, columns, rows)


def _quality(given: dict[str, str]) -> int:
    text = given.get("quality", str(_QUALITY))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise Invalid("parameter quality must be a number from 1 to 100")
    return int(text)


def _window(text: str) -> tuple[float, float]:
    """center,width[,function]; the function must be linear, the others are not drawn."""
    parts = text.split(",")
    try:
        center, width = float(parts[0]), float(parts[1])
    except (ValueError, IndexError):
        center = width = math.nan
    function = parts[2].lower() if len(parts) == 3 else "linear"
    usable = math.isfinite(center) and math.isfinite(width) and width >= 1
    if not usable or len(parts) > 3 or function != "linear":
        raise Invalid("parameter window must be center,width with a width of at least 1")
    return center, width


def _viewport(exchange: Exchange, text: str) -> tuple[int, int]:
    """columns,rows of the picture; parts of an image are not cut out."""
    parts = text.split(",")
    numbers = [int(part) if part.isascii() and part.isdigit() and len(part) < 6 else 0
               for part in parts]  # fmt: skip
    most = exchange.settings.max_viewport
    if len(numbers) != 2 or not all(1 <= number <= most for number in numbers):
        raise Invalid(f"parameter viewport must be columns,rows, each from 1 to {most}")
    return numbers[0], numbers[1]
