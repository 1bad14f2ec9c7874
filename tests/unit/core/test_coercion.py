"""Coercion rules: what may be one, and what they make of values."""

from __future__ import annotations

import pytest

from isocenter.core.coercion import Coercions, evaluate, rule
from isocenter.core.errors import Invalid
from support.gateway_fakes import EXPLICIT, encode, identifier

PATIENT_ID, STATION, CHARACTER_SET = "00100020", "00081010", "00080005"


def made(rules: list[tuple], character_set: str = "", **attributes: object) -> dict[str, list]:
    """The values that are changed, by tag."""
    header = encode(identifier(**attributes), EXPLICIT)
    coercions = Coercions(tuple(rule(*one) for one in rules), character_set)
    found = evaluate(header, EXPLICIT, coercions)
    return {tag: entry["Value"] for tag, entry in found.attributes.items()}


@pytest.mark.parametrize(
    ("operation", "argument", "before", "after"),
    [
        ("set_if_absent", "NORTH", "", "NORTH"),
        ("set_if_absent", "NORTH", "SOUTH", None),
        ("trim", True, "  A B ", "A B"),
        ("trim", True, "A ", None),  # padding at the end is no part of the value
        ("trim_leading", "0", "0012", "12"),
        ("trim_leading", "0", "000", "0"),
        ("trim_leading", "0 ", " 0 7", "7"),
        ("map", {"CT": "CT1", "*": "X"}, "CT", "CT1"),
        ("map", {"OLD-*": "CT-*"}, "OLD-7", "CT-7"),
        ("map", {"A*Z": "*"}, "AbcZ", "bc"),
        ("map", {"AA*AA": "*"}, "AAA", None),  # both ends do not overlap
        ("map", {"A": "B"}, "C", None),
        ("map", {"A": "A"}, "A", None),
        ("prefix", "N", "1", "N1"),
        ("prefix", "N", "N1", None),
        ("prefix", "N", "", None),
        ("suffix", "-N", "1", "1-N"),
        ("suffix", "-N", "1-N", None),
    ],
)
def test_what_rules_make_of_values(operation, argument, before, after) -> None:
    expected = {} if after is None else {STATION: [after]}
    assert made([("StationName", operation, argument)], StationName=before) == expected


def test_an_attribute_that_is_absent_is_added_only_where_it_says_so() -> None:
    assert made([("StationName", "prefix", "N")], PatientID="1") == {}
    assert made([("StationName", "set_if_absent", "N")], PatientID="1") == {STATION: ["N"]}


def test_rules_follow_each_other() -> None:
    rules = [("PatientID", "trim_leading", "0"), ("PatientID", "prefix", "N"),
             ("PatientID", "map", {"N7": "SEVEN"})]  # fmt: skip
    assert made(rules, PatientID="007") == {PATIENT_ID: ["SEVEN"]}


def test_each_of_several_values_is_changed() -> None:
    assert made([("OtherPatientIDs", "prefix", "N")], OtherPatientIDs=["1", "N2", "", "3"]) == {
        "00101000": ["N1", "N2", None, "N3"]
    }


def test_a_result_that_does_not_fit_is_no_change_but_told() -> None:
    header = encode(identifier(StationName="A" * 16, Modality="CT"), EXPLICIT)
    rules = (rule("StationName", "prefix", "N"), rule("Modality", "suffix", "X"))
    found = evaluate(header, EXPLICIT, Coercions(rules))
    assert (list(found.attributes), list(found.unfit)) == (["00080060"], [0x00081010])


@pytest.mark.parametrize(
    ("keyword", "argument", "why"),
    [
        ("PatientIdd", "1", "no attribute"),
        ("StudyInstanceUID", "1", "VR UI"),
        ("SOPClassUID", "1.2", "VR UI"),
        ("Rows", "1", "describes pixels"),
        ("PhotometricInterpretation", "RGB", "describes pixels"),
        ("PresentationLUTShape", "INVERSE", "how pixels are shown"),
        ("OriginalAttributesSequence", "1", "earlier changes"),
        ("SpecificCharacterSet", "ISO_IR 100", "character_set"),
        ("TransferSyntaxUID", "1.2", "describes the file"),
        ("PixelData", "1", "VR OB or OW"),
        ("PatientBirthDate", "20000101", "VR DA"),
        ("Modality", "ct", "cannot be part"),
        ("StationName", "A" * 17, "cannot be part"),
        ("PatientID", "a\\b", "cannot be part"),
        ("PatientID", "Bär", "cannot be part"),
        ("PatientID", "a\n", "cannot be part"),
    ],
)
def test_what_may_not_be_coerced(keyword, argument, why) -> None:
    with pytest.raises(Invalid, match=why):
        rule(keyword, "set_if_absent", argument)


@pytest.mark.parametrize(
    ("stated", "name", "set_to"),
    [
        (None, "Bär^A", "ISO_IR 100"),
        ("", "Bär^A", "ISO_IR 100"),
        ("NONSENSE", "Bär^A", "ISO_IR 100"),
        ("ISO_IR 192", "Bär^A", "ISO_IR 100"),  # the bytes are no UTF-8
        ("ISO_IR 144", "Bär^A", None),
        (None, "Baer^A", None),  # nothing that needs one
        ("NONSENSE", "Baer^A", None),
    ],
)
def test_the_character_set_is_set_where_text_has_none_that_is_true(stated, name, set_to) -> None:
    raw = name.encode("latin-1")
    raw += b" " * (len(raw) % 2)
    charset = b"" if stated is None else b"\x08\x00\x05\x00CS" + _value(stated.encode())
    header = charset + b"\x10\x00\x10\x00PN" + _value(raw)
    found = evaluate(header, EXPLICIT, Coercions(character_set="ISO_IR 100"))
    expected = {} if set_to is None else {CHARACTER_SET: {"vr": "CS", "Value": [set_to]}}
    assert found.attributes == expected


def test_rules_read_text_in_the_character_set_that_is_set() -> None:
    raw = "Ж".encode("iso8859-5")
    header = b"\x10\x00\x20\x00LO" + _value(raw)
    coercions = Coercions((rule("PatientID", "prefix", "N"),), "ISO_IR 144")
    found = evaluate(header, EXPLICIT, coercions).attributes
    assert found[PATIENT_ID]["Value"] == ["NЖ"]


def test_text_with_escape_sequences_needs_a_character_set() -> None:
    header = b"\x10\x00\x10\x00PN" + _value("山田".encode("iso2022_jp"))
    found = evaluate(header, EXPLICIT, Coercions(character_set="\\ISO 2022 IR 87")).attributes
    assert found[CHARACTER_SET]["Value"] == ["", "ISO 2022 IR 87"]


def _value(raw: bytes) -> bytes:
    raw += b" " * (len(raw) % 2)
    return len(raw).to_bytes(2, "little") + raw
