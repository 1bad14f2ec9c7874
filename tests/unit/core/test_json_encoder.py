"""The DICOM JSON Model becomes a data set: read back by ours and by pydicom it is the same."""

from __future__ import annotations

import base64
import io
import math
import struct
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from isocenter.core.dictionary import LONG_VRS, SHORT_VRS
from isocenter.core.errors import Unprocessable
from isocenter.core.json_encoder import Bulk, Range, encode
from isocenter.core.json_model import to_json
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.core.values import BINARY_VRS

FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def no_bulk(path: str, vr: str, uri: str) -> Bulk:
    raise AssertionError(path)


def encoded(attributes: Any) -> bytes:
    (data,) = encode(attributes, no_bulk) or (b"",)
    assert isinstance(data, bytes)
    return data


def read_back(attributes: Any) -> dict[str, Any]:
    return dict(to_json(encoded(attributes), EXPLICIT_VR_LITTLE_ENDIAN))


WORD = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\\=")
)
CODE = st.text("ABCXYZ019_", min_size=1, max_size=16)


def numbers(low: int, high: int) -> st.SearchStrategy[Any]:
    return st.integers(low, high)


NAME = st.fixed_dictionaries(
    {"Alphabetic": WORD.filter(bool)}, optional={"Phonetic": WORD.filter(bool)}
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("LO", "SH", "UC"), WORD.filter(bool)),
    **dict.fromkeys(("LT", "ST", "UT"), WORD.filter(bool)),
    **dict.fromkeys(("AE", "AS", "CS", "DA", "DT", "TM"), CODE),
    "UI": st.from_regex(r"[1-9](\.[1-9]){1,9}", fullmatch=True),
    "UR": st.just("http://a/b"),
    "AT": st.from_regex(r"[0-9A-F]{8}", fullmatch=True),
    "DS": st.one_of(numbers(-999, 999), st.floats(-1e6, 1e6).map(lambda x: round(x, 3))),
    "IS": numbers(-(2**31), 2**31 - 1),
    "FD": st.floats(allow_nan=False, allow_infinity=False),
    "FL": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "SS": numbers(-(2**15), 2**15 - 1),
    "US": numbers(0, 2**16 - 1),
    "SL": numbers(-(2**31), 2**31 - 1),
    "UL": numbers(0, 2**32 - 1),
    "SV": numbers(-(2**63), 2**63 - 1),
    "UV": numbers(0, 2**64 - 1),
    "PN": NAME,
}
SINGLE = frozenset({"LT", "ST", "UT", "UR"})


