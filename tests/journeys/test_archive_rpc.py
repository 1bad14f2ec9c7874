"""The gRPC port of a whole installation: bad input, callers that vanish, readers that are slow, and
the audit trail of all of it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from isocenter.v1 import archive_pb2 as pb
from isocenter.v1 import archive_pb2_grpc
from support.files import Series, write_series
from support.harness import Isocenter, wait_until

CHUNK = 1024 * 1024
COUNT = 3


@pytest.fixture
def archive(isocenter: Isocenter) -> Iterator[archive_pb2_grpc.ArchiveServiceStub]:
    with grpc.insecure_channel(f"{isocenter.host}:{isocenter.grpc_port}") as channel:
        yield archive_pb2_grpc.ArchiveServiceStub(channel)


def messages_of(*files: bytes) -> Iterator[pb.StoreObjectsRequest]:
    for file in files:
        for at in range(0, len(file) or 1, CHUNK):
            last = at + CHUNK >= len(file)
            yield pb.StoreObjectsRequest(data=file[at : at + CHUNK], end=last)


def stored(archive: archive_pb2_grpc.ArchiveServiceStub, folder: Path, rows: int = 64) -> Series:
    series = write_series(folder, COUNT, rows=rows)
    files = [path.read_bytes() for path in series.files.values()]
    answers = list(archive.StoreObjects(messages_of(*files)))
    assert [one.name.instance for one in answers] == list(series.files)
    return series


def status_of(call: Iterator[Message]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        list(call)
    code: grpc.StatusCode = raised.value.code()
    return code


def test_what_is_stored_comes_back_as_it_is_kept_and_leaves_records(
    isocenter: Isocenter, archive: archive_pb2_grpc.ArchiveServiceStub, tmp_path: Path
) -> None:
    series = stored(archive, tmp_path)
    digests: dict[str, str] = {}
    files: dict[str, bytes] = {}
    name = ""
    for part in archive.RetrieveObjects(pb.RetrieveObjectsRequest(study=series.study)):
        if part.WhichOneof("part") == "head":
            name = part.head.name.instance
            digests[name] = part.head.digest
        else:
            files[name] = files.get(name, b"") + part.data
    found = {uid: hashlib.sha256(content).hexdigest() for uid, content in files.items()}
    assert found == digests
    assert set(found) == set(series.files)
    kept = isocenter.objects.contents(series.study).values()
    assert sorted(kept) == sorted(files.values())

    def recorded() -> dict[str, int]:
        listed = isocenter.cli("audit list", "--json", "--study", series.study)
        records = [json.loads(line) for line in listed.stdout.splitlines()]
        return {
            record["action"]: record["instance_count"]
            for record in records
            if record["source"]["protocol"] == "gRPC"
        }

    wait_until(lambda: set(recorded()) == {"store", "retrieve"}, 30, "it is in the audit trail")
    assert recorded()["retrieve"] == COUNT


def test_files_that_are_none_are_refused_one_by_one(
    archive: archive_pb2_grpc.ArchiveServiceStub, tmp_path: Path
) -> None:
    series = write_series(tmp_path, 1)
    (good,) = (path.read_bytes() for path in series.files.values())
    bad = [b"", b"\0" * 200, bytes(range(256)) * 5000, good[:140], good[: len(good) // 2]]
    answers = list(archive.StoreObjects(messages_of(*bad, good)))
    assert [one.number for one in answers] == [1, 2, 3, 4, 5, 6]
    assert [bool(one.failure.reason) for one in answers] == [True] * 5 + [False]
    assert answers[-1].name.instance in series.files


def test_of_a_sender_that_vanishes_within_a_file_nothing_is_kept(
    isocenter: Isocenter, archive: archive_pb2_grpc.ArchiveServiceStub, tmp_path: Path
) -> None:
    series = write_series(tmp_path, 1, rows=2500)  # 12.5 MB: it does not go in one piece
    (file,) = (path.read_bytes() for path in series.files.values())
    sent, gone = threading.Event(), threading.Event()

    def half() -> Iterator[pb.StoreObjectsRequest]:
        for at in range(0, 10 * CHUNK, CHUNK):
            yield pb.StoreObjectsRequest(data=file[at : at + CHUNK])
        sent.set()
        gone.wait(60)

    call = archive.StoreObjects(half())
    assert sent.wait(60)
    call.cancel()
    gone.set()
    # The next one is served, and there is nothing of the first.
    stored(archive, tmp_path / "next")
    assert isocenter.objects.contents(series.study) == {}
    request = pb.RetrieveObjectsRequest(study=series.study)
    assert status_of(archive.RetrieveObjects(request)) is grpc.StatusCode.NOT_FOUND
    short = (pb.StoreObjectsRequest(data=part) for part in (file[:CHUNK], file[-CHUNK:]))
    assert status_of(archive.StoreObjects(short)) is grpc.StatusCode.INVALID_ARGUMENT
    assert isocenter.objects.contents(series.study) == {}


@pytest.mark.parametrize(
    ("uid", "code"),
    [
        ("1.2.826.0.1.3680043.10.9", grpc.StatusCode.NOT_FOUND),
        ("", grpc.StatusCode.INVALID_ARGUMENT),
        ("../../etc", grpc.StatusCode.INVALID_ARGUMENT),
        ("1." * 40, grpc.StatusCode.INVALID_ARGUMENT),
        ("1.2\0", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_uids_that_name_nothing_are_told(
    archive: archive_pb2_grpc.ArchiveServiceStub, uid: str, code: grpc.StatusCode
) -> None:
    for call in (
        archive.RetrieveObjects(pb.RetrieveObjectsRequest(study=uid)),
        archive.RetrieveMetadata(pb.RetrieveMetadataRequest(study=uid)),
        archive.RetrieveFrames(
            pb.RetrieveFramesRequest(study=uid, series="1.2", instance="1.2", numbers=[1])
        ),
        archive.RetrieveBulkData(
            pb.RetrieveBulkDataRequest(study=uid, series="1.2", instance="1.2", path="7FE00010")
        ),
    ):
        assert status_of(call) is code


def test_ranges_and_numbers_beyond_the_end_are_told(
    archive: archive_pb2_grpc.ArchiveServiceStub, tmp_path: Path
) -> None:
    series = stored(archive, tmp_path)
    place = {"study": series.study, "series": series.series, "instance": next(iter(series.files))}
    size = 64 * 64 * 2

    def value(**wanted: int) -> bytes:
        request = pb.RetrieveBulkDataRequest(**place, path="7FE00010", **wanted)
        return b"".join(chunk.data for chunk in archive.RetrieveBulkData(request))

    whole = value()
    assert len(whole) == size
    assert value(offset=10, length=5) == whole[10:15]
    assert value(offset=size - 3, length=2**64 - 1) == whole[-3:]
    assert value(offset=size) == b""
    beyond = pb.RetrieveBulkDataRequest(**place, path="7FE00010", offset=2**63)
    assert status_of(archive.RetrieveBulkData(beyond)) is grpc.StatusCode.INVALID_ARGUMENT
    nowhere = pb.RetrieveBulkDataRequest(**place, path="../00100010")
    assert status_of(archive.RetrieveBulkData(nowhere)) is grpc.StatusCode.NOT_FOUND
    frame = pb.RetrieveFramesRequest(**place, numbers=[1, 2**32 - 1])
    assert status_of(archive.RetrieveFrames(frame)) is grpc.StatusCode.NOT_FOUND


def test_a_message_beyond_the_limit_is_refused_and_the_connection_serves_on(
    archive: archive_pb2_grpc.ArchiveServiceStub, tmp_path: Path
) -> None:
    huge = iter([pb.StoreObjectsRequest(data=bytes(20 * CHUNK), end=True)])
    assert status_of(archive.StoreObjects(huge)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    stored(archive, tmp_path)


def test_a_reader_that_stops_reading_costs_a_buffer_and_not_the_study(
    isocenter: Isocenter, archive: archive_pb2_grpc.ArchiveServiceStub, tmp_path: Path
) -> None:
    series = stored(archive, tmp_path, rows=4000)  # 32 MB each
    wait_until(lambda: len(isocenter.objects.contents(series.study)) == COUNT, 60, "kept")
    before = resident(isocenter)
    calls = [
        archive.RetrieveObjects(pb.RetrieveObjectsRequest(study=series.study)) for _ in range(8)
    ]
    for call in calls:
        assert next(call).WhichOneof("part") == "head"
    grown, end = 0, time.monotonic() + 3  # long enough for all of it, were it not held back
    while time.monotonic() < end:
        grown = max(grown, resident(isocenter) - before)
    for call in calls:
        call.cancel()
    # Read to the end they are 768 MB.
    assert grown < 150 * 1024 * 1024, f"{grown / 1e6:.0f} MB"
    stored(archive, tmp_path / "next")


def resident(isocenter: Isocenter) -> int:
    """Memory of all processes, bytes."""
    return sum(
        int(line.split()[1]) * 1024
        for pid in isocenter.pids()
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
