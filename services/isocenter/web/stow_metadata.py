"""Metadata with bulk data (PS3.18 10.5.1, 8.6.1.2): the parts of a request put together to
instances in Explicit VR Little Endian.

Metadata come before the bulk data that they refer to, so everything waits in a spool until the
request has ended. Then the instances are made one after another, in the memory of one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from isocenter.core.errors import Invalid, Unprocessable, Unsupported
from isocenter.core.json_encoder import Bulk, Piece, Range, encode, padding
from isocenter.core.matching import JsonAttributes
from isocenter.core.native_model import from_xml
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.web import negotiation
from isocenter.web.json_array import MAX_ELEMENT, JsonArray
from isocenter.web.multipart import Part, Parts
from isocenter.web.negotiation import DICOM_JSON, DICOM_XML, OCTETS
from isocenter.web.problems import Problem
from isocenter.web.spool import Spool
from isocenter.web.stow_answers import ELEMENTS_DISCARDED
from isocenter.web.stow_pixels import (
    AVAILABLE_TRANSFER_SYNTAX_UID,
    PIXELS,
    TRANSFER_SYNTAX_UID,
    BulkPart,
    contradicts,
    first,
    pixel_element,
    put,
)

_SOP_CLASS, _INSTANCE = "00080016", "00080018"
_DOCUMENT, _MIME_TYPE, _DOCUMENT_LENGTH = "00420011", "00420012", "00420015"
_FILE_META = "0002"
_MOST = 0xFFFFFFFE  # bytes of a value (PS3.5 7.1.1)
# PS3.3 C.24.2: what an Encapsulated Document may be.
_DOCUMENTS = frozenset(
    {"application/pdf", "text/xml", "model/stl", "model/obj", "model/mtl", "application/sla"}
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Of one instance, not yet read."""

    media: str
    where: Range


@dataclass(frozen=True, slots=True)
class Assembled:
    """An instance to be stored."""

    transfer_syntax: str
    pieces: Sequence[Piece]
    warning: int  # Warning Reason; 0: none


def named(attributes: JsonAttributes) -> tuple[str, str]:
    """SOP Class UID and SOP Instance UID, empty where they are missing or malformed."""
    uids = (first(attributes, _SOP_CLASS), first(attributes, _INSTANCE))
    sop_class, instance = (uid if isinstance(uid, str) else "" for uid in uids)
    return sop_class, instance


