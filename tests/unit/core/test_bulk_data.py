"""Leaving out bulk data: what goes, and that the rest stays byte for byte."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence

from isocenter.core.bulk_data import LEFT_OUT, LEFT_OUT_OF_GROUPS, WithoutBulkData, is_bulk
from isocenter.core.errors import Unprocessable
from isocenter.core.transfer_syntax import lookup
from support.gateway_fakes import EXPLICIT, encode

BIG_ENDIAN = "1.2.840.10008.1.2.2"
FILES = [
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "examples_overlay.dcm",
    "waveform_ecg.dcm",
    "test-SR.dcm",
    "priv_SQ.dcm",
    "UN_sequence.dcm",
]


def body(name: str) -> tuple[bytes, str]:
    """The data set of a file as it stands in it."""
    path = get_testdata_file(name, download=False)
    with open(path, "rb") as file:
        data_set = dcmread(file, stop_before_pixels=True)
    start = 128 + 4 + 12 + data_set.file_meta.FileMetaInformationGroupLength
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(), str(data_set.file_meta.TransferSyntaxUID)


def left(data: bytes, syntax: str, size: int = 1 << 20) -> bytes:
    remover = WithoutBulkData(syntax)
    parts = [remover.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*parts, remover.end()])


def parsed(data: bytes, syntax: str) -> Dataset:
    known = lookup(syntax)
    return read_dataset(BytesIO(data), known.implicit_vr, known.little_endian)


@pytest.mark.parametrize("name", FILES)
def test_all_but_bulk_data_stays(name):
    data, syntax = body(name)
    got, original = parsed(left(data, syntax), syntax), parsed(data, syntax)
    expected = Dataset()
    for element in original:
        if not is_bulk(element.tag):
            expected.add(element)
    for item in expected.get("WaveformSequence", []):
        del item.WaveformData
    assert got == expected
    assert not LEFT_OUT & {int(element.tag) for element in got}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_chunks_changes_nothing(name, size):
    data, syntax = body(name)
    assert left(data, syntax, size) == left(data, syntax)


def test_what_has_no_bulk_data_stays_byte_for_byte():
    data, syntax = body("test-SR.dcm")
    assert left(data, syntax) == data


@pytest.mark.parametrize("syntax", [EXPLICIT, "1.2.840.10008.1.2", BIG_ENDIAN])
def test_every_attribute_of_the_table_goes_at_the_top_level_only(syntax):
    tags = [*LEFT_OUT, *LEFT_OUT_OF_GROUPS, *(tag + 0x1E0000 for tag in LEFT_OUT_OF_GROUPS)]
    vrs = {0x00287FE0: "UR", 0x56000020: "OF", 0x7FE00008: "OF", 0x7FE00009: "OD"}
    data_set, icon = Dataset(), Dataset()
    icon.add(DataElement(0x7FE00010, "OW", b"icon"))
    data_set.add(DataElement(0x00880200, "SQ", Sequence([icon])))
    data_set.PatientID = "1"
    for tag in tags:
        vr = vrs.get(tag, "OB")
        data_set.add(DataElement(tag, vr, "http://x" if vr == "UR" else bytes(8)))
    got = parsed(left(encode(data_set, syntax), syntax), syntax)
    assert [element.keyword for element in got] == ["PatientID", "IconImageSequence"]
    assert got.IconImageSequence[0].PixelData == b"icon"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    try:
        left(data, EXPLICIT)
    except Unprocessable:
        return


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "waveform_ecg.dcm"])
def test_what_is_cut_off_is_refused(name):
    data, syntax = body(name)
    with pytest.raises(Unprocessable):
        left(data[:-200], syntax)
