"""STOW-RS (PS3.18 10.5): objects go to ingest as they arrive, metadata with their bulk data when
the request is whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from isocenter.core.apis import Announcement, Ingest, Stored
from isocenter.core.errors import Invalid, IsocenterError
from isocenter.core.native_model import to_xml
from isocenter.core.part10 import FileMeta, split
from isocenter.core.ports import Buffer
from isocenter.web import negotiation
from isocenter.web.chunks import Chunks
from isocenter.web.content_coding import decoded
from isocenter.web.exchange import Disconnected, Exchange
from isocenter.web.multipart import BrokenBody, MultipartReader, Part, Parts
from isocenter.web.negotiation import DICOM, DICOM_JSON, DICOM_XML, JSON, MULTIPART, Offer
from isocenter.web.problems import Problem
from isocenter.web.spool import Spool
from isocenter.web.stow_answers import Failure, Outcome, failure, kept
from isocenter.web.stow_metadata import Assembly, Metadata, named

logger = logging.getLogger(__name__)

_TAKES = (DICOM, DICOM_JSON, DICOM_XML)
_ANSWERS = (Offer(DICOM_JSON), Offer(DICOM_XML), Offer(JSON))
_NO_META = FileMeta("", "", "", 0)


@dataclass(frozen=True, slots=True)
class _Payload:
    """What the request's Content-Type says."""

    media: str  # of the instances
    boundary: str | None  # None: the body is a single part


class Stow:
    """The store transaction."""

    def __init__(self, *, ingest: Ingest) -> None:
        self._ingest = ingest

    async def store(self, exchange: Exchange) -> None:
        """Answers when every instance is durable or has failed."""
        payload = self._payload(exchange)
        xml = negotiation.wants_xml(exchange, _ANSWERS)
        exchange.parameters("accept")
        _check_length(exchange)
        root = exchange.root
        coding, most = exchange.header(b"content-encoding"), exchange.settings.max_upload
        outcome = Outcome()
        async with (
            aclosing(exchange.body()) as arriving,
            aclosing(decoded(arriving, coding, most)) as body,
        ):
            async with aclosing(_parts(body, payload)) as parts:
                if payload.media == DICOM:
                    await self._files(exchange, parts, outcome)
                else:
                    await self._described(exchange, parts, payload.media, outcome)
            # What a content coding says about damage comes at its end.
            async for _ in body:
                pass
        if not len(outcome):
            raise Invalid("the body has no parts", fix="send each object as a part")
        status = outcome.status
        await exchange.answer(
            status,
            [(b"content-type", (DICOM_XML if xml else DICOM_JSON).encode("ascii"))],
            (to_xml if xml else orjson.dumps)(outcome.attributes(root)),
        )

    # --- request ---

    def _payload(self, exchange: Exchange) -> _Payload:
        """Raises the 415 `Problem`, `Invalid`."""
        text = exchange.header(b"content-type")
        media, parameters = negotiation.media_type(text) if text else ("", {})
        inner = parameters.get("type", "").lower() if media == MULTIPART else media
        if inner not in _TAKES:
            raise _not_taken()
        if media != MULTIPART:
            return _Payload(media, None)
        if "boundary" not in parameters:
            raise Invalid("Content-Type has no boundary", fix="see RFC 2046 5.1.1")
        return _Payload(inner, parameters["boundary"])

    # --- Part 10 files ---

    async def _files(self, exchange: Exchange, parts: Parts, outcome: Outcome) -> None:
        async for part in parts:
            if len(outcome) >= exchange.settings.max_parts:
                most = exchange.settings.max_parts
                raise Problem(413, f"the body has more than {most} parts; send fewer objects")
            await self._file(exchange, part, outcome)

    async def _file(self, exchange: Exchange, part: Part, outcome: Outcome) -> None:
        meta = _NO_META
        try:
            _check_media_type(part)
            meta, data_set = await split(part.body)
            # The data set names the instance. File Meta Information of other writers often does
            # not agree with it, and nothing of it but the transfer syntax is kept.
            stored = await self._store(exchange, meta.transfer_syntax, data_set)
            outcome.kept.append(kept(stored))
        except (BrokenBody, Disconnected):
            raise
        except IsocenterError as error:
            outcome.failed.append(_failed(exchange, error, meta.sop_class, meta.instance))

    # --- metadata and bulk data ---

    async def _described(
        self, exchange: Exchange, parts: Parts, media: str, outcome: Outcome
    ) -> None:
        with Spool() as spool:
            assembly = Assembly(spool, exchange.settings.max_parts)
            await assembly.receive(parts, media)
            for metadata in assembly.metadata:
                await self._instance(exchange, assembly, metadata, outcome)
        for _ in range(assembly.unused):
            unused = Invalid("no instance refers to a part", fix="see PS3.18 8.6.1.2")
            outcome.failed.append(_failed(exchange, unused))

    async def _instance(
        self, exchange: Exchange, assembly: Assembly, metadata: Metadata, outcome: Outcome
    ) -> None:
        sop_class = instance = ""
        try:
            attributes = await asyncio.to_thread(assembly.read, metadata)
            sop_class, instance = named(attributes)
            assembled = await asyncio.to_thread(assembly.assemble, attributes)
            del attributes  # they may be large, and storing may take long
            data_set = assembly.data_set(assembled)
            stored = await self._store(exchange, assembled.transfer_syntax, data_set)
            outcome.kept.append(kept(stored, assembled.warning))
        except IsocenterError as error:
            outcome.failed.append(_failed(exchange, error, sop_class, instance))

    async def _store(
        self, exchange: Exchange, transfer_syntax: str, data_set: AsyncGenerator[Buffer, None]
    ) -> Stored:
        announcement = Announcement(
            source=exchange.source,
            caller=exchange.caller,
            transfer_syntax=transfer_syntax,
            study=exchange.path.get("study", ""),
        )
        async with aclosing(data_set):
            return await self._ingest.store(announcement, data_set)


def _not_taken() -> Problem:
    forms = ", ".join(f'{MULTIPART}; type="{one}", {one}' for one in _TAKES)
    return Problem(415, f"send one of {forms}", [(b"accept-post", forms.encode("ascii"))])


async def _parts(body: Chunks, payload: _Payload) -> Parts:
    """The parts of a body, of which a single part is one."""
    if payload.boundary is None:
        yield Part({"content-type": payload.media}, body)
        return
    async with aclosing(MultipartReader(body, payload.boundary).parts()) as parts:
        async for part in parts:
            yield part


def _failed(
    exchange: Exchange, error: IsocenterError, sop_class: str = "", instance: str = ""
) -> Failure:
    fields = {"request_id": exchange.request_id, "error": str(error)}
    logger.warning("an instance is not kept", extra=fields)
    return failure(error, sop_class, instance)


def _check_media_type(part: Part) -> None:
    media, _ = negotiation.media_type(part.headers.get("content-type", DICOM))
    if media != DICOM:
        raise Invalid("a part is not of type application/dicom")


def _check_length(exchange: Exchange) -> None:
    length = exchange.header(b"content-length")
    most = exchange.settings.max_upload
    if not length and not exchange.header(b"transfer-encoding"):
        raise Problem(411, "send Content-Length, or Transfer-Encoding: chunked")
    if length.isdigit() and int(length) > most:
        raise Problem(413, f"the body has more than {most} bytes; send fewer objects")
