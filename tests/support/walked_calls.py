"""How the methods of gRPC are called for the walks of the audit trail and of
access."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from isocenter import v1
from isocenter.core.events import Source
from isocenter.core.part10 import parse_meta
from isocenter.runtime.wire import source_to
from isocenter.v1 import (
    aes_pb2,
    aes_pb2_grpc,
    archive_pb2,
    archive_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    objects_pb2,
    objects_pb2_grpc,
    query_pb2,
)
from support.files import Series
from support.harness import wait_until
from support.walked_requests import Asked
from support.walked_routes import PIXELS, Routes

CHUNK = 256 * 1024
PREPARATION, AFTERWARDS = "preparation", "afterwards"
EXPLICIT = "1.2.840.10008.1.2.1"


def every_method() -> list[str]:
    """`Service/Method` of every descriptor in `isocenter.v1`."""
    found = []
    for module in pkgutil.iter_modules(v1.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"isocenter.v1.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                found += [f"{service.name}/{method.name}" for method in service.methods]
    return found


@dataclass
class Ports:
    """Where the services are."""

    programs: int  # of the web role
    ingest: int


class Calls:
    """Calls methods, on a series that is there and on others."""

    def __init__(
        self,
        ports: Ports,
        series: Series,
        key: str,
        routes: Routes,
        token: str = "",
        preparing: str = "",
    ) -> None:
        """`key`: of an object of the series. Tokens of whoever calls, and of whoever prepares what
        is needed, where the machine itself is not trusted."""
        self._channels = [
            grpc.insecure_channel(f"127.0.0.1:{port}") for port in (ports.programs, ports.ingest)
        ]
        programs, ingest = self._channels
        self.archive = archive_pb2_grpc.ArchiveServiceStub(programs)
        self.aes = aes_pb2_grpc.AEDirectoryServiceStub(programs)
        self.trail = audit_pb2_grpc.AuditServiceStub(programs)
        self.objects = objects_pb2_grpc.ObjectServiceStub(programs)
        self.ingest = ingest_pb2_grpc.IngestServiceStub(ingest)
        self.series, self.key, self.routes = series, key, routes
        self.instance = next(iter(series.files))
        self._token, self._preparing = token, preparing
        self.match = ("PatientName", "WALK*")  # what is searched for
        self.into: Series | None = None  # what is stored into; none: a new study
        self.heard: list[Message] = []  # what was answered

    def call(self, method: str, purpose: str) -> str:
        """Call it; the study that it is about, if it is about one."""
        return _METHODS[method](self, purpose)

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            channel.close()

    # --- of programs -----------------------------------------------------------------------------

    def store_objects(self, purpose: str) -> str:
        series = self.routes.files(self.into)

        def messages() -> Iterator[archive_pb2.StoreObjectsRequest]:
            for path in series.files.values():
                yield archive_pb2.StoreObjectsRequest(data=path.read_bytes(), end=True)

        (answer,) = self.archive.StoreObjects(messages(), metadata=self._metadata(purpose))
        self.heard.append(answer)
        assert not answer.failure.reason, answer
        return series.study

    def retrieve(self, method: str, request: Any, purpose: str) -> str:
        stub = getattr(self.archive, method)
        answers = list(stub(request, metadata=self._metadata(purpose)))
        self.heard += answers
        assert answers
        return self.series.study

    def search(self, purpose: str) -> str:
        self.heard += self.archive.SearchArchive(self._search(), metadata=self._metadata(purpose))
        return ""

    def count(self, purpose: str) -> str:
        self.heard.append(
            self.archive.CountArchive(self._search(), metadata=self._metadata(purpose))
        )
        return ""

    def watch(self, purpose: str) -> str:
        next(self.changes(purpose))
        return ""

    def changes(self, purpose: str) -> Iterator[archive_pb2.WatchChangesResponse]:
        """All changes, from the oldest on, until nobody looks any more."""
        request = archive_pb2.WatchChangesRequest(since="oldest")
        watching = self.archive.WatchChanges(request, metadata=self._metadata(purpose))
        try:
            yield from watching
        finally:
            watching.cancel()

    def list_aes(self, purpose: str) -> str:
        self.heard += self.aes.ListAEs(aes_pb2.ListAEsRequest(), metadata=self._metadata(purpose))
        return ""

    def get_ae(self, purpose: str) -> str:
        self.set_ae(PREPARATION)
        request = aes_pb2.GetAERequest(title="CALLED")
        self.heard.append(self.aes.GetAE(request, metadata=self._metadata(purpose)))
        return ""

    def set_ae(self, purpose: str) -> str:
        entry = json.dumps({"title": "CALLED", "host": "127.0.0.1", "port": 104})
        self.aes.SetAE(aes_pb2.SetAERequest(ae=entry), metadata=self._metadata(purpose))
        return ""

    def remove_ae(self, purpose: str) -> str:
        self.set_ae(PREPARATION)
        self.aes.RemoveAE(aes_pb2.RemoveAERequest(title="CALLED"), metadata=self._metadata(purpose))
        return ""

    def get_object(self, purpose: str) -> str:
        request = objects_pb2.GetObjectRequest(key=self.key)
        assert list(self.objects.GetObject(request, metadata=self._metadata(purpose)))
        return self.series.study

    def _metadata(self, purpose: str) -> tuple[tuple[str, str], ...]:
        token = self._preparing if purpose in (PREPARATION, AFTERWARDS) else self._token
        shown = (("authorization", f"Bearer {token}"),) if token else ()
        return (("purpose-of-use", purpose), *shown)

    def _search(self) -> archive_pb2.SearchArchiveRequest:
        attribute, value = self.match
        match = archive_pb2.SearchArchiveRequest.Match(attribute=attribute, value=value)
        return archive_pb2.SearchArchiveRequest(level=query_pb2.LEVEL_STUDY, match=[match])

    # --- the audit trail -------------------------------------------------------------------------

    def record(self) -> str:
        """The id of a record that is sealed."""
        request = audit_pb2.SearchRecordsRequest(limit=1000)

        def sealed() -> str:
            for batch in self.trail.SearchRecords(request, metadata=self._metadata(PREPARATION)):
                for record in batch.records:
                    asked = audit_pb2.GetRecordRequest(id=record.id)
                    with suppress(grpc.RpcError):
                        self.trail.ProveRecord(asked, metadata=self._metadata(PREPARATION))
                        return str(record.id)
            return ""

        return str(wait_until(sealed, 30, "a record is sealed"))

    def trail_call(self, method: str, request: Any, purpose: str) -> str:
        answer = getattr(self.trail, method)(request, metadata=self._metadata(purpose))
        if not isinstance(answer, Message):
            assert list(answer)
        return ""

    def forget_search(self, purpose: str) -> str:
        self.trail_call("SaveSearch", audit_pb2.SavedSearch(name="gone"), PREPARATION)
        request = audit_pb2.ForgetSearchRequest(name="gone")
        return self.trail_call("ForgetSearch", request, purpose)

    def add_hold(self, purpose: str) -> str:
        hold = audit_pb2.LegalHold(name=f"walk {purpose}", reason="a walk")
        self.trail_call("AddHold", hold, purpose)
        request = audit_pb2.ReleaseHoldRequest(name=hold.name)
        return self.trail_call("ReleaseHold", request, AFTERWARDS)

    def release_hold(self, purpose: str) -> str:
        hold = audit_pb2.LegalHold(name=f"walk {purpose}", reason="a walk")
        self.trail_call("AddHold", hold, PREPARATION)
        return self.trail_call("ReleaseHold", audit_pb2.ReleaseHoldRequest(name=hold.name), purpose)

    # --- of roles, in the name of somebody -------------------------------------------------------

    def store(self, purpose: str, *, whole: bool) -> str:
        series = self.routes.files()
        (content,) = (path.read_bytes() for path in series.files.values())
        meta = parse_meta(content)
        assert meta is not None
        data = content[meta.length :]
        source = source_to(Source("gRPC", "127.0.0.1", purpose=purpose))
        announced = ingest_pb2.Announcement(source=source, transfer_syntax=EXPLICIT)
        if whole:
            self.ingest.StoreWhole(ingest_pb2.StoreWholeRequest(announcement=announced, data=data))
        else:
            parts = [
                ingest_pb2.StoreRequest(announcement=announced),
                ingest_pb2.StoreRequest(last=data),
            ]
            self.ingest.Store(iter(parts))
        return series.study

    def delete(self, purpose: str) -> str:
        asked = Asked({})
        self.routes.stored(asked)
        self.ingest.Delete(
            ingest_pb2.DeleteRequest(
                partition="main",
                study=asked.values["study"],
                source=source_to(Source("gRPC", "127.0.0.1", purpose=purpose)),
            )
        )
        return asked.values["study"]

    def restore(self, purpose: str) -> str:
        asked = Asked({})
        self.routes.deleted(asked)
        self.ingest.Restore(
            ingest_pb2.RestoreRequest(
                partition="main",
                deletion=asked.values["deletion"],
                source=source_to(Source("gRPC", "127.0.0.1", purpose=purpose)),
            )
        )
        return asked.values["study"]


def _of_study(method: str, kind: Any) -> Callable[[Calls, str], str]:
    return lambda calls, purpose: calls.retrieve(method, kind(study=calls.series.study), purpose)


def _of_instance(method: str, kind: Any, **fields: Any) -> Callable[[Calls, str], str]:
    def call(calls: Calls, purpose: str) -> str:
        series = calls.series
        place = {"study": series.study, "series": series.series, "instance": calls.instance}
        return calls.retrieve(method, kind(**place, **fields), purpose)

    return call


def _of_trail(method: str, request: Message) -> Callable[[Calls, str], str]:
    return lambda calls, purpose: calls.trail_call(method, request, purpose)


def _of_record(method: str) -> Callable[[Calls, str], str]:
    return lambda calls, purpose: calls.trail_call(
        method, audit_pb2.GetRecordRequest(id=calls.record()), purpose
    )


_METHODS: Mapping[str, Callable[[Calls, str], str]] = {
    "ArchiveService/StoreObjects": Calls.store_objects,
    "ArchiveService/RetrieveObjects": _of_study(
        "RetrieveObjects", archive_pb2.RetrieveObjectsRequest
    ),
    "ArchiveService/RetrieveMetadata": _of_study(
        "RetrieveMetadata", archive_pb2.RetrieveMetadataRequest
    ),
    "ArchiveService/RetrieveFrames": _of_instance(
        "RetrieveFrames", archive_pb2.RetrieveFramesRequest, numbers=[1]
    ),
    "ArchiveService/RetrieveBulkData": _of_instance(
        "RetrieveBulkData", archive_pb2.RetrieveBulkDataRequest, path=PIXELS
    ),
    "ArchiveService/SearchArchive": Calls.search,
    "ArchiveService/CountArchive": Calls.count,
    "ArchiveService/WatchChanges": Calls.watch,
    "ObjectService/GetObject": Calls.get_object,
    "AEDirectoryService/ListAEs": Calls.list_aes,
    "AEDirectoryService/GetAE": Calls.get_ae,
    "AEDirectoryService/SetAE": Calls.set_ae,
    "AEDirectoryService/RemoveAE": Calls.remove_ae,
    "AuditService/SearchRecords": _of_trail(
        "SearchRecords", audit_pb2.SearchRecordsRequest(limit=10)
    ),
    "AuditService/CountRecords": _of_trail("CountRecords", audit_pb2.AuditFilter()),
    "AuditService/GetRecord": _of_record("GetRecord"),
    "AuditService/TallyRecords": _of_trail(
        "TallyRecords", audit_pb2.TallyRecordsRequest(by=[audit_pb2.TALLY_BY_ACTION])
    ),
    "AuditService/GetStory": lambda calls, purpose: calls.trail_call(
        "GetStory", audit_pb2.GetStoryRequest(instance=calls.instance), purpose
    ),
    "AuditService/ProveRecord": _of_record("ProveRecord"),
    "AuditService/VerifyTrail": _of_trail("VerifyTrail", audit_pb2.VerifyTrailRequest()),
    "AuditService/GetTrailState": _of_trail("GetTrailState", audit_pb2.GetTrailStateRequest()),
    "AuditService/ListSavedSearches": _of_trail(
        "ListSavedSearches", audit_pb2.ListSavedSearchesRequest()
    ),
    "AuditService/SaveSearch": _of_trail("SaveSearch", audit_pb2.SavedSearch(name="walk")),
    "AuditService/ForgetSearch": Calls.forget_search,
    "AuditService/ListHolds": _of_trail("ListHolds", audit_pb2.ListHoldsRequest()),
    "AuditService/AddHold": Calls.add_hold,
    "AuditService/ReleaseHold": Calls.release_hold,
    "IngestService/Store": lambda calls, purpose: calls.store(purpose, whole=False),
    "IngestService/StoreWhole": lambda calls, purpose: calls.store(purpose, whole=True),
    "IngestService/Delete": Calls.delete,
    "IngestService/Restore": Calls.restore,
}
