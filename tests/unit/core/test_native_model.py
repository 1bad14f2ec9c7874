"""The Native DICOM Model: the same as the JSON Model, in the structure of PS3.19 A.1.6."""

from __future__ import annotations

import base64
import re
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag

from isocenter.core.errors import Invalid, IsocenterError
from isocenter.core.matching import JsonAttributes
from isocenter.core.native_model import from_xml, to_xml
from isocenter.core.reader import Header, scan_header, to_json
from isocenter.core.transfer_syntax import lookup
from isocenter.core.values import BINARY_VRS
from support.clients import run
from support.objects import pydicom_files, split_file

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

# --- what a data set may hold ------------------------------------------------------------------

_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc",), exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r")
)
_SOME = _TEXT.filter(bool)
_INTEGERS = {"SS": (-15, 15), "US": (0, 16), "SL": (-31, 31), "UL": (0, 32), "SV": (-63, 63),
             "UV": (0, 64)}  # fmt: skip
_REALS = st.floats(allow_nan=False, allow_infinity=False)
_TAGS = st.integers(0, 0xFFFFFFFF).map("{:08X}".format)
_COMPONENT = _TEXT.map(lambda text: text.replace("^", "").replace("=", ""))
_GROUP = st.lists(_COMPONENT, min_size=1, max_size=7).map("^".join).filter(bool)
_NAME = st.dictionaries(
    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), _GROUP, min_size=1
)
_TEXT_VRS = re.findall("..", "AEASCSDADTLOLTSHSTTMUCUIURUT")
_OF_VR: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(_TEXT_VRS, _SOME),
    **{
        vr: st.integers(-(2**-low) if low else 0, 2**high - 1)
        for vr, (low, high) in _INTEGERS.items()
    },
    "IS": st.integers(-(2**31), 2**31 - 1) | st.just("no number"),
    "DS": _REALS | st.just("nan"),
    "FD": _REALS | st.sampled_from(["nan", "inf", "-inf"]),
    "FL": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "AT": _TAGS,
    "PN": _NAME,
}


