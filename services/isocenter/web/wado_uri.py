"""WADO-URI (PS3.18 chapter 9): one instance, as an object or as a picture, by the parameters of an
address.

An object comes in the transfer syntax that is asked for if it can be made, else in Explicit VR
Little Endian (PS3.18 9.4.1.2.3). An image of one frame is a picture unless an object is asked for;
everything else is an object unless something else is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from isocenter.core.apis import Region, Rendering, StoredInstance, Transcoding
from isocenter.core.errors import Invalid, Unsupported
from isocenter.core.part10 import file_meta
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.web.exchange import Exchange
from isocenter.web.negotiation import DICOM, Offer
from isocenter.web.pictures import (
    GIF,
    IMAGE_TYPES,
    PDF,
    Pictures,
    Subject,
    choose,
    settled,
    stream,
    whole,
)
from isocenter.web.render_parameters import (
    QUALITY,
    URI_OBJECT,
    URI_PICTURE,
    URI_REQUIRED,
    WADO_URI,
    Given,
    read,
)
from isocenter.web.retrieving import Retrieving, part10

_LEVELS = {"study": "studyUID", "series": "seriesUID", "instance": "objectUID"}
# Parameters that mean nothing without each other (PS3.18 9.5.1.2.6).
_WINDOW = ("windowCenter", "windowWidth")


class WadoUri:
    """The transactions Retrieve DICOM Instance and Retrieve Rendered Instance."""

    def __init__(
        self, *, retrieving: Retrieving, transcoding: Transcoding, pictures: Pictures
    ) -> None:
        self._retrieving = retrieving
        self._storage = retrieving.storage
        self._transcoding = transcoding
        self._pictures = pictures

    async def retrieve(self, exchange: Exchange) -> None:
        """One instance."""
        given = read(exchange, WADO_URI)
        _check(given)
        exchange.path = {level: given.values[name] for level, name in _LEVELS.items()}
        if "contentType" in given.values:  # which is what `accept` is everywhere else
            exchange.query.insert(0, ("accept", given.values["contentType"]))
        instance = await self._retrieving.one(exchange)
        form = choose(exchange, _forms(whole(instance), given))
        _check_together(form, given)
        if form.media == DICOM:
            await self._retrieving.taken(exchange)
            await self._object(exchange, instance, given)
        else:
            await self._picture(exchange, instance, form, given)

    async def _object(self, exchange: Exchange, instance: StoredInstance, given: Given) -> None:
        target = self._target(instance, given.values.get("transferSyntax", ""))
        form = Offer(f"{DICOM}; transfer-syntax={target}")
        headers = await settled(exchange, [whole(instance)], form, Rendering(DICOM), given)
        if headers is None:
            return
        head = file_meta(instance.sop_class, instance.name.instance, target)
        if target == instance.transfer_syntax:
            length = len(head) + instance.size - instance.data_set_offset
            headers.append((b"content-length", b"%d" % length))
        record = partial(self._retrieving.accessed, exchange, instance.name, "WADO-URI")
        file = part10(self._retrieving, self._transcoding, instance, target, head)
        await stream(exchange, headers, file, record)

    def _target(self, instance: StoredInstance, asked: str) -> str:
        """The transfer syntax in which an object is sent."""
        stored = instance.transfer_syntax
        made = (stored, *self._transcoding.targets(stored))
        for syntax in (asked, EXPLICIT_VR_LITTLE_ENDIAN):
            if syntax in made:
                return syntax
        raise Unsupported(
            "this object cannot be had in Explicit VR Little Endian",
            fix=f"ask for it with transferSyntax={stored}",
        )

    async def _picture(
        self, exchange: Exchange, instance: StoredInstance, form: Offer, given: Given
    ) -> None:
        how = _rendering(form, given)
        if "region" in given.values:
            pixels = await self._storage.pixel_format(instance)
            left, top, right, bottom = given.values["region"]
            columns, rows = pixels.columns, pixels.rows
            source = Region(
                left * columns, top * rows, (right - left) * columns, (bottom - top) * rows
            )
            how = replace(how, source=source)
        subject = _subject(instance, form, given)
        headers = await settled(exchange, [subject], form, how, given)
        if headers is None:
            return
        record = partial(self._retrieving.accessed, exchange, instance.name, "WADO-URI rendered")
        await self._pictures.answer(exchange, headers, subject, how, record)


def _check(given: Given) -> None:
    """Raises `Invalid` where parameters are missing."""
    for name in URI_REQUIRED:
        if name not in given.values:
            raise Invalid(f"parameter {name} is missing", fix="see PS3.18 9.1.2.1")
    if len(given.values.keys() & set(_WINDOW)) == 1:
        raise Invalid(
            f"parameters {' and '.join(_WINDOW)} mean nothing without each other",
            fix="give both (PS3.18 9.5.1.2.6)",
        )


def _check_together(form: Offer, given: Given) -> None:
    """Raises `Invalid` for parameters that the form does not have (PS3.18 9.4.1, 9.5.1)."""
    other = URI_PICTURE if form.media == DICOM else URI_OBJECT
    for name in given.values:
        if name in other:
            raise Invalid(
                f"parameter {name} is not for {form.media}",
                fix="leave it out, or ask for another contentType",
            )


def _forms(subject: Subject, given: Given) -> Sequence[Offer]:
    """What there is of an instance, the default first."""
    pictures = [
        Offer(media_type) for media_type in (*IMAGE_TYPES, PDF) if subject.given_as(media_type)
    ]
    names = given.values.keys()
    one = len(subject.numbers) == 1 or names & URI_PICTURE.keys()
    if subject.drawable and one and not names & URI_OBJECT.keys():
        return [*pictures, Offer(DICOM)]
    return [Offer(DICOM), *pictures]


def _subject(instance: StoredInstance, form: Offer, given: Given) -> Subject:
    """The frame that is asked for. Without one, all of them in an animation, else the first."""
    if "frameNumber" in given.values:
        return Subject(instance, [given.values["frameNumber"]])
    if form.media in (GIF, PDF):
        return whole(instance)
    return Subject(instance, [1])


def _rendering(form: Offer, given: Given) -> Rendering:
    values = given.values
    return Rendering(
        form.media,
        values.get("imageQuality", QUALITY),
        values.get("windowCenter"),
        values.get("windowWidth"),
        values.get("columns", 0),
        values.get("rows", 0),
    )
