"""Packs and frame tables: compact, mergeable, the same from an event and from the object."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from isocenter.core.entries import entry_from_event, entry_from_object
from isocenter.core.errors import Corrupted, Unprocessable, Unsupported
from isocenter.core.events import InstanceStored
from isocenter.core.frame_builder import FrameTableBuilder
from isocenter.core.frames import (
    NativeFrames,
    PixelLayout,
    decode_table,
    encode_table,
    pixel_layout,
)
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.packs import (
    BULK_BASE,
    PackEntry,
    decode_pack,
    encode_pack,
    merge,
    open_pack,
    pack_key,
)
from isocenter.core.part10 import file_meta
from isocenter.core.reader import Header, scan_header
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, lookup
from isocenter.runtime.compression import compress, decompress
from support.objects import (
    CT,
    INSTANCE,
    NOT_STORABLE,
    NOW,
    SERIES,
    SOURCE,
    STUDY,
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

LE = EXPLICIT_VR_LITTLE_ENDIAN
JPEG = "1.2.840.10008.1.2.4.50"
VIDEO = "1.2.840.10008.1.2.4.102"
NAME = InstanceName("main", STUDY, SERIES, INSTANCE)


def _event(data: bytes, uid: str = LE) -> tuple[InstanceStored, bytes]:
    meta = file_meta(CT, INSTANCE, uid)
    content = meta + data
    header = scan_header(data, uid, complete=True)
    assert isinstance(header, Header)
    name = ObjectName(NAME, digest(content))
    event = InstanceStored(
        NAME, CT, uid, name.key, name.digest, len(content), len(meta), header.length,
        data[: header.length], SOURCE, NOW,
    )  # fmt: skip
    return event, content


async def _entry(data: bytes, uid: str = LE, size: int = 4096) -> PackEntry:
    _, content = _event(data, uid)
    name = ObjectName(NAME, digest(content))
    entry, _ = await entry_from_object(name, len(content), chunks(content, size))
    return entry


@pytest.mark.parametrize("path", pydicom_files(), ids=file_id)
async def test_an_event_tells_the_same_as_the_object_or_nothing(path: Path) -> None:
    if path.name in NOT_STORABLE:
        return
    data, uid = split_file(path)
    if lookup(uid).deflated:
        return
    event, content = _event(data, uid)
    by_object = await entry_from_object(
        ObjectName(NAME, event.digest), len(content), chunks(content, 333)
    )
    by_event = entry_from_event(event)
    if by_event is None:
        assert by_object[0].number_of_frames
        return
    assert by_event == by_object
    assert BULK_BASE.encode() in by_event[0].attributes or not by_event[0].number_of_frames


async def test_native_objects_of_sixteen_bits_need_no_reading() -> None:
    event, _ = _event(small(more=pixels(4, 4, bytes(32))))
    assert entry_from_event(event) is not None
    assert entry_from_event(replace(event, header=None)) is None
    for more in (
        pixels(4, 4, bytes(16), bits=8),
        pixels(4, 4, bytes(32)) + element(0xFFFCFFFC, "OB", bytes(8)),
        pixels(4, 4, bytes(30)),
        fragments([b"", b"abcd"]),
    ):
        assert entry_from_event(_event(small(more=more))[0]) is None


async def test_reading_stops_where_native_pixel_data_ends_the_file() -> None:
    _, content = _event(small(more=pixels(64, 64, bytes(8192))))
    asked = 0

    async def counting() -> AsyncIterator[bytes]:
        nonlocal asked
        async for chunk in chunks(content, 1024):
            asked += 1
            yield chunk

    entry, _ = await entry_from_object(ObjectName(NAME, digest(content)), len(content), counting())
    assert entry.frames == NativeFrames(len(content) - 8192, 64 * 64 * 16, 1)
    assert asked == 1


async def test_a_known_checksum_is_not_forgotten_when_packs_are_merged() -> None:
    without = await _entry(small())
    known = replace(without, checksum="0123456789abcdef")
    assert list(merge([[known], [without]])) == [known]
    assert list(merge([[without], [known]])) == [known]


async def test_packs_come_back_and_merge_by_instance_and_digest() -> None:
    first = await _entry(small(more=pixels(4, 4, bytes(32))))
    other = await _entry(small(patient_id=b"P2"))
    second = replace(first, name=replace(NAME, instance="1.1"))
    blob = compress(encode_pack([second, first, other, first]))
    entries = decode_pack(decompress(blob, 10**6))
    assert list(entries) == [second, first, other, first]
    merged = merge([entries, [other], [first]])
    assert list(merged) == sorted(
        [second, first, other], key=lambda entry: (entry.name, entry.digest)
    )
    assert decode_pack(encode_pack([])) == []
    key = pack_key("main", STUDY, SERIES, digest(blob))
    assert key == f"packs/main/{STUDY}/{SERIES}/{digest(blob)}.pack"
    assert first.stored().key == first.object.key


async def test_a_palette_comes_back() -> None:
    table = struct.pack("<256H", *(value << 8 for value in range(256)))
    lut = b"".join(
        element(0x00281101 + i, "US", struct.pack("<3H", 256, 0, 16)) for i in range(3)
    ) + b"".join(element(0x00281201 + i, "OW", table) for i in range(3))
    data = pixels(2, 2, bytes(4), bits=8).replace(b"MONOCHROME2 ", b"PALETTE COLO")
    data = data.replace(element(0x00280004, "CS", b"PALETTE COLO"),
                        element(0x00280004, "CS", b"PALETTE COLOR "))  # fmt: skip
    split = data.index(b"\xe0\x7f\x10\x00")
    entry = await _entry(small(more=data[:split] + lut + data[split:]))
    assert entry.pixel_format is not None
    assert entry.pixel_format.palette == (bytes(range(256)),) * 3
    assert decode_pack(encode_pack([entry])) == [entry]


@pytest.mark.parametrize("cut", [0, 3, 8, 15, 40, -1])
async def test_damaged_packs_are_corrupted(cut: int) -> None:
    data = encode_pack([await _entry(small())])
    if cut == 8:
        assert decode_pack(data[:cut]) == []
        return
    with pytest.raises(Corrupted):
        decode_pack(data[:cut])


async def test_the_checksum_of_an_event_goes_through_packs_to_retrieval() -> None:
    event, content = _event(small(more=pixels(4, 4, bytes(32))))
    made = entry_from_event(replace(event, checksum="0123456789abcdef"))
    assert made is not None
    (entry,) = decode_pack(encode_pack([made[0]]))
    assert entry.stored().checksum == "0123456789abcdef"
    name = ObjectName(NAME, event.digest)
    read, _ = await entry_from_object(
        name, len(content), chunks(content), checksum="0123456789abcdef"
    )
    assert read == entry


async def test_of_entries_of_one_object_that_with_the_later_overlay_counts() -> None:
    plain = replace(await _entry(small()), checksum="0123456789abcdef")
    one, two = (replace(plain, overlay=key, grown=5, checksum="") for key in ("a", "b"))
    for packs in ([[plain], [one, two]], [[two], [one], [plain]], [[one, plain, two]]):
        assert merge(packs) == [two]
    assert decode_pack(encode_pack([two])) == [two]
    assert two.stored().size == plain.size + 5
    assert two.stored().overlay == "b"


async def test_an_entry_is_unpacked_when_it_is_asked_for() -> None:
    entry = await _entry(small(more=pixels(4, 4, bytes(32))))
    (packed,) = open_pack(encode_pack([entry]))
    assert (packed.instance, packed.digest) == (entry.name.instance, entry.digest)
    assert packed.attributes == entry.attributes
    assert packed.unpacked() == packed.unpacked() == entry


@pytest.mark.parametrize("facts", [b"[]", b"{}", b'{"name":[],"digest":""}', b"1", b"rubbish"])
def test_an_entry_that_does_not_say_what_it_is_of_is_corrupted(facts: bytes) -> None:
    data = b"ISOPACK\x01" + struct.pack("<III", len(facts), 0, 0) + facts
    with pytest.raises(Corrupted):
        open_pack(data)


def test_an_entry_without_its_facts_is_corrupted() -> None:
    facts = b'{"name":["main","1","2","3"],"digest":"0"}'
    data = b"ISOPACK\x01" + struct.pack("<III", len(facts), 0, 0) + facts
    (packed,) = open_pack(data)
    with pytest.raises(Corrupted):
        packed.unpacked()


def test_a_pack_of_a_later_version_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        decode_pack(b"ISOPACK\x02")


def test_compressed_blobs_are_checked_and_bounded() -> None:
    blob = compress(b"a" * 1000)
    with pytest.raises(Corrupted):
        decompress(blob[:-1], 1000)
    with pytest.raises(Corrupted):
        decompress(blob, 999)
    with pytest.raises(Corrupted):
        decompress(b"rubbish", 999)


J = b"\xff\xd8\xff\xe0"


def _build(items: list[bytes], count: int, uid: str = JPEG) -> list[bytes] | None:
    data = fragments(items)
    builder = FrameTableBuilder(lookup(uid), 1000)
    for start in range(0, len(data), 3):
        builder.feed(data[start : start + 3])
    builder.check_end()
    table = builder.finish(PixelLayout(count, 0))
    if table is None:
        return None
    assert decode_table(encode_table(table)) == table
    whole = bytes(1000) + data
    return [
        table.cut(n, b"".join(whole[at : at + size] for at, size in table.ranges(n)))
        for n in range(1, table.count + 1)
    ]


def _offsets(*offsets: int) -> bytes:
    return struct.pack(f"<{len(offsets)}I", *offsets)


@pytest.mark.parametrize(
    ("items", "count", "frames"),
    [
        ([b"", b"abcd"], 1, [b"abcd"]),
        ([b"", b"ab", b"cd", b"efgh"], 1, [b"abcdefgh"]),
        ([b"", b"abcd", b"efgh"], 2, [b"abcd", b"efgh"]),
        ([_offsets(0, 20), b"ab", b"cd", b"ef"], 2, [b"abcd", b"ef"]),
        ([_offsets(0, 10), b"ab", b"cd", b"ef"], 2, [b"ab", b"cdef"]),
        ([b"", J + b"ab", b"cdef", J, b"gh"], 2, [J + b"abcdef", J + b"gh"]),
        # An offset table that points nowhere is not trusted; codestreams still begin visibly.
        ([_offsets(0, 11), J, b"cdef", J], 2, [J + b"cdef", J]),
        ([b"", b"aaaa", b"bbbb", b"cccc"], 2, None),
        ([b"", b"aaaa"], 2, None),
        ([b""], 1, None),
        ([b"", J, J, J], 2, None),
    ],
)
def test_fragments_are_joined_to_frames(
    items: list[bytes], count: int, frames: list[bytes] | None
) -> None:
    assert _build(items, count) == frames


def test_video_has_no_frames_of_its_own() -> None:
    assert _build([b"", b"abcd"], 30, VIDEO) is None


def test_four_two_two_pixels_have_two_samples() -> None:
    attributes = {
        "00280002": {"vr": "US", "Value": [3]},
        "00280004": {"vr": "CS", "Value": ["YBR_FULL_422"]},
        "00280010": {"vr": "US", "Value": [10]},
        "00280011": {"vr": "US", "Value": [10]},
        "00280100": {"vr": "US", "Value": [8]},
    }
    assert pixel_layout(attributes, 0x7FE00010) == PixelLayout(1, 1600)


def test_a_fragment_of_undefined_length_is_unprocessable() -> None:
    builder = FrameTableBuilder(lookup(JPEG), 0)
    with pytest.raises(Unprocessable):
        builder.feed(element(0x7FE00010, "OB", b"\xfe\xff\x00\xe0\xff\xff\xff\xff", 0xFFFFFFFF))


@pytest.mark.parametrize("data", [b"X", b"N", b"E", b"E\1\0\0\0", b"N" + bytes(30)])
def test_damaged_frame_tables_are_corrupted(data: bytes) -> None:
    with pytest.raises(Corrupted):
        decode_table(data)