def _values(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """One or several, of which some may be empty."""
    several = st.lists(st.none() | values, min_size=2, max_size=4)
    return st.lists(values, min_size=1, max_size=1) | several


@st.composite
def _entries(draw: st.DrawFn, items: st.SearchStrategy[Any]) -> dict[str, Any]:
    vr = draw(st.sampled_from([*_OF_VR, *sorted(BINARY_VRS), "SQ"]))
    entry: dict[str, Any] = {"vr": vr}
    form = draw(st.sampled_from(["Value", "BulkDataURI", "empty"]))
    if form == "BulkDataURI":
        entry["BulkDataURI"] = "http://pacs/" + draw(st.text("ab&<>\"'%", max_size=9))
    elif form == "Value" and vr in BINARY_VRS:
        entry["InlineBinary"] = base64.b64encode(draw(st.binary(min_size=1))).decode()
    elif form == "Value" and vr == "SQ":
        entry["Value"] = draw(st.lists(items, min_size=1, max_size=2))
    elif form == "Value":
        entry["Value"] = draw(_values(_OF_VR[vr]))
    return entry


_STANDARD = st.integers(0x0008, 0x7FE0).map(lambda group: f"{group & ~1:04X}")
_ELEMENT = st.integers(1, 0xFFFF).map("{:04X}".format)
_CREATORS = st.sampled_from(["ACME", 'A "B" <C>&', "zwei\tdrei"])


@st.composite
def _data_sets(draw: st.DrawFn, items: st.SearchStrategy[Any]) -> JsonAttributes:
    attributes = draw(
        st.dictionaries(st.tuples(_STANDARD, _ELEMENT).map("".join), _entries(items), max_size=4)
    )
    for block in draw(st.lists(st.integers(0x10, 0xFF), max_size=3, unique=True)):
        if draw(st.booleans()):
            attributes[f"001100{block:02X}"] = {"vr": "LO", "Value": [draw(_CREATORS)]}
        attributes[f"0011{block:02X}{draw(st.integers(0, 255)):02X}"] = draw(_entries(items))
    return dict(sorted(attributes.items()))


DATA_SETS = _data_sets(_data_sets(_data_sets(st.just({}))))

# --- the structure, as the standard has it -----------------------------------------------------

_VRS = (
    "AE|AS|AT|CS|DA|DS|DT|FL|FD|IS|LO|LT|OB|OD|OF|OL|OV|OW|PN|SH|SL|SQ|SS|ST|SV|TM|UC|UI|UL|UN|UR"
    "|US|UT|UV"
)
_ATTRIBUTES = {
    "NativeDicomModel": {"{http://www.w3.org/XML/1998/namespace}space": "preserve"},
    "DicomAttribute": {"tag": "[0-9A-F]{8}", "vr": _VRS},
    "Value": {"number": "[1-9][0-9]*"},
    "Item": {"number": "[1-9][0-9]*"},
    "PersonName": {"number": "[1-9][0-9]*"},
    "BulkData": {"uri": ".+"},
}
_NAME_PARTS = "(FamilyName )?(GivenName )?(MiddleName )?(NamePrefix )?(NameSuffix )?"
_CONTENT = {
    "NativeDicomModel": "(DicomAttribute )*",
    "DicomAttribute": "((BulkData )|(Value )+|(Item )+|(PersonName )+|(InlineBinary ))?",
    "Item": "(DicomAttribute )*",
    "PersonName": "(Alphabetic )?(Ideographic )?(Phonetic )?",
    **dict.fromkeys(("Alphabetic", "Ideographic", "Phonetic"), _NAME_PARTS),
}


def assert_structure(element: ET.Element) -> None:
    """By PS3.19 A.1.6 and table A.1.5-2."""
    assert element.tag.startswith(f"{{{NAMESPACE}}}")
    name = element.tag.partition("}")[2]
    names = [child.tag.partition("}")[2] for child in element]
    assert re.fullmatch(_CONTENT.get(name, ""), "".join(f"{one} " for one in names)), name
    required = _ATTRIBUTES.get(name, {})
    for attribute, pattern in required.items():
        assert re.fullmatch(pattern, element.get(attribute, "")), (name, attribute)
    optional = {"keyword", "privateCreator"} if name == "DicomAttribute" else set()
    assert set(element.keys()) <= required.keys() | optional
    for number, child in enumerate(element, 1):
        assert child.get("number", str(number)) == str(number)
        assert_structure(child)
    if name == "DicomAttribute":
        _assert_attribute(element)


def _assert_attribute(element: ET.Element) -> None:
    keyword = keyword_for_tag(int(element.get("tag", ""), 16))
    if element.get("privateCreator") is None:
        assert element.get("keyword", "") == keyword
    else:
        assert int(element.get("tag", "")[3], 16) & 1
        assert element.get("keyword") is None


def _header(path: Path) -> JsonAttributes:
    data, syntax = split_file(path)
    if lookup(syntax).deflated:
        data = zlib.decompressobj(-15).decompress(data)
    header = scan_header(data, syntax, complete=True)
    assert isinstance(header, Header)
    return to_json(data[: header.length], syntax)


def _readable() -> dict[str, JsonAttributes]:
    """Headers of pydicom's files, but of those that are broken by intent."""
    found: dict[str, JsonAttributes] = {}
    for path in pydicom_files():
        with suppress(IsocenterError, ValueError):
            found[str(path)] = _header(path)
    assert len(found) > 150
    return found


READABLE = _readable()


# --- tests -------------------------------------------------------------------------------------


@given(DATA_SETS)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_back_and_has_the_structure(attributes: JsonAttributes) -> None:
    document = to_xml(attributes)
    assert from_xml(document) == attributes
    assert_structure(ET.fromstring(document))


@pytest.mark.parametrize("path", READABLE, ids=lambda path: Path(path).name)
def test_real_data_sets_are_read_back_and_have_the_structure(path: str) -> None:
    document = to_xml(READABLE[path])
    assert from_xml(document) == READABLE[path]
    assert_structure(ET.fromstring(document))


def test_names_have_their_components() -> None:
    name = {"Alphabetic": "Adams^John^^Rev.^B.A.", "Ideographic": "山田^太郎"}
    document = to_xml({"00100010": {"vr": "PN", "Value": [name]}}).decode()
    assert (
        '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1">'
        "<Alphabetic><FamilyName>Adams</FamilyName><GivenName>John</GivenName>"
        "<NamePrefix>Rev.</NamePrefix><NameSuffix>B.A.</NameSuffix></Alphabetic>"
        "<Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic>"
        "</PersonName></DicomAttribute>"
    ) in document


def test_private_elements_are_known_by_their_creator() -> None:
    attributes = {
        "00110010": {"vr": "LO", "Value": ["ACME"]},
        "00110011": {"vr": "LO", "Value": ["ACME"]},
        "00111001": {"vr": "SH", "Value": ["first"]},
        "00111101": {"vr": "SH", "Value": ["second"]},
        "00112001": {"vr": "SH", "Value": ["nobody's"]},
    }
    document = to_xml(attributes).decode()
    assert '<DicomAttribute tag="00110001" vr="SH" privateCreator="ACME">' in document
    assert '<DicomAttribute tag="00111101" vr="SH" privateCreator="ACME">' in document
    assert '<DicomAttribute tag="00112001" vr="SH">' in document
    assert from_xml(document.encode()) == attributes


def _document(inside: str) -> bytes:
    return f'<NativeDicomModel xmlns="{NAMESPACE}">{inside}</NativeDicomModel>'.encode()


def test_private_blocks_are_reserved_where_creators_are_missing() -> None:
    private = '<DicomAttribute tag="0011{}" vr="SH" privateCreator="{}"/>'.format
    document = _document(
        '<DicomAttribute tag="00110010" vr="LO"><Value number="1">ACME</Value></DicomAttribute>'
        + private("0001", "OTHER")
        + private("0002", "ACME")
        + private("4003", "THIRD")
    )
    assert from_xml(document) == {
        "00110010": {"vr": "LO", "Value": ["ACME"]},
        "00110011": {"vr": "LO", "Value": ["OTHER"]},
        "00110040": {"vr": "LO", "Value": ["THIRD"]},
        "00111002": {"vr": "SH"},
        "00111101": {"vr": "SH"},
        "00114003": {"vr": "SH"},
    }


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    attributes = {"00104000": {"vr": "LT", "Value": ["a\x1b\x00b\ud800\uffff\r\nc"]}}
    read = from_xml(to_xml(attributes))
    assert read["00104000"]["Value"] == ["a\ufffd\ufffdb\ufffd\ufffd\r\nc"]


def test_foreign_writing_is_read() -> None:
    document = f"""<?xml version="1.0" encoding="UTF-8"?>
    <n:NativeDicomModel xmlns:n="{NAMESPACE}" xml:space="preserve">
      <n:DicomAttribute tag="0020000d" vr="UI" keyword="StudyInstanceUID">
        <n:Value number="1">1.2.3</n:Value>
      </n:DicomAttribute>
      <n:DicomAttribute tag="00080000" vr="UL"><n:Value number="1">8</n:Value></n:DicomAttribute>
      <n:DicomAttribute tag="00080060"><n:Value number="1"></n:Value></n:DicomAttribute>
      <n:DicomAttribute tag="00280106"><n:Value number="1">7</n:Value></n:DicomAttribute>
      <n:DicomAttribute tag="00420011" vr="OB"><n:InlineBinary>
        JVBE
        Rg==
      </n:InlineBinary></n:DicomAttribute>
    </n:NativeDicomModel>"""
    assert list(from_xml(document.encode()).items()) == [
        ("00080060", {"vr": "CS"}),
        ("0020000D", {"vr": "UI", "Value": ["1.2.3"]}),
        ("00280106", {"vr": "US", "Value": [7]}),
        ("00420011", {"vr": "OB", "InlineBinary": "JVBERg=="}),
    ]
    assert from_xml(document.replace("UTF-8", "UTF-16").encode("utf-16")) == from_xml(
        document.encode()
    )


LO = '<DicomAttribute tag="00100020" vr="LO">{}</DicomAttribute>'
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<NativeDicomModel>&b;</NativeDicomModel>"
)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b"", "cannot be read"),
        (b"{}", "cannot be read"),
        (b"<NativeDicomModel>", "cannot be read"),
        (b"<NativeDicomModel/><x/>", "cannot be read"),
        (b"<?xml version='1.0' encoding='nonsense'?><NativeDicomModel/>", "encoding"),
        (b"<?xml version='1.0' encoding='gb18030'?><NativeDicomModel/>", "encoding"),
        (BOMB.encode(), "document type"),
        (
            b"<!DOCTYPE x SYSTEM 'file:///etc/hostname'><NativeDicomModel/>",
            "document type",
        ),
        (b"<html/>", "'html' is not allowed as the outermost"),
        (b'<NativeDicomModel xmlns="urn:other"/>', "is not allowed"),
        (_document("text"), "text within NativeDicomModel"),
        (_document("<Value number='1'/>"), "'Value' is not allowed in NativeDicomModel"),
        (_document("<DicomAttribute vr='LO'/>"), "no tag"),
        (_document("<DicomAttribute tag='0010' vr='LO'/>"), "no tag"),
        (_document("<DicomAttribute tag='00100020' vr='XX'/>"), "(0010,0020) has an unknown VR"),
        (_document(LO.format("") * 2), "(0010,0020) is there twice"),
        (_document(LO.format("<Value>x</Value>")), "needs its number"),
        (_document(LO.format("<Value number='2'>x</Value>")), "needs its number"),
        (_document(LO.format("<Item number='1'/>")), "of VR LO cannot have this Item"),
        (_document(LO.format("<PersonName number='1'/>")), "cannot have this PersonName"),
        (_document(LO.format("<InlineBinary/>")), "cannot have this InlineBinary"),
        (_document(LO.format("<BulkData/>")), "has no uri"),
        (
            _document(LO.format("<BulkData uri='x'/><Value number='1'/>")),
            "cannot have this Value",
        ),
        (_document("<DicomAttribute tag='7FE00010' vr='OW'><InlineBinary>a</InlineBinary>"
                   "</DicomAttribute>"), "InlineBinary of attribute (7FE0,0010) is not of VR OW"),
        (_document("<DicomAttribute tag='00280010' vr='US'><Value number='1'>65536</Value>"
                   "</DicomAttribute>"), "(0028,0010) is not of VR US"),
        (_document("<DicomAttribute tag='00280010' vr='US'><Value number='1'>" + "9" * 5000
                   + "</Value></DicomAttribute>"), "(0028,0010) is not of VR US"),
        (_document("<DicomAttribute tag='00186020' vr='FL'><Value number='1'>1e39</Value>"
                   "</DicomAttribute>"), "(0018,6020) is not of VR FL"),
        (_document("<DicomAttribute tag='00280009' vr='AT'><Value number='1'>secret</Value>"
                   "</DicomAttribute>"), "(0028,0009) is not of VR AT"),
        (_document("<DicomAttribute tag='00100010' vr='PN'><PersonName number='1'><Alphabetic>"
                   "<GivenName/><FamilyName/></Alphabetic></PersonName></DicomAttribute>"),
         "FamilyName in a name of attribute (0010,0010) comes twice or late"),
        (_document("<DicomAttribute tag='00100010' vr='PN'><PersonName number='1'><Alphabetic/>"
                   "<Alphabetic/></PersonName></DicomAttribute>"), "Alphabetic in a name"),
    ],
)  # fmt: skip
def test_wrong_documents_are_refused_and_say_where(document: bytes, told: str) -> None:
    with pytest.raises(Invalid, match=re.escape(told)) as raised:
        from_xml(document)
    assert "secret" not in str(raised.value)


