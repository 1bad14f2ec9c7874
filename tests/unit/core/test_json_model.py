"""The DICOM JSON Model: equal to pydicom's, but where the module says otherwise."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import pytest

from isocenter.core.errors import IsocenterError, Unprocessable
from isocenter.core.locate import find_value
from isocenter.core.reader import Header, scan_header, to_json
from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    lookup,
)
from support.json_models import comparable, theirs_of, with_our_differences
from support.objects import element, file_id, nested, pydicom_files, sample, split_file

LE = EXPLICIT_VR_LITTLE_ENDIAN

UNREADABLE = {
    "DICOMDIR-nooffset",
    "ExplVR_BigEndNoMeta.dcm",
    "ExplVR_LitEndNoMeta.dcm",
    "meta_missing_tsyntax.dcm",
    "nested_priv_SQ.dcm",
    "no_meta.dcm",
    "rtplan_truncated.dcm",
    "rtstruct.dcm",
}


def _header(path: Path) -> tuple[bytes, str]:
    data, uid = split_file(path)
    if lookup(uid).deflated:
        data = zlib.decompressobj(-15).decompress(data)
    header = scan_header(data, uid, complete=True)
    assert isinstance(header, Header)
    return data[: header.length], uid


@pytest.mark.parametrize("path", pydicom_files(), ids=file_id)
def test_every_readable_file_of_pydicom_gives_the_same_attributes(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.name in UNREADABLE:
            with pytest.raises(IsocenterError):
                _header(path)
            return
        header, uid = _header(path)
        theirs = with_our_differences(theirs_of(path))
        ours = to_json(header, uid, "X/")
    assert comparable(ours, theirs, "X/") == theirs
    assert list(ours) == sorted(ours)


def test_long_binary_values_become_bulk_data_that_can_be_found_again() -> None:
    value = bytes(range(256)) * 8
    item = element(0x00091001, "OB", value)
    sequence = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    header = element(0x00081140, "SQ", sequence * 2)
    answer = to_json(header, LE, "base/")
    uri = answer["00081140"]["Value"][1]["00091001"]["BulkDataURI"]
    assert uri == "base/00081140/1/00091001"
    assert find_value(header, LE, uri.removeprefix("base/")) == value


@pytest.mark.parametrize("path", ["00081140/2/00091001", "00081140", "0008", "x", "00081140/0/"])
def test_a_bulk_data_path_to_nowhere_finds_nothing(path: str) -> None:
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    header = element(0x00100010, "PN", b"AB") + element(0x00120010, "SQ", item)
    assert find_value(header, LE, path) is None


def test_a_bulk_data_path_goes_through_items_of_undefined_length() -> None:
    header = nested(3, undefined=True) + element(0x00091001, "OB", b"1234")
    assert find_value(header, LE, "00091001") == b"1234"
    assert find_value(header, LE, "00081140/0/00081140/0/00081140/0/00091001") is None


def test_un_of_undefined_length_is_a_sequence_in_implicit_vr() -> None:
    inner = struct.pack("<HHI", 0x0010, 0x0020, 4) + b"ID01"
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    value = item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    header = element(0x00091001, "UN", value, 0xFFFFFFFF) + element(0x00100020, "LO", b"AB")
    answer = to_json(header, LE)
    assert answer["00091001"] == {
        "vr": "SQ",
        "Value": [{"00100020": {"vr": "LO", "Value": ["ID01"]}}],
    }
    assert answer["00100020"]["Value"] == ["AB"]


def test_a_vr_of_a_later_edition_is_read_as_un_with_a_32_bit_length() -> None:
    header = struct.pack("<HH2sHI", 0x0009, 0x1001, b"ZZ", 0, 4) + b"abcd"
    header += element(0x00100020, "LO", b"AB")
    answer = to_json(header, LE)
    assert answer["00091001"] == {"vr": "UN", "InlineBinary": "YWJjZA=="}
    assert answer["00100020"]["Value"] == ["AB"]


@pytest.mark.parametrize(
    "name", [b"ISO_IR 9999 ", b"rot13 ", b"zlib", b"\0\0X\0", b"idna", b"ISO_IR 100\\hex "]
)
def test_an_unknown_character_set_does_not_lose_the_rest(name: bytes) -> None:
    header = (
        element(0x00080005, "CS", name)
        + element(0x00100010, "PN", b"M\xfcller")
        + element(0x00100020, "LO", b"ID")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = to_json(header, LE)
    assert answer["00100010"]["Value"] == [{"Alphabetic": "M\u00fcller"}]
    assert answer["00100020"]["Value"] == ["ID"]


def test_bytes_outside_their_character_set_are_replaced() -> None:
    header = element(0x00080005, "CS", b"ISO_IR 192") + element(0x00100020, "LO", b"A\xff")
    assert to_json(header, LE)["00100020"]["Value"] == ["A\ufffd"]


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("IS", b"12\\ \\x ", [12, None, "x"]),
        ("IS", b"1.5 ", [1.5]),
        ("IS", b"2.0 ", [2]),
        ("IS", b"99999999999999999999\\1e30", ["99999999999999999999", "1e30"]),
        ("DS", b"1e3\\NaN", [1000.0, "NaN"]),
        ("DS", b" 1.25 ", [1.25]),
        ("FL", struct.pack("<2f", 0.5, float("inf")), [0.5, "inf"]),
        ("AT", struct.pack("<4H", 0x10, 0x20, 0x7FE0, 0x10), ["00100020", "7FE00010"]),
        ("PN", b"A^B=C=D\\E ", [{"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"},
                                {"Alphabetic": "E"}]),
        ("CS", b"A\\\\B", ["A", None, "B"]),
        ("SL", struct.pack("<i", -5), [-5]),
    ],
)  # fmt: skip
def test_values_by_vr(vr: str, value: bytes, expected: list[object]) -> None:
    assert to_json(element(0x00091001, vr, value), LE) == {
        "00091001": {"vr": vr, "Value": expected}
    }


def test_a_value_that_does_not_fit_its_vr_becomes_un() -> None:
    assert to_json(element(0x00091001, "US", b"123"), LE)["00091001"]["vr"] == "UN"


def test_empty_values_and_sequences_have_no_value() -> None:
    header = element(0x00081140, "SQ", b"") + element(0x00100020, "LO", b"")
    assert to_json(header, LE) == {"00081140": {"vr": "SQ"}, "00100020": {"vr": "LO"}}


def test_an_ambiguous_vr_follows_the_pixel_representation_even_if_that_comes_later() -> None:
    def implicit(tag: int, value: bytes) -> bytes:
        return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value

    header = implicit(0x00189810, b"\xff\xff") + implicit(0x00280103, b"\1\0")
    answer = to_json(header, IMPLICIT_VR_LITTLE_ENDIAN)
    assert answer["00189810"] == {"vr": "SS", "Value": [-1]}


@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_nested_a_thousand_deep_are_refused(undefined: bool) -> None:
    header = nested(1000, undefined=undefined)
    with pytest.raises(Unprocessable, match="nested more than 64 deep"):
        to_json(header, LE)
    with pytest.raises(Unprocessable, match="nested more than 64 deep"):
        scan_header(header, LE, complete=True)


@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_at_the_depth_limit_are_read(undefined: bool) -> None:
    header = nested(64, undefined=undefined)
    assert isinstance(scan_header(header, LE, complete=True), Header)
    answer = to_json(header, LE)
    depth = 0
    while "00081140" in answer:
        answer = answer["00081140"].get("Value", [{}])[0]
        depth += 1
    assert depth == 64


def test_a_header_cut_anywhere_raises_nothing_but_unprocessable() -> None:
    data, uid = sample("test-SR.dcm")
    for cut in range(0, len(data), 37):
        try:
            to_json(data[:cut], uid)
        except Unprocessable:
            continue