@st.composite
def attributes(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """A data set of private elements, which may have any VR."""
    found: dict[str, Any] = {}
    for number in range(0x1001, 0x1001 + draw(st.integers(0, 6))):
        tag = f"0009{number:04X}"
        kind = draw(st.sampled_from([*VALUES, "OB", "SQ"]))
        if kind == "OB":
            data = draw(st.binary(min_size=1, max_size=20))
            data += b"\0" * (len(data) % 2)
            found[tag] = {"vr": "OB", "InlineBinary": base64.b64encode(data).decode()}
        elif kind == "SQ":
            items = draw(st.lists(attributes(depth - 1), max_size=3)) if depth else []
            found[tag] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        else:
            most = 1 if kind in SINGLE else 3
            values = draw(st.lists(VALUES[kind], max_size=most))
            found[tag] = {"vr": kind, "Value": values} if values else {"vr": kind}
    return found


@given(attributes())
def test_what_is_encoded_is_read_back_the_same(model: dict[str, Any]) -> None:
    back = read_back(model)
    charset = back.pop("00080005", None)
    assert back == model
    assert charset in (None, {"vr": "CS", "Value": ["ISO_IR 192"]})


# Values that do not fit their VR, on purpose: they are refused, not guessed.
BAD_VALUES = {"badVR.dcm"}


def files() -> list[Path]:
    """pydicom's own objects in Explicit VR Little Endian, without pixels."""
    found = []
    for path in sorted(FILES.glob("*.dcm")):
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                continue
        try:
            one = pydicom.dcmread(path, stop_before_pixels=True)
        except (pydicom.errors.InvalidDicomError, EOFError, OSError):
            continue
        explicit = one.file_meta.get("TransferSyntaxUID") == EXPLICIT_VR_LITTLE_ENDIAN
        if explicit and path.name not in BAD_VALUES:
            found.append(path)
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_pydicoms_files_come_through_json_as_they_are(path: Path) -> None:
    original = pydicom.dcmread(path, stop_before_pixels=True)
    out = io.BytesIO()
    pydicom.dcmwrite(
        out, original, enforce_file_format=False, implicit_vr=False, little_endian=True
    )
    model = original.to_json_dict(suppress_invalid_tags=True)
    for tag in [tag for tag in model if tag < "0004"]:
        del model[tag]
    again = pydicom.dcmread(io.BytesIO(encoded(model)), force=True)
    for element in original:
        if element.tag == 0x00080005 or element.tag.element == 0:
            continue
        assert again[element.tag].value == element.value, element.tag


def test_every_vr_can_be_written() -> None:
    written = set(VALUES) | BINARY_VRS | {"SQ"}
    assert written == SHORT_VRS | LONG_VRS


def test_texts_beyond_ascii_make_the_character_set_utf_8() -> None:
    name = {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]}
    data = encoded({"00100010": name, "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}})
    read = pydicom.dcmread(io.BytesIO(data), force=True)
    assert read.SpecificCharacterSet == "ISO_IR 192"
    assert read.PatientName.ideographic == "山田^太郎"
    assert "00080005" not in read_back({"00100020": {"vr": "LO", "Value": ["P1"]}})


def test_values_that_are_elsewhere_are_named_by_their_path() -> None:
    asked: list[tuple[str, str, str]] = []

    def resolve(path: str, vr: str, uri: str) -> Bulk:
        asked.append((path, vr, uri))
        return Bulk(vr, [Range(100, 10)])

    bulk = {"vr": "OW", "BulkDataURI": "a"}
    item = {"00281201": bulk, "00080018": {"vr": "UI", "Value": ["1.2"]}}
    pieces = encode(
        {
            "00880200": {"vr": "SQ", "Value": [{}, item]},
            "00420011": {"vr": "OB", "BulkDataURI": "b"},
        },
        resolve,
    )
    assert asked == [("00880200/1/00281201", "OW", "a"), ("00420011", "OB", "b")]
    assert [one for one in pieces if isinstance(one, Range)] == [Range(100, 10)] * 2
    whole = b"".join(b"0123456789" if isinstance(one, Range) else one for one in pieces)
    read = pydicom.dcmread(io.BytesIO(whole), force=True)
    assert read.EncapsulatedDocument == b"0123456789"
    icon = read.IconImageSequence[1]
    assert icon.RedPaletteColorLookupTableData == b"0123456789"
    assert icon.SOPInstanceUID == "1.2"


def test_encapsulated_values_have_no_length() -> None:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    pieces = encode(
        {"7FE00010": {"vr": "OB", "BulkDataURI": "x"}, "7FE10010": {"vr": "LO", "Value": ["X"]}},
        lambda *_: Bulk("OB", [items], encapsulated=True),
    )
    (data,) = pieces
    assert data[:12] == b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    assert to_json(data, EXPLICIT_VR_LITTLE_ENDIAN)["7FE10010"]["Value"] == ["X"]


def test_numbers_that_json_cannot_hold_come_as_texts() -> None:
    model = {"00091001": {"vr": "FD", "Value": ["NaN", "inf", 1]}}
    values = struct.unpack("<3d", encoded(model)[8:])
    assert math.isnan(values[0])
    assert values[1:] == (math.inf, 1.0)
    assert read_back({"00091001": {"vr": "UV", "Value": [str(2**64 - 1)]}})["00091001"][
        "Value"
    ] == [2**64 - 1]


def test_long_decimals_are_rounded_to_what_ds_holds() -> None:
    data = encoded({"00280030": {"vr": "DS", "Value": [math.pi, 1e-20 / 3, "1.50"]}})
    texts = data[8:].decode().rstrip().split("\\")
    assert all(len(text) <= 16 for text in texts)
    assert float(texts[0]) == pytest.approx(math.pi)
    assert float(texts[1]) == pytest.approx(1e-20 / 3)
    assert texts[2] == "1.50"


def deep(levels: int) -> dict[str, Any]:
    model: dict[str, Any] = {}
    for _ in range(levels):
        model = {"0040A730": {"vr": "SQ", "Value": [model]}}
    return model


WRONG: dict[str, Any] = {
    "no object": [],
    "attribute that is no object": {"00100020": "P1"},
    "keyword as a name": {"PatientID": {"vr": "LO"}},
    "lower case tag": {"0020000d": {"vr": "UI"}},
    "group of the file": {"00020010": {"vr": "UI"}},
    "item": {"FFFEE000": {"vr": "UN"}},
    "no VR": {"00100020": {"Value": ["P1"]}},
    "unknown VR": {"00100020": {"vr": "XX"}},
    "VR that is no text": {"00100020": {"vr": ["LO"]}},
    "VR of another kind": {"00100020": {"vr": "US", "Value": [1]}},
    "two forms": {"00091001": {"vr": "OB", "InlineBinary": "", "Value": []}},
    "value that is no array": {"00100020": {"vr": "LO", "Value": "P1"}},
    "number as text": {"00100020": {"vr": "LO", "Value": [1]}},
    "text as number": {"00280010": {"vr": "US", "Value": ["many"]}},
    "truth as number": {"00280010": {"vr": "US", "Value": [True]}},
    "number too large": {"00280010": {"vr": "US", "Value": [65536]}},
    "float too large": {"00091001": {"vr": "FL", "Value": [1e300]}},
    "null among numbers": {"00280010": {"vr": "US", "Value": [None, 1]}},
    "IS too large": {"00200013": {"vr": "IS", "Value": [2**31]}},
    "fraction in IS": {"00200013": {"vr": "IS", "Value": [1.5]}},
    "infinity in DS": {"00280030": {"vr": "DS", "Value": ["inf"]}},
    "backslash": {"00100020": {"vr": "LO", "Value": ["a\\b"]}},
    "umlaut in CS": {"00080060": {"vr": "CS", "Value": ["Ä"]}},
    "half a surrogate": {"00100020": {"vr": "LO", "Value": ["\ud800"]}},
    "two texts": {"00204000": {"vr": "LT", "Value": ["a", "b"]}},
    "name that is no object": {"00100010": {"vr": "PN", "Value": ["A^B"]}},
    "name with a delimiter": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A=B"}]}},
    "tag that is none": {"00091001": {"vr": "AT", "Value": ["X"]}},
    "binary as a value": {"00091001": {"vr": "OB", "Value": [1]}},
    "text as binary": {"00100020": {"vr": "LO", "InlineBinary": "QQ=="}},
    "no Base64": {"00091001": {"vr": "OB", "InlineBinary": "Q"}},
    "text elsewhere": {"00100020": {"vr": "LO", "BulkDataURI": "a"}},
    "URI that is no text": {"00091001": {"vr": "OB", "BulkDataURI": 1}},
    "item that is no object": {"0040A730": {"vr": "SQ", "Value": [None]}},
    "too deep": deep(65),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_the_model_does_not_allow_is_refused(case: str) -> None:
    with pytest.raises(Unprocessable):
        encode(WRONG[case], no_bulk)


def test_sequences_may_be_nested_as_deep_as_ingest_allows() -> None:
    assert read_back(deep(64)) == deep(64) | {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary", "00091001", "0040A730"])
            | st.text(max_size=3),
            inner | st.sampled_from([*sorted(SHORT_VRS), "SQ", "OB"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_encoded_or_refused(model: Any) -> None:
    try:
        pieces = encode(model, lambda _, vr, __: Bulk(vr, []))
    except Unprocessable:
        return
    to_json(
        b"".join(piece for piece in pieces if isinstance(piece, bytes)), EXPLICIT_VR_LITTLE_ENDIAN
    )


def test_datasets_of_pydicom_with_sequences_come_through() -> None:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "T-A0100", "Gehirn äöü"
    data_set = Dataset()
    data_set.ConceptNameCodeSequence = [item, Dataset()]
    again = pydicom.dcmread(io.BytesIO(encoded(data_set.to_json_dict())), force=True)
    assert again.ConceptNameCodeSequence[0].CodeMeaning == "Gehirn äöü"
    assert len(again.ConceptNameCodeSequence[1]) == 0
