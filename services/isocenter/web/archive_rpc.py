"""The archive over gRPC, for programs outside: what DICOMweb offers, with the same audit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing

import grpc.aio
import orjson

from isocenter.core.access_api import Asker
from isocenter.core.apis import StoredInstance
from isocenter.core.errors import Invalid, Unavailable, Unsupported
from isocenter.core.events import AuditAction
from isocenter.core.identity import DEFAULT_PARTITION, is_uid
from isocenter.core.key_text import text_of
from isocenter.core.matching import Level, Search
from isocenter.core.packs import BULK_BASE
from isocenter.core.part10 import file_meta
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, lookup
from isocenter.runtime.rpc_callers import Context, asker_of
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.rpc_matches import in_messages
from isocenter.runtime.rpc_pieces import CHUNK, lean_server, piece, pieces
from isocenter.runtime.rpc_stream import as_chunks, as_items
from isocenter.runtime.streams import generator
from isocenter.runtime.wire import LEVELS, enum_from, name_to
from isocenter.v1 import archive_pb2, archive_pb2_grpc, query_pb2, storage_pb2
from isocenter.web.archive_storing import answers_of
from isocenter.web.frames import is_plain
from isocenter.web.problems import shown
from isocenter.web.qido_keys import Asked, path, read
from isocenter.web.retrieving import LEVELS as UIDS
from isocenter.web.retrieving import Level as Place
from isocenter.web.retrieving import part10
from isocenter.web.services import Services
from isocenter.web.settings import WebSettings

_BULK_BASE = BULK_BASE.encode("ascii")
_WATCH_LIMIT, _WATCH_SECONDS = 1000, 30.0  # changes of a page, and how long it waits for one


class ArchiveServicer(archive_pb2_grpc.ArchiveServiceServicer):
    """Answers calls of programs."""

    def __init__(self, settings: WebSettings, services: Services) -> None:
        self._settings = settings
        self._ingest = services.ingest
        self._query = services.query
        self._retrieving = services.retrieving("gRPC")
        self._storage = services.storage
        self._transcoding = services.transcoding
        self._audit_log = services.audit_log
        self._feed = services.feed
        self._attributes = services.attributes
        self._bulk_root = f"{settings.public_url}/dicomweb".encode("ascii")

    @answers_errors
    async def StoreObjects(  # noqa: N802 (named in the proto, as all below)
        self, request_iterator: AsyncIterator[archive_pb2.StoreObjectsRequest], context: Context
    ) -> AsyncIterator[archive_pb2.StoreObjectsResponse]:
        """Files, one after the other."""
        answers = answers_of(
            request_iterator, self._ingest, asker_of(context), self._settings.stall_timeout
        )
        async with aclosing(answers) as told:
            async for answer in told:
                yield answer

    # --- retrieve --------------------------------------------------------------------------------

    @answers_errors
    async def RetrieveObjects(  # noqa: N802
        self, request: archive_pb2.RetrieveObjectsRequest, context: Context
    ) -> AsyncIterator[archive_pb2.RetrieveObjectsResponse]:
        """Part 10 files."""
        level = _level(request)
        for uid in request.transfer_syntaxes:
            if not is_uid(uid):
                raise Invalid("`transfer_syntaxes` holds what is no UID", fix="see PS3.5 9.1")
        by = asker_of(context)
        source = by.source
        await self._retrieving.check_taking(by.caller, level, source)
        found = await self._retrieving.all_at(by.caller, level, source)
        targets = [self._target(one, request.transfer_syntaxes) for one in found]
        detail = "gRPC RetrieveObjects"
        await self._retrieving.record_of(source, level, len(found), detail)
        async with self._retrieving.whole(source, level, detail):
            for one, target in zip(found, targets, strict=True):
                yield archive_pb2.RetrieveObjectsResponse(head=_head(one, target))
                meta = file_meta(one.sop_class, one.name.instance, target)
                file = part10(self._retrieving, self._transcoding, one, target, meta)
                async with aclosing(generator(file)) as parts:
                    async for part in parts:
                        for piece in pieces(part, archive_pb2.RetrieveObjectsResponse):
                            yield piece

    @answers_errors
    async def RetrieveMetadata(  # noqa: N802
        self, request: archive_pb2.RetrieveMetadataRequest, context: Context
    ) -> AsyncIterator[storage_pb2.ItemChunk]:
        """One JSON object for each instance."""
        level = _level(request)
        by = asker_of(context)
        source = by.source
        found = len(await self._retrieving.all_at(by.caller, level, source))
        await self._retrieving.record_of(source, level, found, "gRPC RetrieveMetadata")
        async with aclosing(generator(self._storage.metadata(by.caller, *level))) as models:
            number = 0
            async for model in models:
                number += 1
                whole = model.replace(_BULK_BASE, self._bulk_root)
                for item in as_items(whole, number=number):
                    yield item

    @answers_errors
    async def RetrieveFrames(  # noqa: N802
        self, request: archive_pb2.RetrieveFramesRequest, context: Context
    ) -> AsyncIterator[archive_pb2.RetrieveFramesResponse]:
        """Frames, each in pieces."""
        by = asker_of(context)
        source = by.source
        instance = await self._one(request, by)
        numbers = list(request.numbers)
        if not numbers or 0 in numbers:
            raise Invalid("`numbers` names no frames", fix="frames are numbered from 1")
        if len(numbers) > self._settings.max_frames:
            raise Invalid(f"more than {self._settings.max_frames} frames are asked for")
        syntax = instance.transfer_syntax
        decode = request.decoded and not is_plain(lookup(syntax))
        pixels = await self._storage.pixel_format(instance) if decode else None
        await self._retrieving.access_of(source, instance.name, "gRPC RetrieveFrames")
        told = EXPLICIT_VR_LITTLE_ENDIAN if decode else syntax
        async with aclosing(generator(self._storage.frames(instance, numbers))) as frames:
            async for frame in frames:
                data = frame.data
                if pixels is not None:
                    data = await self._transcoding.decode(data, syntax, pixels)
                for answer in _frame_pieces(frame.number, data, told):
                    yield answer

    @answers_errors
    async def RetrieveBulkData(  # noqa: N802
        self, request: archive_pb2.RetrieveBulkDataRequest, context: Context
    ) -> AsyncIterator[storage_pb2.Chunk]:
        """A range of a value."""
        by = asker_of(context)
        source = by.source
        instance = await self._one(request, by)
        size = await self._storage.bulk_size(instance, request.path)
        if request.offset > size:
            raise Invalid(f"`offset` is beyond the {size} bytes of the value")
        length = request.length if request.HasField("length") else None
        await self._retrieving.access_of(source, instance.name, "gRPC RetrieveBulkData")
        value = self._storage.bulk(instance, request.path, request.offset, length)
        async with aclosing(as_chunks(value)) as chunks:
            async for chunk in chunks:
                yield chunk

    # --- search ----------------------------------------------------------------------------------

    @answers_errors
    async def SearchArchive(  # noqa: N802
        self, request: archive_pb2.SearchArchiveRequest, context: Context
    ) -> AsyncIterator[archive_pb2.SearchArchiveResponse]:
        """Answers in batches."""
        asked = self._asked(request)
        by = asker_of(context)
        await self._searched(by, asked, "SearchArchive")
        ignored = list(asked.ignored)
        incomplete: list[str] = []
        if asked.added:  # before the search, for they may be filled when it ends
            unfilled = await self._query.unfilled()
            incomplete = [name for tag, name in asked.added.items() if tag in unfilled]
        async with aclosing(generator(self._query.search(by.caller, asked.search()))) as batches:
            async for batch in batches:
                for found in in_messages(
                    orjson.dumps(match.attributes).replace(_BULK_BASE, self._bulk_root)
                    for match in batch
                ):
                    yield archive_pb2.SearchArchiveResponse(
                        answers=found, ignored=ignored, incomplete=incomplete
                    )
                    ignored, incomplete = [], []
        if ignored or incomplete:
            yield archive_pb2.SearchArchiveResponse(ignored=ignored, incomplete=incomplete)

    @answers_errors
    async def CountArchive(  # noqa: N802
        self, request: archive_pb2.SearchArchiveRequest, context: Context
    ) -> query_pb2.CountResponse:
        """The number of answers."""
        asked = self._asked(request)
        by = asker_of(context)
        await self._searched(by, asked, "CountArchive")
        search = asked.search()
        every = Search(search.level, search.keys, fuzzy=search.fuzzy)
        return query_pb2.CountResponse(count=await self._query.count(by.caller, every))

    def _asked(self, request: archive_pb2.SearchArchiveRequest) -> Asked:
        """The request, as the query of a QIDO-RS request says the same."""
        level = enum_from(LEVELS, request.level) if request.level else Level.STUDY
        if level is Level.PATIENT:
            raise Invalid("`level` is LEVEL_PATIENT", fix="search for studies by PatientID")
        for name in (one.attribute for one in request.match):
            if not path(name):  # else it would be read as another parameter of the query
                raise Invalid(
                    f"`match`: {shown(name)} is no attribute",
                    fix="name attributes by keyword or by tag (PS3.18 8.3.4.1)",
                )
        parameters = [(one.attribute, one.value) for one in request.match]
        parameters += [("includefield", name) for name in request.include]
        parameters += [("includefield", "all")] if request.include_all else []
        parameters += [("fuzzymatching", "true")] if request.fuzzy else []
        parameters += [("orderby", ",".join(request.order))] if request.order else []
        most = self._settings.max_results
        asked = read(level, parameters, {}, most, self._attributes)
        asked.limit = min(most, request.limit) if request.HasField("limit") else most
        asked.offset = request.offset
        return asked

    async def _searched(self, by: Asker, asked: Asked, method: str) -> None:
        named = " ".join([*asked.keys, *asked.sequences])
        await self._audit_log.searched(
            by.source,
            partition=DEFAULT_PARTITION,
            patient_ids=asked.values("00100020"),
            studies=asked.values("0020000D")[:8],
            detail=f"gRPC {method} {asked.level.value} {named}".rstrip(),
            query=text_of(asked.search().keys),
        )

    # --- changes ---------------------------------------------------------------------------------

    @answers_errors
    async def WatchChanges(  # noqa: N802
        self, request: archive_pb2.WatchChangesRequest, context: Context
    ) -> AsyncIterator[archive_pb2.WatchChangesResponse]:
        """Changes until the caller cancels, or this process stops."""
        by = asker_of(context)
        position = await self._feed.position(request.since or "now")
        await self._audit_log.record(
            AuditAction.QUERY,
            by.source,
            partition=DEFAULT_PARTITION,
            detail="gRPC WatchChanges",
            query=f"since={request.since or 'now'}",
        )
        yield archive_pb2.WatchChangesResponse(position=position)
        while not self._feed.stopped:
            page = await self._feed.read(by.caller, position, _WATCH_LIMIT, _WATCH_SECONDS)
            position = page.position
            for change in page.changes:
                yield archive_pb2.WatchChangesResponse(
                    id=change.id,
                    type=change.type,
                    time=change.time,
                    position=change.position,
                    data=orjson.dumps(change.data).decode(),
                )
        raise Unavailable("this process stops", fix="watch again from the last position")

    # --- what all share --------------------------------------------------------------------------

    async def _one(
        self,
        request: archive_pb2.RetrieveFramesRequest | archive_pb2.RetrieveBulkDataRequest,
        by: Asker,
    ) -> StoredInstance:
        level = _level(request)
        if not level[3]:
            raise Invalid("`instance` is empty", fix="name one instance")
        return await self._retrieving.one_at(by.caller, level, by.source)

    def _target(self, instance: StoredInstance, wanted: Sequence[str]) -> str:
        """The transfer syntax that an object is sent in."""
        stored = instance.transfer_syntax
        if not wanted or stored in wanted:
            return stored
        possible = self._transcoding.targets(stored)
        for uid in wanted:
            if uid in possible:
                return uid
        raise Unsupported(
            f"instance {instance.name.instance} is kept in {stored}, of which none of"
            " `transfer_syntaxes` can be made",
            fix=f"take {stored}" + (f", or one of {', '.join(possible)}" if possible else ""),
        )


_Addressed = (
    archive_pb2.RetrieveObjectsRequest
    | archive_pb2.RetrieveMetadataRequest
    | archive_pb2.RetrieveFramesRequest
    | archive_pb2.RetrieveBulkDataRequest
)


def _level(request: _Addressed) -> Place:
    """The UIDs of a request. Raises `Invalid` naming the field."""
    uids = [request.study, request.series, request.instance]
    for field, uid in zip(UIDS, uids, strict=True):
        if uid and not is_uid(uid):
            raise Invalid(f"`{field}` is no UID", fix="see PS3.5 9.1")
    if not uids[0]:
        raise Invalid("`study` is empty", fix="give a Study Instance UID")
    if uids[2] and not uids[1]:
        raise Invalid("`series` is empty, and `instance` is not", fix="give both")
    return DEFAULT_PARTITION, uids[0], uids[1], uids[2]


def _head(instance: StoredInstance, target: str) -> archive_pb2.ObjectHead:
    return archive_pb2.ObjectHead(
        name=name_to(instance.name),
        sop_class=instance.sop_class,
        transfer_syntax=target,
        digest=instance.digest,
    )


def _frame_pieces(
    number: int, data: bytes, transfer_syntax: str
) -> Iterator[archive_pb2.RetrieveFramesResponse]:
    view = memoryview(data)
    for start in range(0, len(view) or 1, CHUNK):
        others = archive_pb2.RetrieveFramesResponse(
            last=start + CHUNK >= len(view), number=number, transfer_syntax=transfer_syntax
        )
        part = [view[start : start + CHUNK]]
        yield piece(archive_pb2.RetrieveFramesResponse, part, others=others)


def add_to(server: grpc.aio.Server, servicer: ArchiveServicer) -> Sequence[str]:
    """Register the service; answers with its full name."""
    archive_pb2_grpc.add_ArchiveServiceServicer_to_server(servicer, lean_server(server))
    return [archive_pb2.DESCRIPTOR.services_by_name["ArchiveService"].full_name]
