"""Ingest: what comes in, what does not, and what is left behind either way."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from pydantic import ValidationError

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.errors import (
    Conflict,
    IsocenterError,
    Mismatch,
    OutOfResources,
    Refused,
    Unavailable,
    Unprocessable,
    Unsupported,
)
from isocenter.core.events import (
    TOPIC_AUDIT,
    TOPIC_INSTANCES,
    AuditAction,
    AuditEvent,
    AuditOutcome,
    ConflictPolicy,
    Event,
    InstanceRejected,
    InstanceStored,
    Source,
)
from isocenter.core.part10 import parse_meta
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
from isocenter.ingest.settings import IngestSettings, SourcePolicy
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.event_codec import decode
from isocenter.storage.settings import StorageSettings
from support.objects import (
    INSTANCE,
    SERIES,
    STUDY,
    Archive,
    FailingBus,
    announcement,
    chunks,
    digest,
    element,
    fragments,
    nested,
    pixels,
    small,
)

JPEG = "1.2.840.10008.1.2.4.50"


async def _events(bus: MemoryBus, topic: str) -> list[Event]:
    return [decode(delivery) async for delivery in bus.replay(topic)]


async def test_a_stored_object_is_durable_and_announced_with_who_brought_it() -> None:
    archive = Archive()
    data = small(more=pixels(4, 4, bytes(32)))
    stored = await archive.ingest.store(announcement(), chunks(data, 10))
    (key,) = await archive.keys("objects/")
    content = await archive.blobs.get(key)
    meta = parse_meta(content)
    assert meta is not None
    assert content[meta.length :] == data
    assert digest(content) == stored.digest
    assert key == f"objects/main/{STUDY}/{SERIES}/{INSTANCE}/{stored.digest}.dcm"
    (event,) = await _events(archive.bus, TOPIC_INSTANCES)
    assert isinstance(event, InstanceStored)
    assert event.key == key
    assert event.size == stored.size == len(content)
    assert event.data_set_offset == meta.length
    assert event.header == data[: event.header_length]
    assert data[event.header_length :].startswith(b"\xe0\x7f\x10\x00")
    assert event.patient_id == "P1"
    assert event.source == announcement().source
    assert await _events(archive.bus, TOPIC_AUDIT) == [], "the event is the record of the store"


async def test_the_same_object_again_is_a_success_and_one_object() -> None:
    archive = Archive()
    first = await archive.ingest.store(announcement(), chunks(small()))
    second = await archive.ingest.store(announcement(), chunks(small(), 7))
    assert first == second
    assert len(await archive.keys("objects/")) == 1


@pytest.mark.parametrize("size", [10, 5000, 10**6])
@pytest.mark.parametrize("announced", [True, False])
async def test_an_object_is_the_same_however_it_arrives(size: int, announced: bool) -> None:
    data = small(more=pixels(256, 256, bytes(range(256)) * 512))
    whole, pieces = Archive(), Archive()
    first = await whole.ingest.store(announcement(), chunks(data))
    said = announcement() if announced else announcement(sop_class="", instance="")
    second = await pieces.ingest.store(said, chunks(data, size))
    assert first == second
    (key,) = await whole.keys("objects/")
    assert await whole.blobs.get(key) == await pieces.blobs.get(key)
    assert await _headers(whole.bus) == await _headers(pieces.bus)


async def _headers(bus: MemoryBus) -> list[bytes | None]:
    events = await _events(bus, TOPIC_INSTANCES)
    return [event.header for event in events if isinstance(event, InstanceStored)]


async def test_a_deflated_object_keeps_its_bytes() -> None:
    archive = Archive()
    plain = small(more=element(0x00091001, "OB", bytes(1000)) + pixels(256, 256, bytes(131072)))
    packer = zlib.compressobj(0, wbits=-15)
    data = packer.compress(plain) + packer.flush()
    stored = await archive.ingest.store(
        announcement(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN), chunks(data, 5000)
    )
    content = await archive.blobs.get((await archive.keys("objects/"))[0])
    assert content.endswith(data)
    assert stored.size == len(content)
    (header,) = await _headers(archive.bus)
    assert header is not None
    assert plain.startswith(header)


async def test_a_large_object_without_pixel_data_comes_in() -> None:
    archive = Archive()
    data = small(more=element(0x00420011, "OB", bytes(300_000)))
    stored = await archive.ingest.store(announcement(), chunks(data, 5000))
    assert stored.size > 300_000
    assert await _headers(archive.bus) == [None]


_CUT = pixels(4, 4, bytes(32))

BAD: dict[str, tuple[bytes, type[IsocenterError]]] = {
    "nothing": (b"", Unprocessable),
    "not DICOM": (b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n" * 10, Unprocessable),
    "no study": (small(study=""), Unprocessable),
    "no series": (small(series=""), Unprocessable),
    "no instance": (small(instance=""), Unprocessable),
    "no class": (small(sop_class=""), Unprocessable),
    "invalid UID": (small(study="1.2.x"), Unprocessable),
    "leading zero": (small(study="1.02"), Unprocessable),
    "path in UID": (small(instance="../../../etc/passwd"), Unprocessable),
    "slash in UID": (small(series="1.2/3"), Unprocessable),
    "long UID": (small(study="1." + "2" * 70), Unprocessable),
    "cut value": (small(more=_CUT)[:-5], Unprocessable),
    "cut header": (small()[:-3], Unprocessable),
    "4 GB": (small(more=element(0x00420011, "OB", b"abcd", 0xFFFFFFF0)), Unprocessable),
    "4 GB of pixels": (small(more=element(0x7FE00010, "OW", b"ab", 0xFFFFFFF0)), Unprocessable),
    "deep, defined": (small(more=nested(1000, undefined=False)), Unprocessable),
    "deep, undefined": (small(more=nested(1000, undefined=True)), Unprocessable),
    "endless sequence": (small(more=element(0x00400275, "SQ", b"", 0xFFFFFFFF)), Unprocessable),
    "file meta inside": (b"\x02\x00\x10\x00UI\x02\x001\x00" + small(), Unprocessable),
    "directory": (small(sop_class="1.2.840.10008.1.3.10"), Refused),
    "cut after pixels": (small(more=_CUT + element(0xFFFAFFFA, "SQ", b"", 99)), Unprocessable),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_data_sets_are_refused_audited_and_leave_nothing(
    name: str,
) -> None:
    data, kind = BAD[name]
    archive = Archive()
    with pytest.raises(kind):
        await archive.ingest.store(announcement(), chunks(data))
    assert await archive.keys("objects/") == []
    assert await _events(archive.bus, TOPIC_INSTANCES) == []
    (record,) = await _events(archive.bus, TOPIC_AUDIT)
    assert isinstance(record, AuditEvent)
    assert record.outcome is AuditOutcome.FAILURE
    assert record.error
    stored = await archive.ingest.store(announcement(), chunks(small()))
    assert stored.name.study == STUDY


async def test_the_record_of_a_refusal_names_the_object_as_far_as_it_is_known() -> None:
    policy = SourcePolicy(ae_title="SCANNER", policy=ConflictPolicy.REJECT)
    archive = Archive(IngestSettings(conflict_by_source=(policy,)))
    first = await archive.ingest.store(announcement(), chunks(small()))
    other = small(more=element(0x00204000, "LT", b"another"))
    with pytest.raises(Conflict):
        await archive.ingest.store(announcement(), chunks(other))
    with pytest.raises(Refused):
        await archive.ingest.store(
            announcement(), chunks(small(sop_class="1.2.840.10008.1.3.10", study="1.2.77"))
        )
    with pytest.raises(Unprocessable):
        await archive.ingest.store(announcement(), chunks(b"no data set"))
    rejected, unwanted, unread = await _events(archive.bus, TOPIC_AUDIT)
    name = first.name
    assert (rejected.studies, rejected.series) == ((name.study,), (name.series,))
    assert rejected.instances == (name.instance,)
    (digest,) = rejected.digests
    assert digest != first.digest
    assert (unwanted.studies, unwanted.instances) == (("1.2.77",), (name.instance,))
    assert unwanted.digests == ()
    assert (unread.studies, unread.instances, unread.digests) == ((), (), ())


async def test_what_the_command_line_cannot_import_is_recorded_as_an_import() -> None:
    archive = Archive()
    by = replace(announcement(), source=Source("CLI", user="eva"))
    with pytest.raises(Unprocessable):
        await archive.ingest.store(by, chunks(b"no data set"))
    (record,) = await _events(archive.bus, TOPIC_AUDIT)
    assert (record.action, record.outcome) == (AuditAction.IMPORT, AuditOutcome.FAILURE)


async def test_a_large_truncated_object_is_refused_at_its_end() -> None:
    archive = Archive()
    data = small(more=pixels(256, 256, bytes(131072)))
    with pytest.raises(Unprocessable, match="missing at the end"):
        await archive.ingest.store(announcement(), chunks(data[:-100]))
    assert await archive.keys("objects/") == []


async def test_a_header_that_lies_about_4_gb_is_refused_without_waiting_for_it() -> None:
    archive = Archive()
    data = small(more=element(0x00420011, "OB", bytes(70_000), 0xFFFFFFF0))
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        yield data
        while True:
            asked += 1
            yield bytes(1000)

    with pytest.raises(Unprocessable, match="bytes before Pixel Data"):
        await archive.ingest.store(announcement(), endless())
    assert asked < 100


async def test_encapsulated_pixel_data_without_its_delimiter_is_refused() -> None:
    archive = Archive()
    data = small(more=fragments([b"", b"\xff\xd8\xff\xd9"], ended=False))
    with pytest.raises(Unprocessable, match="no delimiter"):
        await archive.ingest.store(announcement(JPEG), chunks(data))


async def test_trailing_padding_is_kept() -> None:
    archive = Archive()
    data = small(more=pixels(2, 2, bytes(8)) + element(0xFFFCFFFC, "OB", bytes(5000)))
    stored = await archive.ingest.store(announcement(), chunks(data, 100))
    content = await archive.blobs.get((await archive.keys("objects/"))[0])
    assert content.endswith(data)
    assert stored.size == len(content)


async def test_a_zip_bomb_is_refused() -> None:
    archive = Archive(IngestSettings(inflated_bytes=2 * 1024 * 1024))
    packer = zlib.compressobj(9, wbits=-15)
    data = packer.compress(small(more=element(0x7FE00010, "OB", bytes(20_000_000))))
    data += packer.flush()
    with pytest.raises(Unprocessable, match="becomes more than"):
        await archive.ingest.store(announcement(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN), chunks(data))


async def test_data_that_is_not_deflated_as_announced_is_refused() -> None:
    with pytest.raises(Unprocessable, match="not deflated"):
        await Archive().ingest.store(
            announcement(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN), chunks(small())
        )


async def test_little_endian_data_announced_as_big_endian_is_refused() -> None:
    with pytest.raises(Unprocessable):
        await Archive().ingest.store(announcement(EXPLICIT_VR_BIG_ENDIAN), chunks(small()))


async def test_an_unknown_transfer_syntax_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        await Archive().ingest.store(announcement("1.2.3.4"), chunks(small()))


@pytest.mark.parametrize("announced", ["instance", "sop_class", "study"])
async def test_a_data_set_that_contradicts_its_announcement_is_a_mismatch(announced: str) -> None:
    archive = Archive()
    with pytest.raises(Mismatch):
        await archive.ingest.store(announcement(**{announced: "1.9"}), chunks(small()))
    assert await archive.keys("objects/") == []


async def test_the_same_instance_uid_in_two_series_and_studies_is_never_mixed_up() -> None:
    archive = Archive()
    for study, series in (("1.2", "1.3"), ("1.2", "1.4"), ("1.5", "1.3")):
        await archive.ingest.store(announcement(), chunks(small(study=study, series=series)))
    assert len(await archive.keys("objects/")) == 3


async def test_other_content_is_kept_beside_the_first_unless_the_policy_rejects_it() -> None:
    other = small(more=element(0x00400001, "AE", b"OTHER "))
    archive = Archive()
    await archive.ingest.store(announcement(), chunks(small()))
    await archive.ingest.store(announcement(), chunks(other))
    assert len(await archive.keys("objects/")) == 2

    policy = SourcePolicy(ae_title="SCANNER", policy=ConflictPolicy.REJECT)
    archive = Archive(IngestSettings(conflict_by_source=(policy,)))
    await archive.ingest.store(announcement(), chunks(small()))
    with pytest.raises(Conflict):
        await archive.ingest.store(announcement(), chunks(other))
    await archive.ingest.store(announcement(), chunks(small()))
    assert len(await archive.keys("objects/")) == 1
    kinds = [type(event) for event in await _events(archive.bus, TOPIC_INSTANCES)]
    assert kinds == [InstanceStored, InstanceRejected, InstanceStored]


@pytest.mark.parametrize("known", [True, False])
async def test_the_policy_of_the_directory_comes_before_the_settings_where_it_is_the_ae(
    known: bool,
) -> None:
    policy = SourcePolicy(ae_title="SCANNER", policy=ConflictPolicy.KEEP_FIRST)
    ae = KnownAE(title="SCANNER", conflict=ConflictPolicy.KEEP_LATEST)
    archive = Archive(IngestSettings(conflict_by_source=(policy,)), known=(ae,))
    source = Source("DIMSE", "192.0.2.1", "SCANNER", "ISOCENTER", known=known)
    await archive.ingest.store(replace(announcement(), source=source), chunks(small()))
    (event,) = await _events(archive.bus, TOPIC_INSTANCES)
    expected = ConflictPolicy.KEEP_LATEST if known else ConflictPolicy.KEEP_FIRST
    assert event.policy is expected


async def test_private_sop_classes_come_in_unless_the_settings_say_otherwise() -> None:
    private = small(sop_class="1.2.826.0.1.3680043.9.1")
    await Archive().ingest.store(announcement(), chunks(private))
    strict = Archive(IngestSettings(sop_classes="standard"))
    await strict.ingest.store(announcement(), chunks(small()))
    with pytest.raises(Refused):
        await strict.ingest.store(announcement(), chunks(private))


async def test_a_class_comes_in_with_the_standard_one_that_it_specialises() -> None:
    private = small(sop_class="1.2.826.0.1.3680043.9.1")
    strict = Archive(IngestSettings(sop_classes="standard"))
    special = replace(announcement(), general_sop_class="1.2.840.10008.5.1.4.1.1.2")
    await strict.ingest.store(special, chunks(private))
    with pytest.raises(Refused):
        await strict.ingest.store(replace(special, general_sop_class="1.2.3"), chunks(private))


async def test_a_sender_that_vanishes_leaves_nothing() -> None:
    archive = Archive()
    data = small(more=pixels(256, 256, bytes(131072)))

    async def vanishing() -> AsyncIterator[Buffer]:
        yield data[:100_000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await archive.ingest.store(announcement(), vanishing())
    assert await archive.keys("objects/") == []
    assert await _events(archive.bus, TOPIC_INSTANCES) == []


async def test_buffers_may_be_reused_by_the_sender() -> None:
    data = small(more=pixels(256, 256, bytes(range(256)) * 512))
    archive = Archive()

    async def reusing() -> AsyncIterator[Buffer]:
        buffer = bytearray(1000)
        for start in range(0, len(data), 1000):
            part = data[start : start + 1000]
            buffer[: len(part)] = part
            yield memoryview(buffer)[: len(part)]
            buffer[:] = b"\xaa" * 1000

    await archive.ingest.store(announcement(), reusing())
    assert (await archive.blobs.get((await archive.keys("objects/"))[0])).endswith(data)


async def test_a_log_that_comes_back_in_time_is_no_failure() -> None:
    archive = Archive(bus=FailingBus(2))
    await archive.ingest.store(announcement(), chunks(small()))
    assert len(await _events(archive.bus, TOPIC_INSTANCES)) == 1


async def test_a_log_that_stays_away_makes_the_store_unavailable() -> None:
    archive = Archive(IngestSettings(announce_seconds=0.1), bus=FailingBus(10**6))
    with pytest.raises(Unavailable):
        await archive.ingest.store(announcement(), chunks(small()))


class _FullBlobs(MemoryBlobs):
    async def free_bytes(self) -> int | None:
        return 1000


async def test_objects_are_refused_before_the_disk_is_full() -> None:
    archive = Archive(None, StorageSettings(reserve_bytes=999), blobs=_FullBlobs())
    data = small(more=pixels(256, 256, bytes(131072)))
    with pytest.raises(OutOfResources):
        await archive.ingest.store(announcement(), chunks(data))
    assert await archive.keys("objects/") == []


async def test_a_patient_id_is_audited_in_its_character_set() -> None:
    archive = Archive()
    data = element(0x00080005, "CS", b"ISO_IR 192") + small(patient_id="\u00c4\u00d6".encode())
    await archive.ingest.store(announcement(), chunks(data))
    (event,) = await _events(archive.bus, TOPIC_INSTANCES)
    assert isinstance(event, InstanceStored)
    assert event.patient_id == "\u00c4\u00d6"


@pytest.mark.parametrize(
    "wrong",
    [
        {"partition": "../x"},
        {"more_sop_classes": ("abc",)},
        {"conflict_by_source": ({"ae_title": "", "policy": "reject"},)},
        {"surprise": 1},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IngestSettings.model_validate(wrong)
