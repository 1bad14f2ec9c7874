"""Storage: everything comes back as it came, from packs or from the objects themselves."""

from __future__ import annotations

import io
import json
import warnings
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.access import SYSTEM
from isocenter.core.deletions import DeletedObject, deletion_id
from isocenter.core.errors import Corrupted, IsocenterError, NotFound, Refused, Unsupported
from isocenter.core.identity import ObjectName, outbox_key
from isocenter.core.overlays import Overlay
from isocenter.core.packs import BULK_BASE
from isocenter.core.part10 import split
from isocenter.core.ports import BlobInfo
from isocenter.core.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    lookup,
)
from support.objects import (
    INSTANCE,
    NOT_STORABLE,
    SERIES,
    STUDY,
    Archive,
    announcement,
    chunks,
    digest,
    element,
    file_id,
    fragments,
    pixels,
    pydicom_files,
    small,
    split_file,
)
from support.stored import all_instances, bulk_of, frames_of, one, write_pack

JPEG = "1.2.840.10008.1.2.4.50"


async def _read_into(parts: list[bytes], source: AsyncIterator[bytes]) -> None:
    async for part in source:
        parts.append(part)  # noqa: PERF401 (what came before an error is looked at)


@pytest.mark.parametrize("path", pydicom_files(), ids=file_id)
async def test_every_file_of_pydicom_comes_back_as_it_came(path: Path) -> None:
    archive = Archive()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.name in NOT_STORABLE:
            with pytest.raises(IsocenterError):
                await one(archive, *split_file(path))
            return
        data, uid = split_file(path)
        stored = await one(archive, data, uid)
        assert b"".join([part async for part in archive.storage.data_set(stored)]) == data
        original = pydicom.dcmread(path)
        (raw,) = [
            item async for item in archive.storage.metadata(SYSTEM, "main", stored.name.study)
        ]
        assert json.loads(raw)["00080018"]["Value"] == [original.SOPInstanceUID]
        if "PixelData" not in original:
            assert stored.number_of_frames == 0
            return
        count = stored.number_of_frames
        frames = await frames_of(archive, stored, list(range(1, count + 1)))
    if lookup(uid).encapsulated:
        assert frames == list(generate_frames(original.PixelData, number_of_frames=count))
    else:
        assert original.PixelData.startswith(b"".join(frames))
        assert b"".join(frames)
    pixels_of = await archive.storage.pixel_format(stored)
    assert (pixels_of.rows, pixels_of.columns) == (original.Rows, original.Columns)


async def test_instances_come_in_order_of_series_and_instance_with_or_without_packs() -> None:
    archive = Archive()
    for series, instance in (("1.9", "1.1"), ("1.10", "1.2"), ("1.10", "1.1")):
        await archive.ingest.store(announcement(), chunks(small(series=series, instance=instance)))
    before = await all_instances(archive)
    assert [(item.name.series, item.name.instance) for item in before] == [
        ("1.10", "1.1"),
        ("1.10", "1.2"),
        ("1.9", "1.1"),
    ]
    metadata = [raw async for raw in archive.storage.metadata(SYSTEM, "main", STUDY)]
    await write_pack(archive, before[:2])
    await write_pack(archive, before[1:2])
    fresh = Archive(blobs=archive.blobs)
    assert await all_instances(fresh) == before
    again = [raw async for raw in fresh.storage.metadata(SYSTEM, "main", STUDY)]
    assert [json.loads(raw) for raw in again] == [json.loads(raw) for raw in metadata]
    assert await all_instances(fresh, series="1.9") == before[2:]
    assert await all_instances(fresh, study="9.9") == []


async def test_without_a_decision_the_first_version_counts_with_one_the_decided() -> None:
    archive = Archive()
    first = await one(archive, small())
    other = small(more=element(0x00400001, "AE", b"OTHER "))
    later = await archive.ingest.store(announcement(), chunks(other))
    assert [item.digest for item in await all_instances(archive)] == [first.digest]
    for number, decided in ((1, later.digest), (2, first.digest), (10, later.digest)):
        key = f"conflicts/main/{STUDY}/{SERIES}/{INSTANCE}/{number}.{decided}"
        await archive.blobs.put(key, [b""], digest(b""))
        assert [item.digest for item in await all_instances(archive)] == [decided]


class _AgingBlobs(MemoryBlobs):
    """Lists blobs with times of its own."""

    def __init__(self, oldest: str) -> None:
        super().__init__()
        self.oldest = oldest

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        async for info in super().list(prefix, after):
            year = 2001 if self.oldest in info.key else 2020
            yield BlobInfo(info.key, info.size, info.modified_at.replace(year=year))


