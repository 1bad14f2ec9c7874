"""The archive over gRPC, on a real channel: what DICOMweb offers, audited before it is answered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import grpc
import grpc.aio
import pytest

from isocenter.core.errors import OutOfResources, Unavailable
from isocenter.core.part10 import file_meta
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.v1 import archive_pb2 as pb
from isocenter.v1 import archive_pb2_grpc
from isocenter.web.settings import WebSettings
from support.archive_calls import INSTANCE, channel_to, failed, served
from support.authority import Authority
from support.web_fakes import CT, JPEG_LS, PDF, SERIES, STUDY, Web, data_set_of, part10

WHOLE = {"study": STUDY, "series": SERIES, "instance": INSTANCE}


async def files(*contents: bytes, size: int = 100, end: bool = True):
    for content in contents:
        for at in range(0, len(content), size):
            last = at + size >= len(content)
            yield pb.StoreObjectsRequest(data=content[at : at + size], end=last and end)


# --- store ---------------------------------------------------------------------------------------


async def test_files_are_stored_one_after_the_other_and_each_is_answered() -> None:
    web = Web()
    web.ingest.errors["1.2.3.4.6"] = OutOfResources("no room", fix="free some")
    uids = ["1.2.3.4.5", "1.2.3.4.6", "1.2.3.4.7"]
    sent = [part10(uid) for uid in uids]
    async with served(web) as stub:
        call = stub.StoreObjects(files(sent[0], sent[1], b"no file at all", sent[2]))
        answers = [answer async for answer in call]
    assert [answer.number for answer in answers] == [1, 2, 3, 4]
    assert [answer.name.instance for answer in answers] == [uids[0], "", "", uids[2]]
    assert [answer.failure.reason for answer in answers] == [0, 0xA700, 0xC000, 0]
    assert "free some" in answers[1].failure.message
    assert answers[0].size == len(data_set_of(uids[0]))
    assert web.ingest.received == {uid: data_set_of(uid) for uid in (uids[0], uids[2])}
    assert {one.source.protocol for one in web.ingest.announced} == {"gRPC"}


async def test_a_file_is_answered_before_the_next_one_is_sent() -> None:
    web = Web()
    async with served(web) as stub:
        call = stub.StoreObjects()
        for uid in ("1.2.3.4.5", "1.2.3.4.6"):
            await call.write(pb.StoreObjectsRequest(data=part10(uid), end=True))
            async with asyncio.timeout(10):
                answer = await call.read()
            assert answer.name.instance == uid
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_a_stream_that_ends_within_a_file_keeps_nothing_of_it() -> None:
    web = Web()
    async with served(web) as stub:
        error = await failed(stub.StoreObjects(files(part10(), end=False)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ended within a file" in error.details()
    assert web.ingest.received == {}


async def test_a_client_that_goes_away_within_a_file_leaves_nothing() -> None:
    web = Web()
    async with served(web) as stub:
        call = stub.StoreObjects()
        await call.write(pb.StoreObjectsRequest(data=part10()[:200]))
        call.cancel()
        done = stub.StoreObjects(files(part10("1.2.3.4.6")))
        assert [answer.name.instance async for answer in done] == ["1.2.3.4.6"]
    assert list(web.ingest.received) == ["1.2.3.4.6"]


async def test_a_sender_that_stalls_is_cut_off_and_nothing_is_kept() -> None:
    web = Web(WebSettings(port=0, stall_timeout=0.2))
    async with served(web) as stub:
        call = stub.StoreObjects()
        await call.write(pb.StoreObjectsRequest(data=part10()[:300]))
        async with asyncio.timeout(20):
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert web.ingest.received == {}


async def test_a_message_that_is_too_long_is_refused() -> None:
    web = Web()
    async with served(web) as stub:
        error = await failed(stub.StoreObjects(files(bytes(4 * 1024**2 + 1), size=8 * 1024**2)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_calls_than_the_settings_allow_are_refused() -> None:
    web = Web(WebSettings(port=0, grpc_max_calls=1))
    async with served(web) as stub:
        watching = stub.WatchChanges(pb.WatchChangesRequest())
        async with asyncio.timeout(20):
            await watching.read()
            error = await failed(stub.CountArchive(pb.SearchArchiveRequest()))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        watching.cancel()


# --- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("certificates_of_callers", [False, True])
async def test_the_port_speaks_tls_and_knows_who_has_a_certificate(
    certificates_of_callers: bool, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    own, program = authority.issue("pacs"), authority.issue("research")
    wanted = authority.certificate if certificates_of_callers else None
    settings = WebSettings(
        port=0, grpc_certificate_file=own.certificate, grpc_key_file=own.key, grpc_ca_file=wanted
    )
    web = Web(settings)
    ca = authority.certificate.read_bytes()
    key, certificate = program.key.read_bytes(), program.certificate.read_bytes()
    stranger = grpc.ssl_channel_credentials(ca)
    known = grpc.ssl_channel_credentials(ca, key, certificate)
    async with channel_to(web, known) as channel:
        stub = archive_pb2_grpc.ArchiveServiceStub(channel)
        await stub.CountArchive(pb.SearchArchiveRequest())
    subject = "CN=research,O=Hospital" if certificates_of_callers else ""
    source = web.audit.records[0][1]["source"]
    assert (source.tls_subject, source.known) == (subject, bool(subject))
    async with channel_to(web, stranger) as channel:
        call = archive_pb2_grpc.ArchiveServiceStub(channel).CountArchive(pb.SearchArchiveRequest())
        if certificates_of_callers:
            assert (await failed(call)).code() is grpc.StatusCode.UNAVAILABLE
        else:
            await call


@pytest.mark.parametrize("given", ["grpc_certificate_file", "grpc_key_file", "grpc_ca_file"])
def test_tls_with_one_file_alone_is_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="grpc_"):
        WebSettings(**{given: tmp_path / "file"})


# --- retrieve ------------------------------------------------------------------------------------


async def test_objects_come_as_part_10_files_as_they_are_stored() -> None:
    web = Web()
    for uid in ("1.2.3.4.5", "1.2.3.4.6"):
        web.storage.keep(uid)
    async with served(web) as stub:
        call = stub.RetrieveObjects(pb.RetrieveObjectsRequest(study=STUDY))
        found: dict[str, bytes] = {}
        async for answer in call:
            if answer.WhichOneof("part") == "head":
                uid = answer.head.name.instance
                assert answer.head.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN
                assert answer.head.digest == web.storage.kept[uid].digest
                found[uid] = b""
            else:
                found[uid] += answer.data
    assert found == {uid: part10(uid) for uid in ("1.2.3.4.5", "1.2.3.4.6")}
    ((action, record),) = web.audit.records
    assert (action, record["studies"], record["instance_count"]) == ("retrieve", (STUDY,), 2)
    assert (record["source"].protocol, record["source"].host) == ("gRPC", "127.0.0.1")


async def test_what_the_caller_cannot_take_is_decoded_or_refused() -> None:
    web = Web()
    web.storage.keep(syntax=JPEG_LS)
    async with served(web) as stub:
        wanted = ["1.2.840.10008.1.2.4.90", EXPLICIT_VR_LITTLE_ENDIAN]
        request = pb.RetrieveObjectsRequest(**WHOLE, transfer_syntaxes=wanted)
        head, *data = [answer async for answer in stub.RetrieveObjects(request)]
        assert head.head.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN
        meta = file_meta(CT, INSTANCE, EXPLICIT_VR_LITTLE_ENDIAN)
        assert b"".join(one.data for one in data).startswith(meta)
        request = pb.RetrieveObjectsRequest(**WHOLE, transfer_syntaxes=wanted[:1])
        error = await failed(stub.RetrieveObjects(request))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert len(web.audit.records) == 1, "what is refused is no access"


async def test_an_object_that_changed_ends_with_data_loss() -> None:
    web = Web()
    web.storage.keep()
    web.storage.corrupted = True
    async with served(web) as stub:
        error = await failed(stub.RetrieveObjects(pb.RetrieveObjectsRequest(study=STUDY)))
    assert error.code() is grpc.StatusCode.DATA_LOSS


async def test_metadata_are_json_whose_bulk_data_can_be_asked_for() -> None:
    web = Web()
    web.storage.keep(frames=0)
    async with served(web) as stub:
        call = stub.RetrieveMetadata(pb.RetrieveMetadataRequest(study=STUDY))
        (item,) = [answer async for answer in call]
        assert (item.number, item.last) == (1, True)
        uri = json.loads(item.data)["00420011"]["BulkDataURI"]
        assert uri.startswith(f"/dicomweb/studies/{STUDY}/")
        path = uri.partition("/bulkdata/")[2]
        ask = pb.RetrieveBulkDataRequest(**WHOLE, path=path)
        assert b"".join([one.data async for one in stub.RetrieveBulkData(ask)]) == PDF
        ask = pb.RetrieveBulkDataRequest(**WHOLE, path=path, offset=1, length=3)
        assert b"".join([one.data async for one in stub.RetrieveBulkData(ask)]) == PDF[1:4]
        beyond = pb.RetrieveBulkDataRequest(**WHOLE, path=path, offset=99)
        error = await failed(stub.RetrieveBulkData(beyond))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_frames_come_as_they_are_stored_or_decoded() -> None:
    web = Web()
    web.storage.keep(syntax=JPEG_LS)
    web.storage.frame = bytes(range(256)) * 6000  # several pieces
    async with served(web) as stub:
        for decoded, prefix, syntax in (
            (False, b"", JPEG_LS), (True, b"decoded:", EXPLICIT_VR_LITTLE_ENDIAN),
        ):  # fmt: skip
            ask = pb.RetrieveFramesRequest(**WHOLE, numbers=[3, 1], decoded=decoded)
            whole: dict[int, bytes] = {}
            async for answer in stub.RetrieveFrames(ask):
                whole[answer.number] = whole.get(answer.number, b"") + answer.data
                assert answer.transfer_syntax == syntax
            assert whole == dict.fromkeys((3, 1), prefix + web.storage.frame)
        for numbers in ([], [0], [99]):
            error = await failed(
                stub.RetrieveFrames(pb.RetrieveFramesRequest(**WHOLE, numbers=numbers))
            )
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"study": "1.2..3"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"study": STUDY, "instance": INSTANCE}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"study": "1.9.9"}, grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_what_cannot_be_is_refused_and_what_is_not_there_not_found(fields, code) -> None:
    web = Web()
    web.storage.keep()
    async with served(web) as stub:
        for call in (
            stub.RetrieveObjects(pb.RetrieveObjectsRequest(**fields)),
            stub.RetrieveMetadata(pb.RetrieveMetadataRequest(**fields)),
        ):
            assert (await failed(call)).code() is code
    told = [
        (action, record["outcome"].value, record["studies"]) for action, record in web.audit.records
    ]
    asked_in_vain = ("retrieve", "failure", ("1.9.9",))
    assert told == ([asked_in_vain] * 2 if code is grpc.StatusCode.NOT_FOUND else [])


async def test_without_its_audit_record_nothing_is_answered() -> None:
    web = Web()
    web.storage.keep()
    web.audit.error = Unavailable("the log is away")
    async with served(web) as stub:
        for call in (
            stub.RetrieveObjects(pb.RetrieveObjectsRequest(study=STUDY)),
            stub.RetrieveMetadata(pb.RetrieveMetadataRequest(study=STUDY)),
            stub.RetrieveFrames(pb.RetrieveFramesRequest(**WHOLE, numbers=[1])),
            stub.SearchArchive(pb.SearchArchiveRequest()),
            stub.CountArchive(pb.SearchArchiveRequest()),
            stub.WatchChanges(pb.WatchChangesRequest()),
        ):
            assert (await failed(call)).code() is grpc.StatusCode.UNAVAILABLE
    assert web.storage.sent == 0
    assert web.query.searches == []
