"""Rendered resources and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4) of studies, series, instances
and frames.

A resource of one picture is that picture, one of several is multipart/related with a part for
each; all frames of an instance are also one animated GIF. Of a study or a series what cannot be
drawn is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial

from isocenter.core.apis import Rendering
from isocenter.core.errors import Invalid, NotFound, Unsupported
from isocenter.web.chunks import Chunks
from isocenter.web.exchange import Exchange
from isocenter.web.multipart import MultipartWriter
from isocenter.web.negotiation import Offer
from isocenter.web.pictures import (
    GIF,
    IMAGE_TYPES,
    PDF,
    Pictures,
    Subject,
    choose,
    nothing_to_draw,
    settled,
    stream,
    whole,
)
from isocenter.web.render_parameters import (
    QUALITY,
    RENDERED,
    THUMBNAIL,
    Given,
    Viewport,
    Window,
    read,
)
from isocenter.web.retrieving import Retrieving, frame_numbers, resource

_THUMBNAIL_QUALITY = 80


class Rendered:
    """The transactions that draw."""

    def __init__(self, *, retrieving: Retrieving, pictures: Pictures) -> None:
        self._retrieving = retrieving
        self._pictures = pictures

    async def rendered(self, exchange: Exchange) -> None:
        """Every picture at or below the address."""
        given = read(exchange, RENDERED)
        subjects = await self._subjects(exchange)
        form = choose(exchange, _forms(subjects))
        subjects = [one for one in subjects if one.given_as(form.media)]
        how = _rendering(form, given)
        headers = await settled(exchange, subjects, form, how, given)
        if headers is None:
            return
        record = partial(self._record, exchange, subjects)
        if not form.multipart:
            await self._pictures.answer(exchange, headers, subjects[0], how, record)
            return
        writer = MultipartWriter(form.media)
        headers[-1] = (b"content-type", writer.content_type)
        parts = self._parts(exchange, writer, subjects, how)
        await stream(exchange, headers, parts, record)

    async def thumbnail(self, exchange: Exchange) -> None:
        """A small picture of what is typical: the middle frame of the middle image, of a study in
        its largest series."""
        given = read(exchange, THUMBNAIL)
        form = choose(exchange, [Offer(media_type) for media_type in IMAGE_TYPES])
        subject = _typical(await self._subjects(exchange))
        edge = exchange.settings.thumbnail
        viewport: Viewport = given.values.get("viewport", Viewport(edge, edge))
        how = Rendering(
            form.media, _THUMBNAIL_QUALITY, columns=viewport.columns, rows=viewport.rows
        )
        headers = await settled(exchange, [subject], form, how, given)
        if headers is None:
            return
        name = subject.instance.name
        record = partial(self._retrieving.accessed, exchange, name, "WADO-RS thumbnail")
        await self._pictures.answer(exchange, headers, subject, how, record)

    async def _subjects(self, exchange: Exchange) -> Sequence[Subject]:
        if "instance" not in exchange.path:
            return [whole(one) for one in await self._retrieving.all(exchange)]
        frames = exchange.path.get("frames")
        numbers = frame_numbers(frames, exchange.settings.max_frames) if frames else ()
        instance = await self._retrieving.one(exchange)
        return [Subject(instance, numbers) if frames else whole(instance)]

    async def _record(self, exchange: Exchange, subjects: Sequence[Subject]) -> None:
        detail = "WADO-RS rendered"
        if "instance" in exchange.path:
            await self._retrieving.accessed(exchange, subjects[0].instance.name, detail)
        else:
            await self._retrieving.record(exchange, len(subjects), detail)

    async def _parts(
        self,
        exchange: Exchange,
        writer: MultipartWriter,
        subjects: Sequence[Subject],
        how: Rendering,
    ) -> Chunks:
        """The parts of an answer. Of a study or series, an instance is left out too that proves to
        be of a kind that is not drawn, or to have nothing in the region that is asked for."""
        root = exchange.root
        begun = False
        failure: Exception | None = None
        for subject in subjects:
            within = False
            try:
                async with aclosing(self._part(writer, subject, how, root)) as pieces:
                    async for piece in pieces:
                        begun = within = True
                        yield piece
            except (Invalid, Unsupported) as error:
                if within or "instance" in exchange.path:
                    raise
                failure = error
        if failure and not begun:
            raise failure
        yield writer.end

    async def _part(
        self, writer: MultipartWriter, subject: Subject, how: Rendering, root: str
    ) -> Chunks:
        """A part for each file that a subject makes."""
        place = resource(root, subject.instance.name)
        if how.media_type in (GIF, PDF):
            head = writer.begin(how.media_type, f"{place}/rendered")
            async with aclosing(self._pictures.file(subject, how)) as pieces:
                async for piece in pieces:
                    yield head + piece
                    head = b""
            return
        numbers = iter(subject.numbers)
        async with aclosing(self._pictures.drawn(subject, how)) as drawn:
            async for picture in drawn:
                location = f"{place}/frames/{next(numbers)}/rendered"
                yield writer.begin(how.media_type, location) + picture


def _forms(subjects: Sequence[Subject]) -> Sequence[Offer]:
    """What there is of the subjects, the default first. Raises the 406 `Problem`."""
    forms: list[Offer] = []
    for media_type in (*IMAGE_TYPES, PDF):
        files = sum(one.count(media_type) for one in subjects if one.given_as(media_type))
        if files == 1:
            forms.append(Offer(media_type))
        if files:
            forms.append(Offer(media_type, multipart=True))
    if not forms:
        raise nothing_to_draw(subjects)
    return forms


def _rendering(form: Offer, given: Given) -> Rendering:
    viewport: Viewport = given.values.get("viewport", Viewport(0, 0))
    window: Window | None = given.values.get("window")
    return Rendering(
        form.media,
        given.values.get("quality", QUALITY),
        window.center if window else None,
        window.width if window else None,
        viewport.columns,
        viewport.rows,
        window.function if window else "",
        viewport.source,
        viewport.flip_horizontal,
        viewport.flip_vertical,
    )


def _typical(subjects: Sequence[Subject]) -> Subject:
    """The middle frame of the middle image of the largest series. Raises `NotFound`."""
    series: defaultdict[str, list[Subject]] = defaultdict(list)
    for subject in subjects:
        if subject.drawable:
            series[subject.instance.name.series].append(subject)
    if not series:
        raise NotFound("nothing here has pixel data that is drawn")
    largest = max(series.values(), key=len)
    largest.sort(key=_in_order)
    middle = largest[len(largest) // 2]
    return Subject(middle.instance, [middle.numbers[len(middle.numbers) // 2]])


def _in_order(subject: Subject) -> list[str]:
    """Most makers count up the last component of their UIDs: as numbers they are in the order of
    the images."""
    return [component.zfill(64) for component in subject.instance.name.instance.split(".")]