class Assembly:
    """The parts of one request."""

    def __init__(self, spool: Spool, most: int) -> None:
        """At most so many parts and instances."""
        self._spool = spool
        self._most = most
        self._bulk: dict[str, list[BulkPart]] = {}
        self._used: set[str] = set()
        self._count = 0
        self._nameless = 0  # bulk data that nothing can refer to
        self.metadata: list[Metadata] = []

    @property
    def unused(self) -> int:
        """Parts that no instance refers to."""
        left = [len(parts) for uri, parts in self._bulk.items() if uri not in self._used]
        return sum(left) + self._nameless

    # --- what arrives ---

    async def receive(self, parts: Parts, media: str) -> None:
        """All parts; `media` is that of metadata. Raises `Invalid`, `OutOfResources`, the 413
        `Problem`."""
        async for part in parts:
            self._counted()
            is_metadata, bulk_media, parameters = _kind(part, media)
            if not is_metadata:
                await self._receive_bulk(part, bulk_media, parameters)
            elif media == DICOM_JSON:
                await self._receive_array(part)
            else:
                self.metadata.append(Metadata(media, await self._spool.write(part.body)))
        if not self.metadata:
            raise Invalid("the body has no metadata", fix=f"send them as {media}")

    def _counted(self) -> None:
        self._count += 1
        if self._count > self._most:
            raise Problem(413, f"the body has more than {self._most} parts; send fewer objects")

    async def _receive_array(self, part: Part) -> None:
        array = JsonArray()
        async with aclosing(part.body) as body:
            async for chunk in body:
                for element in array.feed(chunk):
                    self._counted()
                    where = await self._spool.write(_once(element))
                    self.metadata.append(Metadata(DICOM_JSON, where))
        array.finish()

    async def _receive_bulk(self, part: Part, media: str, parameters: Mapping[str, str]) -> None:
        uri = part.headers.get("content-location", "")
        if not uri:
            self._nameless += 1
            return
        where = await self._spool.write(part.body)
        syntax = parameters.get("transfer-syntax", "")
        bulk = BulkPart(media, syntax, self._spool.source(where))
        self._bulk.setdefault(uri, []).append(bulk)

    # --- what is made of it ---

    def read(self, metadata: Metadata) -> JsonAttributes:
        """The attributes of an instance. Raises `Invalid`, `Unprocessable`."""
        if metadata.where.length > MAX_ELEMENT:
            raise Invalid(
                f"an instance has more than {MAX_ELEMENT} bytes of metadata",
                fix="send its large values as bulk data",
            )
        data = self._spool.read(metadata.where)
        if metadata.media == DICOM_XML:
            return from_xml(data)
        try:
            attributes = orjson.loads(data)
        except ValueError as error:
            raise Invalid("the metadata of an instance are no JSON") from error
        if not isinstance(attributes, dict):
            raise Invalid("the metadata of an instance are no JSON object", fix="see PS3.18 F.2.2")
        return attributes

    def assemble(self, attributes: JsonAttributes) -> Assembled:
        """The instance. Raises `Unprocessable`, `Unsupported`."""
        made = dict(attributes)
        syntax = EXPLICIT_VR_LITTLE_ENDIAN
        values: dict[str, Bulk] = {}
        for tag in PIXELS:
            if uri := _uri(made, tag):
                pixels = pixel_element(made, tag, self._take(tag, uri))
                values[tag], syntax = pixels.bulk, pixels.transfer_syntax
        if uri := _uri(made, _DOCUMENT):
            values[_DOCUMENT] = self._document(made, uri)
        made.pop(AVAILABLE_TRANSFER_SYNTAX_UID, None)
        made.pop(TRANSFER_SYNTAX_UID, None)
        file_meta = [tag for tag in made if tag.startswith(_FILE_META)]
        for tag in file_meta:
            del made[tag]

        def resolve(path: str, vr: str, uri: str) -> Bulk:
            return values[path] if path in values else self._value(path, vr, uri)

        return Assembled(syntax, encode(made, resolve), ELEMENTS_DISCARDED if file_meta else 0)

    async def data_set(self, assembled: Assembled) -> AsyncGenerator[bytes, None]:
        """Its encoding, in bounded memory."""
        for piece in assembled.pieces:
            if isinstance(piece, Range):
                async for chunk in self._spool.chunks(piece):
                    yield chunk
            else:
                yield piece

    def _take(self, path: str, uri: str) -> Sequence[BulkPart]:
        """The parts behind a BulkDataURI: all that have it as their Content-Location in their
        order, or its frames (PS3.18 10.4.1.1.6). Each is taken once: what a request stores is never
        more than what it holds."""
        uris = [uri]
        if uri not in self._bulk:
            uris = []
            while (frame := f"{uri}/frames/{len(uris) + 1}") in self._bulk:
                uris.append(frame)
        if not uris:
            raise Unprocessable(
                f"the bulk data of attribute {path} is not in the request",
                fix="send it in a part whose Content-Location is the BulkDataURI",
            )
        if not self._used.isdisjoint(uris):
            raise Unprocessable(
                f"the bulk data of attribute {path} belongs to another attribute too",
                fix="send it for each of them",
            )
        self._used.update(uris)
        return [part for one in uris for part in self._bulk[one]]

    def _single(self, path: str, uri: str) -> BulkPart:
        parts = self._take(path, uri)
        if len(parts) > 1:
            raise Unprocessable(
                f"the bulk data of attribute {path} is there {len(parts)} times",
                fix="send it in one part",
            )
        return parts[0]

    def _document(self, attributes: JsonAttributes, uri: str) -> Bulk:
        """An Encapsulated Document (PS3.3 C.24.2)."""
        part = self._single(_DOCUMENT, uri)
        if part.media != OCTETS:
            if part.media not in _DOCUMENTS:
                raise Unsupported(
                    "an encapsulated document has a media type that cannot be stored",
                    fix=f"send one of {', '.join(sorted(_DOCUMENTS))}",
                )
            given = first(attributes, _MIME_TYPE)
            if given is None:
                put(attributes, _MIME_TYPE, part.media)
            elif not isinstance(given, str) or given.strip().lower() != part.media:
                raise contradicts(_MIME_TYPE)
        if first(attributes, _DOCUMENT_LENGTH) is None and part.source.size <= _MOST:
            put(attributes, _DOCUMENT_LENGTH, part.source.size)
        elif first(attributes, _DOCUMENT_LENGTH) != part.source.size:
            raise contradicts(_DOCUMENT_LENGTH)
        return _bulk("OB", part)

    def _value(self, path: str, vr: str, uri: str) -> Bulk:
        part = self._single(path, uri)
        if part.media != OCTETS:
            raise Unprocessable(
                f"the bulk data of attribute {path} is not of type {OCTETS}",
                fix="other media types are for pixel data and encapsulated documents",
            )
        return _bulk(vr, part)


def _kind(part: Part, media: str) -> tuple[bool, str, Mapping[str, str]]:
    """Whether it is metadata; its media type and its parameters."""
    headers = part.headers
    default = OCTETS if "content-location" in headers else media
    found, parameters = negotiation.media_type(headers.get("content-type", default))
    return found == media, found, parameters


def _uri(attributes: JsonAttributes, tag: str) -> str:
    entry = attributes.get(tag)
    uri = entry.get("BulkDataURI") if isinstance(entry, dict) else None
    return uri if isinstance(uri, str) else ""


def _bulk(vr: str, part: BulkPart) -> Bulk:
    if part.source.size > _MOST:
        raise Unprocessable(
            f"bulk data of {part.source.size} bytes does not fit one element",
            fix="send it compressed, or in several instances",
        )
    return Bulk(vr, [part.source.where, padding(vr, part.source.size)])


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
