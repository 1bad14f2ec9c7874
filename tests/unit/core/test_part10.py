"""Part 10 files: what we write is deterministic and legal, what comes in may be odd."""

from __future__ import annotations

import io
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pydicom
import pytest

from isocenter.core.errors import Unprocessable
from isocenter.core.identity import IMPLEMENTATION_CLASS_UID
from isocenter.core.part10 import FileMeta, file_meta, parse_meta, split
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from support.objects import CT, NOT_STORABLE, chunks, element, file_id, pydicom_files, small, uid

LE = EXPLICIT_VR_LITTLE_ENDIAN
HEAD = b"\0" * 128 + b"DICM"


def test_file_meta_is_read_back_by_pydicom_and_by_us() -> None:
    meta = file_meta(CT, "1.2.3", LE)
    data_set = pydicom.dcmread(io.BytesIO(meta + small()))
    assert data_set.file_meta.MediaStorageSOPClassUID == CT
    assert data_set.file_meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert data_set.file_meta.TransferSyntaxUID == LE
    assert data_set.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert data_set.file_meta.FileMetaInformationVersion == b"\0\1"
    assert data_set.file_meta.FileMetaInformationGroupLength == len(meta) - 144
    assert parse_meta(meta + small()) == FileMeta(CT, "1.2.3", LE, len(meta))
    assert file_meta(CT, "1.2.3", LE) == meta


@pytest.mark.parametrize("path", pydicom_files(), ids=file_id)
async def test_files_of_pydicom_are_split_wherever_the_chunks_end(path: Path) -> None:
    content = path.read_bytes()
    if "meta" in NOT_STORABLE.get(path.name, "").lower() or path.name == "meta_missing_tsyntax.dcm":
        with pytest.raises(Unprocessable):
            parse_meta(content)
        return
    expected = pydicom.dcmread(path, stop_before_pixels=True).file_meta
    for size in (1021, len(content)):
        meta, rest = await split(chunks(content, size))
        assert meta.transfer_syntax == expected.TransferSyntaxUID
        assert meta.instance == expected.get("MediaStorageSOPInstanceUID", "")
        data_set = b"".join([bytes(part) async for part in rest])
        assert content[meta.length :] == data_set


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no 'DICM'"),
        (b"GET / HTTP/1.1", "no 'DICM'"),
        (small() * 10, "no 'DICM'"),
        (HEAD, "no Transfer Syntax UID"),
        (HEAD + small(), "no Transfer Syntax UID"),
        (HEAD + uid(0x00020010, LE)[:-3], "cut off"),
        (HEAD + struct.pack("<HH2sHI", 2, 0x102, b"OB", 0, 0xFFFFFFF0), "says it is"),
    ],
)
async def test_what_is_no_file_is_told_so(content: bytes, reason: str) -> None:
    with pytest.raises(Unprocessable, match=reason):
        await split(chunks(content, 5))


def test_odd_but_legal_meta_is_read() -> None:
    odd = (
        b"\xff" * 128
        + b"DICM"
        + element(0x00020000, "UL", struct.pack("<I", 12345))  # a length that lies
        + uid(0x00020010, LE)
        + element(0x00020102, "OB", bytes(5000))
    )
    meta = parse_meta(odd + small())
    assert meta == FileMeta("", "", LE, len(odd))


def test_a_file_without_data_set_is_only_meta() -> None:
    meta = file_meta(CT, "1.2.3", LE)
    assert parse_meta(meta, complete=False) is None
    assert parse_meta(meta) == FileMeta(CT, "1.2.3", LE, len(meta))


async def test_closing_the_data_set_closes_its_source() -> None:
    closed = False

    async def source() -> AsyncIterator[Buffer]:
        nonlocal closed
        try:
            while True:
                yield file_meta(CT, "1.2.3", LE) + small()
        finally:
            closed = True

    _, data_set = await split(source())
    await anext(data_set)
    await data_set.aclose()
    assert closed
