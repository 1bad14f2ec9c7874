"""Scanning headers: where pixel data begins, who the object is, and what is refused."""

from __future__ import annotations

import pytest

from isocenter.core.errors import IsocenterError, Unprocessable, Unsupported
from isocenter.core.reader import Header, NeedMore, scan_header
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from support.objects import (
    INSTANCE,
    SERIES,
    STUDY,
    element,
    fragments,
    nested,
    pixels,
    sample,
    small,
)

LE = EXPLICIT_VR_LITTLE_ENDIAN


def _scan(data: bytes, uid: str = LE) -> Header:
    header = scan_header(data, uid, complete=True)
    assert isinstance(header, Header)
    return header


def test_a_header_ends_where_pixel_data_begins() -> None:
    data = small(more=pixels(4, 4, bytes(32)))
    header = _scan(data)
    assert data[header.length :] == element(0x7FE00010, "OW", bytes(32))
    assert header.pixel_tag == 0x7FE00010
    assert (header.study, header.series, header.instance) == (STUDY, SERIES, INSTANCE)
    assert header.patient_id == "P1"


def test_without_pixel_data_the_header_is_everything() -> None:
    header = _scan(small())
    assert header.length == len(small())
    assert header.pixel_tag == 0


@pytest.mark.parametrize("name", ["MR_small_implicit.dcm", "MR_small_bigendian.dcm"])
def test_every_byte_order_and_vr_form_gives_the_same_identifiers(name: str) -> None:
    other = _scan(*sample(name))
    header = _scan(*sample("MR_small.dcm"))
    assert (header.study, header.series, header.sop_class) == (
        other.study,
        other.series,
        other.sop_class,
    )


def test_a_growing_buffer_gives_the_same_header_and_needs_no_more_than_it_says() -> None:
    data, uid = sample("CT_small.dcm")
    header = _scan(data, uid)
    size = 0
    tries = 0
    while True:
        found = scan_header(memoryview(data)[:size], uid, complete=False)
        tries += 1
        if isinstance(found, Header):
            break
        assert isinstance(found, NeedMore)
        assert found.at_least > size
        assert found.at_least <= header.length + 12
        size = found.at_least
    assert found == header


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x02\x00\x10\x00UI\x02\x001\x00", "group 0002"),
        (b"\x00\x00\x00\x01US\x02\x001\x00", "group 0000"),
        (small()[:-1], "cut off"),
        (element(0x00400275, "SQ", b"", 0xFFFFFFFF), "cut off"),
        (element(0x00400275, "SQ", b"12345678"), "where an item"),
        (element(0xFFFEE00D, "UN", b""), "delimiter outside"),
        (nested(100, undefined=True), "nested more than 64"),
        (element(0x00091001, "OB", b"", 0xFFFFFFFF) + small(), "where an item"),
        (
            element(0x00091001, "OB", b"\xfe\xff\x00\xe0\xff\xff\xff\xff", 0xFFFFFFFF),
            "fragment of undefined",
        ),
        (
            element(0x00081140, "SQ", b"\xfe\xff\x00\xe0\xff\x00\x00\x00" + bytes(8)) + bytes(99),
            "reaches behind",
        ),
    ],
)
def test_broken_structure_is_unprocessable(data: bytes, reason: str) -> None:
    with pytest.raises(Unprocessable, match=reason):
        scan_header(data, LE, complete=True)


def test_an_icon_with_fragments_does_not_end_the_header() -> None:
    icon = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + fragments([b"", b"abcd"])
    icon += b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    data = element(0x00880200, "SQ", icon, 0xFFFFFFFF) + small()
    assert _scan(data).length == len(data)
    assert _scan(data).study == STUDY


def test_an_unknown_transfer_syntax_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        scan_header(small(), "1.2.3", complete=True)


def test_data_cut_or_damaged_anywhere_raises_nothing_but_our_errors() -> None:
    data, uid = sample("test-SR.dcm")
    for position in range(0, len(data), 13):
        damaged = data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]
        for candidate in (data[:position], damaged):
            try:
                scan_header(candidate, uid, complete=True)
            except IsocenterError:
                continue