async def test_the_older_version_counts_whatever_the_digests() -> None:
    stored = [
        await Archive().ingest.store(announcement(), chunks(data))
        for data in (small(), small(patient_id=b"P2"))
    ]
    for oldest in [item.digest for item in stored]:
        archive = Archive(blobs=_AgingBlobs(oldest))
        for data in (small(), small(patient_id=b"P2")):
            await archive.ingest.store(announcement(), chunks(data))
        assert [item.digest for item in await all_instances(archive)] == [oldest]


async def test_a_corrupted_object_is_found_by_verify_and_fails_loudly() -> None:
    archive = Archive()
    stored = await one(archive, small(more=pixels(512, 512, bytes(524288)) * 5))
    good = [item async for item in archive.storage.verify("objects/main/")]
    assert [(item.key, item.ok) for item in good] == [(stored.key, True)]
    content, modified_at = archive.blobs._blobs[stored.key]
    archive.blobs._blobs[stored.key] = (content[:-1] + b"\xff", modified_at)
    (bad,) = [item async for item in archive.storage.verify("objects/main/")]
    assert not bad.ok
    assert "digest" in bad.problem
    received: list[bytes] = []
    with pytest.raises(Corrupted):
        await _read_into(received, archive.storage.data_set(stored))
    assert len(b"".join(received)) < len(content) - stored.data_set_offset


async def test_frames_of_an_object_that_became_shorter_fail_loudly() -> None:
    archive = Archive()
    stored = await one(archive, small(more=pixels(4, 4, bytes(32))))
    content, modified_at = archive.blobs._blobs[stored.key]
    archive.blobs._blobs[stored.key] = (content[:-1], modified_at)
    with pytest.raises(Corrupted):
        await frames_of(archive, stored, [1])


@pytest.mark.parametrize("number", [0, 2, -1, 10**9])
async def test_frames_out_of_range_are_not_found(number: int) -> None:
    archive = Archive()
    stored = await one(archive, small(more=pixels(4, 4, bytes(32))))
    with pytest.raises(NotFound):
        await frames_of(archive, stored, [number])


async def test_an_instance_without_pixel_data_has_no_frames_and_no_pixel_format() -> None:
    archive = Archive()
    stored = await one(archive, small())
    assert stored.number_of_frames == 0
    with pytest.raises(NotFound):
        await frames_of(archive, stored, [1])
    with pytest.raises(NotFound):
        await archive.storage.pixel_format(stored)


async def test_frames_of_single_bits_are_moved_to_begin_at_a_byte() -> None:
    archive = Archive()
    # Three frames of 3 x 3 pixels, one bit each, one after another without padding.
    bits = "101010101111000111000111000"
    value = int(bits[::-1], 2).to_bytes(4, "little")
    stored = await one(archive, small(more=pixels(3, 3, value, frames=3, bits=1)))
    frames = await frames_of(archive, stored, [1, 2, 3])
    found = [format(int.from_bytes(frame, "little"), "016b")[::-1][:9] for frame in frames]
    assert found == ["101010101", "111000111", "000111000"]