def test_size_depth_and_private_blocks_are_bounded() -> None:
    attributes: JsonAttributes = {}
    for _ in range(64):
        attributes = {"0040A730": {"vr": "SQ", "Value": [attributes]}}
    assert from_xml(to_xml(attributes)) == attributes
    deeper = to_xml({"0040A730": {"vr": "SQ", "Value": [attributes]}})
    with pytest.raises(Invalid, match="deeper than 64"):
        from_xml(deeper)
    with pytest.raises(Invalid, match="more than 100 bytes"):
        from_xml(deeper, max_size=100)
    private = '<DicomAttribute tag="00110001" vr="SH" privateCreator="{}"/>'
    with pytest.raises(Invalid, match="no free block"):
        from_xml(_document("".join(private.format(number) for number in range(241))))


@given(DATA_SETS, st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_documents_are_refused_or_read(attributes: JsonAttributes, data: Any) -> None:
    document = bytearray(to_xml(attributes))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(document) - 1))
        length = data.draw(st.integers(0, 20))
        document[at : at + length] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"<Item/>", b"&#0;", b'"', b"<!DOCTYPE"])
        )
    try:
        read = from_xml(bytes(document))
    except Invalid:
        return
    assert from_xml(to_xml(read)) == read


# Where dcmtk's rules are others: what they are is seen in the comparison below.
_COMPARED = ["rtplan.dcm", "CT_small.dcm", "MR_small.dcm", "reportsi.dcm", "test-SR.dcm"]


@pytest.mark.parametrize("name", _COMPARED)
def test_dcmtk_writes_the_same(name: str) -> None:
    path = pydicom.data.get_testdata_file(name)
    assert path
    written = run("dcm2xml", "--native-format", "+Xn", "+Eb", "+M", "+U8", path)
    theirs = from_xml(written.text.encode())
    ours = from_xml(to_xml(_header(Path(path))))
    assert _without_binary(theirs) == _without_binary(ours)


def _without_binary(attributes: JsonAttributes) -> JsonAttributes:
    return {
        tag: entry
        | (
            {"Value": [_without_binary(item) for item in entry["Value"]]}
            if entry["vr"] == "SQ" and "Value" in entry
            else {}
        )
        for tag, entry in attributes.items()
        if entry["vr"] not in BINARY_VRS and tag != "00080005"  # which +U8 puts there
    }
