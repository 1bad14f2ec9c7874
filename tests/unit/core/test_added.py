"""Attributes that are added to the table: how they are named, and where their values come from."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.added import LEVELS, added
from isocenter.core.attributes import BUILT_IN, Attribute, Attributes
from isocenter.core.errors import Invalid
from isocenter.core.fill_state import FillState, decoded, whole
from isocenter.core.json_model import to_json
from isocenter.core.matching import Level
from isocenter.core.private import free_block
from support.datasets import encoded, tiny

IMPLICIT = "1.2.840.10008.1.2"
SITE = added("0029xx10", "SERIES", "ACME 1.0", "LO")
COUNT = added("0029xx11", "INSTANCE", "ACME 1.0", "US")


def binary(raw: bytes) -> dict[str, Any]:
    return {"vr": "UN", "InlineBinary": base64.b64encode(raw).decode()}


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("ContrastBolusAgent", "00180010"),
        ("00180010", "00180010"),
        ("(0018,0010)", "00180010"),
        ("0018a002", "0018A002"),
    ],
)
def test_public_attributes_are_named_by_keyword_or_tag(name: str, tag: str) -> None:
    row = added(name, "SERIES")
    assert (row.tag, row.level, row.added, row.default) == (tag, Level.SERIES, True, False)


@pytest.mark.parametrize("name", ["0029xx10", "0029XX10", "(0029,xx10)", "0029,1010", "0029FE10"])
def test_private_attributes_are_named_in_any_block(name: str) -> None:
    assert added(name, "SERIES", "ACME 1.0", "LO") == SITE


@pytest.mark.parametrize(
    ("given_as", "wrong"),
    [
        (("NoSuchThing", "STUDY"), "no keyword of PS3.6"),
        (("0018FFFE", "STUDY"), "no attribute of objects"),
        (("", "STUDY"), "no keyword"),
        (("StudyDate", "STUDY"), "built in, at level STUDY"),
        (("ContrastBolusAgent", "PATIENT"), "no level.*STUDY, SERIES, INSTANCE"),
        (("ContrastBolusAgent", "study"), "no level"),
        (("ContrastBolusAgent", "STUDY", "", "SH"), "has VR LO, not SH"),
        (("PixelData", "INSTANCE"), "VR OB, by which nothing can be searched"),
        (("RedPaletteColorLookupTableData", "INSTANCE"), "VR OW"),
        (("ConceptNameCodeSequence", "INSTANCE"), "VR SQ"),
        (("TransferSyntaxUID", "INSTANCE"), "no attribute of objects"),
        (("CommandField", "INSTANCE"), "no attribute of objects"),
        (("SpecificCharacterSet", "STUDY"), "no attribute of objects"),
        (("RetrieveURL", "STUDY"), "no attribute of objects"),
        (("00291010", "STUDY"), "private.*creator"),
        (("0029xx10", "STUDY"), "no keyword"),
        (("0029xx10", "STUDY", "ACME"), "no vr"),
        (("0029xx10", "STUDY", "ACME", "OB"), "VR OB"),
        (("0029xx10", "STUDY", "ACME", "??"), r"VR \?\?"),
        (("0028xx10", "STUDY", "ACME", "LO"), "no private element"),
        (("00290010", "STUDY", "ACME", "LO"), "no private element"),
        (("0007xx10", "STUDY", "ACME", "LO"), "no private element"),
        (("0029xx10", "STUDY", " ACME", "LO"), "no Private Creator"),
        (("0029xx10", "STUDY", "A\\B", "LO"), "no Private Creator"),
        (("0029xx10", "STUDY", "A" * 65, "LO"), "no Private Creator"),
        (("0029xx10", "STUDY", "Ä", "LO"), "no Private Creator"),
    ],
)
def test_what_cannot_be_added_is_named_with_what_to_do(given_as: Any, wrong: str) -> None:
    with pytest.raises(Invalid, match=wrong) as caught:
        added(*given_as)
    assert caught.value.fix


@given(st.text(max_size=20), st.sampled_from(sorted(LEVELS)), st.text(max_size=9), st.text())
def test_whatever_is_written_is_a_row_or_invalid(
    name: str, level: str, creator: str, vr: str
) -> None:
    try:
        row = added(name, level, creator, vr)
    except Invalid:
        return
    assert isinstance(row, Attribute)


def test_a_private_attribute_is_found_in_whatever_block_its_creator_has() -> None:
    table = Attributes([SITE])
    for block in ("10", "FE"):
        found = table.extract({
            f"002900{block}": {"vr": "LO", "Value": ["ACME 1.0"]},
            f"0029{block}10": {"vr": "LO", "Value": ["North"]},
            "00290020": {"vr": "LO", "Value": ["OTHER"]},
            "00292010": {"vr": "LO", "Value": ["not this"]},
        })  # fmt: skip
        assert found == {SITE.tag: {"vr": "LO", "Value": ["North"]}}
    assert table.extract({"00291010": {"vr": "LO", "Value": ["nobody's"]}}) == {}
    assert table.named("0029FE10", "ACME 1.0") == SITE
    assert table.named("0029FE10", "OTHER") is None
    assert table.named("0029FE10") is None


@pytest.mark.parametrize(
    ("row", "raw", "values"),
    [
        (SITE, b"North\\South ", ["North", "South"]),
        (SITE, "Zürich".encode(), ["Zürich"]),
        (SITE, "Zürich".encode("latin-1"), ["Zürich"]),
        (COUNT, b"\1\0\0\1", [1, 256]),
        (COUNT, b"\1\0\0", None),
        (SITE, b"", None),
    ],
)
def test_a_private_value_of_unknown_vr_is_read_as_the_settings_say(
    row: Attribute, raw: bytes, values: list[Any] | None
) -> None:
    creator = {"vr": "LO", "Value": ["ACME 1.0"]}
    tag = f"00291{row.tag[5:8].replace('x', '0')}"
    found = Attributes([row]).extract({"00290010": creator, tag: binary(raw)})
    assert found == ({row.tag: {"vr": row.vr, "Value": values}} if values else {})


@pytest.mark.parametrize("syntax", [IMPLICIT, "1.2.840.10008.1.2.1"])
def test_private_elements_of_real_data_sets_are_extracted_in_every_encoding(syntax: str) -> None:
    data_set = tiny()
    data_set.private_block(0x0029, "OTHER", create=True).add_new(0x10, "LO", "not this")
    block = data_set.private_block(0x0029, "ACME 1.0", create=True)
    block.add_new(0x10, "LO", "North")
    block.add_new(0x11, "US", 7)
    found = Attributes([SITE, COUNT]).extract(to_json(encoded(data_set, syntax), syntax))
    assert (found[SITE.tag]["Value"], found[COUNT.tag]["Value"]) == (["North"], [7])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from(["00290010", "00291010", "00291011", "00180010", "00290011"]),
        st.fixed_dictionaries(
            {"vr": st.sampled_from(["UN", "LO", "US"])},
            optional={"Value": st.lists(_JSON, max_size=2), "InlineBinary": st.text(max_size=6)},
        ),
    )
)
def test_whatever_metadata_holds_extracting_never_fails(attributes: Any) -> None:
    table = Attributes([SITE, COUNT, added("ContrastBolusAgent", "SERIES")])
    for element in table.extract(attributes).values():
        assert element["Value"]


def test_an_added_time_keeps_all_its_values() -> None:
    row = added("DateOfLastCalibration", "INSTANCE")
    days = {"vr": "DA", "Value": ["20240101", "20250101"]}
    assert Attributes([row]).extract({row.tag: days}) == {row.tag: days}


def test_a_free_block_is_the_first_that_nobody_has() -> None:
    assert free_block("0029", []) == "00290010"
    assert free_block("0029", ["00290010", "00110011"]) == "00290011"


# --- what an index says of them ------------------------------------------------------------------


def test_a_new_attribute_begins_at_the_beginning_and_leaves_filled_ones_alone() -> None:
    one, two = Attributes([SITE]), Attributes([SITE, COUNT])
    first = FillState().with_table(one, now=5.0, total=9, forget=True)
    assert (first.unfilled, first.since, first.total) == ({SITE.tag}, 5.0, 9)
    assert first.with_table(one, now=6.0, total=10, forget=True) is first
    full = first.revised(after="objects/x", looked=7).all_filled()
    assert (full.unfilled, full.lacks(one), full.after) == (set(), set(), "")
    second = full.with_table(two, now=7.0, total=11, forget=True)
    assert (second.unfilled, second.lacks(two)) == ({COUNT.tag}, {COUNT.tag})
    assert (second.after, second.looked, second.since) == ("", 0, 7.0)
    assert len({first.revision, full.revision, second.revision}) == 3
    assert decoded(second.encoded()) == second


def test_what_left_the_table_is_forgotten_and_comes_back_as_another_one() -> None:
    two = Attributes([SITE, COUNT])
    full = whole(two)
    assert full.with_table(BUILT_IN, now=1.0, total=0, forget=False) is full
    less = full.with_table(Attributes([COUNT]), now=1.0, total=0, forget=True)
    assert less.lacks(two) == {SITE.tag}
    assert less.unfilled == set()
    back = less.with_table(two, now=2.0, total=0, forget=True)
    assert back.unfilled == {SITE.tag}
    assert back.numbers(two)[COUNT.tag] == full.numbers(two)[COUNT.tag]
    assert back.numbers(two)[SITE.tag] not in full.numbers(two).values()


def test_another_level_or_vr_is_another_attribute() -> None:
    state = whole(Attributes([SITE]))
    for row in (
        added("0029xx10", "STUDY", "ACME 1.0", "LO"), added("0029xx10", "SERIES", "ACME 1.0", "SH"),
    ):  # fmt: skip
        table = Attributes([row])
        assert state.lacks(table) == {SITE.tag}
        after = state.with_table(table, now=1.0, total=0, forget=False)
        assert [one.number for one in after.held] == [2]