async def test_frames_of_a_deflated_object_are_inflated() -> None:
    archive = Archive()
    plain = small(more=pixels(2, 2, bytes(range(16)), frames=2))
    packer = zlib.compressobj(9, wbits=-15)
    data = packer.compress(plain) + packer.flush()
    stored = await one(archive, data, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    assert stored.number_of_frames == 2
    assert await frames_of(archive, stored, [2, 1]) == [bytes(range(8, 16)), bytes(range(8))]
    assert await bulk_of(archive, stored, "7FE00010") == bytes(range(16))


async def test_bulk_data_is_found_by_the_uri_in_the_metadata() -> None:
    archive = Archive()
    value = bytes(range(256)) * 20
    data = small(
        more=element(0x00420011, "OB", value)
        + pixels(2, 2, bytes(range(8)))
        + element(0x7FE10011, "OB", value[::-1])
    )
    stored = await one(archive, data)
    (raw,) = [item async for item in archive.storage.metadata(SYSTEM, "main", STUDY)]
    attributes = json.loads(raw)
    base = f"{BULK_BASE}/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/bulkdata/"
    for tag, expected in (
        ("00420011", value),
        ("7FE00010", bytes(range(8))),
        ("7FE10011", value[::-1]),
    ):
        assert attributes[tag]["BulkDataURI"] == base + tag
        assert await bulk_of(archive, stored, tag) == expected
    for path in ("00420012", "../x", "7FE00009", ""):
        with pytest.raises(NotFound):
            await archive.storage.bulk_size(stored, path)


@given(st.integers(0, 5200), st.none() | st.integers(0, 5200))
async def test_a_range_of_bulk_data_is_that_of_the_whole(offset: int, length: int | None) -> None:
    archive = Archive()
    value = bytes(range(256)) * 20
    stored = await one(archive, small(more=element(0x00420011, "OB", value)))
    assert await archive.storage.bulk_size(stored, "00420011") == len(value)
    wanted = value[offset:] if length is None else value[offset : offset + length]
    assert await bulk_of(archive, stored, "00420011", offset, length) == wanted


async def test_bulk_data_of_big_endian_objects_comes_in_little_endian() -> None:
    archive = Archive()
    dataset = pydicom.dcmread(get_testdata_file("ExplVR_BigEnd.dcm"))
    value = np.arange(1000, dtype="<u2")
    dataset.add_new(0x00091011, "OW", value.byteswap().tobytes())
    out = io.BytesIO()
    pydicom.dcmwrite(
        out, dataset, implicit_vr=False, little_endian=False, enforce_file_format=False
    )
    out.seek(0)
    data = out.getvalue()
    meta, body = await split(chunks(data))
    assert meta.transfer_syntax == EXPLICIT_VR_BIG_ENDIAN
    plain = b"".join([bytes(chunk) async for chunk in body])
    stored = await one(archive, plain, EXPLICIT_VR_BIG_ENDIAN)
    assert await bulk_of(archive, stored, "00091011") == value.tobytes()
    assert await bulk_of(archive, stored, "00091011", 7, 100) == value.tobytes()[7:107]


async def test_fragments_that_do_not_say_their_frame_are_unsupported_not_guessed() -> None:
    archive = Archive()
    layout = pixels(2, 2, b"", frames=2)
    more = layout[: layout.rindex(b"\xe0\x7f\x10\x00")]
    data = small(more=more + fragments([b"", b"aaaa", b"bbbb", b"cccc"]))
    stored = await one(archive, data, JPEG)
    assert stored.number_of_frames == 2
    with pytest.raises(Unsupported):
        await frames_of(archive, stored, [1])


async def test_an_object_moves_only_to_its_own_deletion_and_back() -> None:
    archive = Archive()
    stored = await one(archive, small())
    at = datetime(2026, 1, 1, tzinfo=UTC)
    deletion = deletion_id(at, at, 1)
    name = ObjectName(stored.name, stored.digest)
    hidden = DeletedObject(deletion, name)
    other = DeletedObject(deletion, replace(name, digest="0" * 64))
    for key, target in (
        (stored.key, other.key),
        (stored.key, other.object.key),
        (stored.key, "packs/main/1.2/1.3/x.pack"),
        (hidden.spared_key, stored.key),
        ("packs/main/1.2/1.3/x.pack", hidden.key),
    ):
        with pytest.raises(Refused):
            await archive.storage.move(key, target)
    await archive.storage.move(stored.key, hidden.key)
    assert await all_instances(archive) == []
    await archive.storage.move(hidden.key, stored.key)
    assert await all_instances(archive) == [stored]
    await archive.storage.move(stored.key, hidden.key)
    await archive.storage.remove(hidden.key)
    assert await archive.keys("objects/") == await archive.keys("deleted/") == []


async def test_an_overlay_is_verified_and_may_be_removed_only_without_its_object() -> None:
    archive = Archive()
    stored = await one(archive, small())
    name = ObjectName(stored.name, stored.digest)
    patient = {"00100020": {"vr": "LO", "Value": ["P2"]}}
    overlay = Overlay(patient, len(small()), "CT1", "US").kept(name, 1)
    await archive.storage.put(overlay.key, [overlay.content], overlay.digest)
    checked = [item async for item in archive.storage.verify("objects/main/")]
    assert [(item.key, item.ok) for item in checked] == [(stored.key, True), (overlay.key, True)]
    with pytest.raises(Refused):
        await archive.storage.remove(overlay.key)
    (corrected,) = await all_instances(archive)
    content, modified_at = archive.blobs._blobs[overlay.key]
    archive.blobs._blobs[overlay.key] = (content.replace(b"P2", b"P3"), modified_at)
    (bad,) = [item async for item in archive.storage.verify("objects/main/") if not item.ok]
    assert bad.key == overlay.key
    with pytest.raises(Corrupted):
        _ = [chunk async for chunk in archive.storage.data_set(corrected)]
    await archive.blobs.delete(stored.key)
    await archive.storage.remove(overlay.key)
    assert await archive.keys("objects/") == []


async def test_only_packs_and_the_outbox_may_be_removed() -> None:
    archive = Archive()
    stored = await one(archive, small())
    pack = await write_pack(archive, [stored])
    waiting = outbox_key("isocenter.audit", "1")
    await archive.storage.put(waiting, [b"x"], digest(b"x"))
    with pytest.raises(Refused):
        await archive.storage.remove(stored.key)
    await archive.storage.remove(pack)
    await archive.storage.remove(waiting)
    assert await archive.keys("packs/") == await archive.keys("outbox/") == []
    assert await all_instances(archive) == [stored]
