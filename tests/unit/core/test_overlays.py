"""Overlays: what applying them makes of headers, and that nothing else changes."""

from __future__ import annotations

import io
import struct
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence

from isocenter.core.charset import Charset
from isocenter.core.coercion import CHANGES, Coercions, evaluate, rule
from isocenter.core.errors import Corrupted
from isocenter.core.identity import InstanceName, ObjectName, OverlayName
from isocenter.core.json_model import to_json
from isocenter.core.overlays import Overlay, apply, corrected, decode_overlay
from isocenter.core.reader import Header, scan_header
from isocenter.core.transfer_syntax import EXPLICIT_VR_BIG_ENDIAN
from support.gateway_fakes import EXPLICIT, IMPLICIT, encode, from_test_file

NAME = ObjectName(InstanceName("main", "1.2", "1.3", "1.4"), "d" * 64)
SYNTAXES = (IMPLICIT, EXPLICIT, EXPLICIT_VR_BIG_ENDIAN)
CHANGED = {
    "00081010": {"vr": "SH", "Value": ["CT-7"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Joe", "Ideographic": "X"}]},
    "00100021": {"vr": "LO", "Value": ["NORTH"]},
}


def overlay(header: bytes, attributes: dict = CHANGED) -> Overlay:
    return Overlay(attributes, len(header), "CT1", "ISOCENTER").kept(NAME, 10**15)


def header_of(data: bytes, syntax: str) -> bytes:
    found = scan_header(data, syntax, complete=True)
    assert isinstance(found, Header)
    return data[: found.length]


def read(data: bytes, syntax: str) -> Dataset:
    return read_dataset(io.BytesIO(data), syntax == IMPLICIT, syntax != EXPLICIT_VR_BIG_ENDIAN)


def ct(syntax: str = EXPLICIT, **more: object) -> bytes:
    """A header."""
    data_set = read(from_test_file("CT_small.dcm").data, EXPLICIT)
    for keyword, value in more.items():
        setattr(data_set, keyword, value)
    del data_set.PixelData
    return encode(data_set, syntax)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_attributes_are_replaced_and_added_and_the_others_stay(syntax) -> None:
    header = ct(syntax)
    before = read(header, syntax)
    after = read(apply(header, syntax, overlay(header)), syntax)
    assert (after.StationName, after.IssuerOfPatientID) == ("CT-7", "NORTH")
    assert str(after.PatientName) == "Doe^Joe=X"
    (item,) = after.OriginalAttributesSequence
    assert item.AttributeModificationDateTime == "20010909014640.000000+0000"
    assert item.ModifyingSystem == "ISOCENTER"
    assert item.SourceOfPreviousValues == "CT1"
    assert item.ReasonForTheAttributeModification == "COERCE"
    (earlier,) = item.ModifiedAttributesSequence
    assert [one.keyword for one in earlier] == ["StationName", "PatientName", "IssuerOfPatientID"]
    assert earlier.PatientName == before.PatientName
    assert earlier["IssuerOfPatientID"].is_empty
    for keyword in (
        "StationName",
        "PatientName",
        "IssuerOfPatientID",
        "OriginalAttributesSequence",
    ):
        before.pop(keyword, None)
        after.pop(keyword, None)
    assert after == before


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtplan.dcm"])
def test_what_is_read_is_what_the_overlay_says(name) -> None:
    held = from_test_file(name)
    syntax = held.stored.transfer_syntax
    header = header_of(held.data, syntax)
    before, after = to_json(header, syntax), to_json(apply(header, syntax, overlay(header)), syntax)
    assert list(after) == sorted(after)
    assert after.pop("04000561")
    assert after == dict(sorted({**before, **CHANGED}.items()))


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_earlier_changes_stay_told(syntax, undefined) -> None:
    item = Dataset()
    item.ModifyingSystem = "BEFORE"
    item.ModifiedAttributesSequence = Sequence([Dataset()])
    data_set = read(ct(syntax, OriginalAttributesSequence=Sequence([item])), syntax)
    data_set["OriginalAttributesSequence"].is_undefined_length = undefined
    header = encode(data_set, syntax)
    after = read(apply(header, syntax, overlay(header)), syntax)
    systems = [one.ModifyingSystem for one in after.OriginalAttributesSequence]
    assert systems == ["BEFORE", "ISOCENTER"]


def test_group_lengths_that_would_be_wrong_are_left_out() -> None:
    length = bytes.fromhex("10000000") + b"UL\x04\x00" + b"\x99\x00\x00\x00"
    other = bytes.fromhex("20000000") + b"UL\x04\x00" + b"\x99\x00\x00\x00"
    header = length + bytes.fromhex("10002000") + b"LO\x02\x00P1" + other
    after = apply(header, EXPLICIT, overlay(header))
    assert length not in after
    assert other in after


def test_values_are_written_in_the_character_set_of_the_object() -> None:
    header = ct(SpecificCharacterSet="ISO_IR 100", PatientName="Bär^Ö")
    made = overlay(header, {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Bär^Ü"}]}})
    after = apply(header, EXPLICIT, made)
    assert "Bär^Ü".encode("latin-1") in after
    assert str(read(after, EXPLICIT).PatientName) == "Bär^Ü"


def test_a_value_that_the_character_set_has_not_is_corrupted_not_a_guess() -> None:
    header = ct(SpecificCharacterSet="ISO_IR 100")
    made = overlay(header, {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "山田"}]}})
    with pytest.raises(Corrupted):
        apply(header, EXPLICIT, made)


def test_an_overlay_is_read_back_and_its_content_does_not_depend_on_the_time() -> None:
    made = Overlay(CHANGED, 10, "CT1", "ISOCENTER")
    one, two = made.kept(NAME, 1), made.kept(NAME, 2)
    assert (one.content, one.digest) == (two.content, two.digest)
    assert one.key < two.key
    assert OverlayName.from_key(two.key) == OverlayName(NAME, 2, two.digest)
    assert decode_overlay(two.key, two.content) == two
    for content in (b"", b"{}", b"[]", b"\xff", b"null"):
        with pytest.raises(Corrupted):
            decode_overlay(two.key, content)


@pytest.mark.parametrize(
    "key",
    [NAME.key, "objects/a/b", f"{NAME.key}/0/1.overlay", f"objects/{'x' * 64}/1.overlay", ""],
)
def test_other_keys_are_no_overlays(key) -> None:
    assert OverlayName.from_key(key) is None


@given(st.lists(st.integers(1, 9000), max_size=8))
async def test_a_data_set_is_corrected_however_it_is_cut(cuts) -> None:
    held = from_test_file("CT_small.dcm")
    header = header_of(held.data, EXPLICIT)
    ends = sorted({*(cut for cut in cuts if cut < len(held.data)), len(held.data)})

    async def chunks() -> AsyncIterator[bytes]:
        begin = 0
        for end in ends:
            yield held.data[begin:end]
            begin = end

    made = overlay(header)
    got = b"".join([bytes(chunk) async for chunk in corrected(chunks(), EXPLICIT, made)])
    assert got == apply(header, EXPLICIT, made) + held.data[len(header) :]


async def test_a_data_set_that_ends_in_its_header_is_corrupted() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"short"

    with pytest.raises(Corrupted):
        _ = [chunk async for chunk in corrected(chunks(), EXPLICIT, overlay(b"123456"))]


CHARSETS = ("", "ISO_IR 100", "ISO_IR 192", "ISO_IR 13", "GB18030", "\\ISO 2022 IR 87", "WRONG")


@given(
    raw=st.binary(max_size=40),
    charset=st.sampled_from(CHARSETS),
    fallback=st.sampled_from(["", "ISO_IR 192", "ISO_IR 144"]),
    syntax=st.sampled_from(SYNTAXES),
    chosen=st.lists(st.sampled_from(sorted(CHANGES)), max_size=4),
)
def test_whatever_rules_make_of_a_value_can_be_applied(raw, charset, fallback, syntax, chosen):
    arguments = {
        "trim": True,
        "trim_leading": "0",
        "map": {"A*": "*B"},
        "prefix": "X",
        "suffix": "Y",
    }
    rules = tuple(rule("PatientID", one, arguments[one]) for one in chosen)
    issuer = rule("IssuerOfPatientID", "set_if_absent", "NORTH")
    order = "<" if syntax != EXPLICIT_VR_BIG_ENDIAN else ">"
    header = element(0x00080005, b"CS", charset.encode(), syntax, order) + element(
        0x00100020, b"LO", raw, syntax, order
    )
    found = evaluate(header, syntax, Coercions((*rules, issuer), fallback))
    after = to_json(apply(header, syntax, overlay(header, dict(found.attributes))), syntax)
    assert after["00100021"]["Value"] == ["NORTH"]
    for key, entry in found.attributes.items():
        assert after[key] == ({"vr": "CS", "Value": ["ISO_IR 192"]} if key == "00080005" else entry)


def element(tag: int, vr: bytes, value: bytes, syntax: str, order: str) -> bytes:
    value += b" " * (len(value) % 2)
    form = f"{order}HHI" if syntax == IMPLICIT else f"{order}HH2sH"
    fields = (len(value),) if syntax == IMPLICIT else (vr, len(value))
    return struct.pack(form, tag >> 16, tag & 0xFFFF, *fields) + value


@pytest.mark.parametrize("text", ["Bär", "山田", "Привет"])
@pytest.mark.parametrize("charset", [["ISO_IR 192"], ["", "ISO 2022 IR 87"], ["ISO_IR 144"]])
def test_a_text_is_encoded_so_that_it_is_read_again_or_not_at_all(text, charset) -> None:
    known = Charset.of(charset)
    try:
        raw = known.encode(text)
    except UnicodeError:
        return
    assert known.decode(raw) == text
