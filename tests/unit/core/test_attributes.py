"""The table of searchable attributes, and how a level's values follow from its instances'."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, keyword_for_tag

from isocenter.core.attributes import (
    BUILT_IN,
    BY_KEYWORD,
    BY_TAG,
    TABLE,
    default_tags,
    merge,
)
from isocenter.core.matching import Level


def test_the_table_agrees_with_the_data_dictionary_of_the_standard() -> None:
    for row in TABLE:
        assert keyword_for_tag(row.tag) == row.keyword
        assert row.vr in dictionary_VR(row.tag).split(" or ")
        assert row.tag == row.tag.upper()
    assert len(BY_TAG) == len(BY_KEYWORD) == len(TABLE)


def test_every_required_key_of_the_query_models_is_searchable() -> None:
    # PS3.4 tables C.6-1 to C.6-5 and PS3.18 table 10.6.1-5, required keys.
    required = {
        Level.PATIENT: "PatientName PatientID",
        Level.STUDY: "StudyDate StudyTime AccessionNumber ModalitiesInStudy PatientName PatientID "
        "ReferringPhysicianName StudyInstanceUID StudyID",
        Level.SERIES: "Modality SeriesNumber SeriesInstanceUID PerformedProcedureStepStartDate "
        "PerformedProcedureStepStartTime RequestAttributesSequence",
        Level.INSTANCE: "InstanceNumber SOPInstanceUID SOPClassUID",
    }
    for level, keywords in required.items():
        for keyword in keywords.split():
            assert BUILT_IN.searchable(BY_KEYWORD[keyword].tag, level), keyword


def test_a_key_below_the_level_searched_is_not_searchable() -> None:
    assert BUILT_IN.searchable(BY_KEYWORD["Modality"].tag, Level.STUDY) is None
    assert BUILT_IN.searchable(BY_KEYWORD["PatientID"].tag, Level.INSTANCE)
    assert BUILT_IN.searchable(BY_KEYWORD["NumberOfStudyRelatedSeries"].tag, Level.STUDY) is None
    assert BUILT_IN.searchable("00091001", Level.STUDY) is None


def test_answers_lead_to_what_they_are_about() -> None:
    assert {"0020000D", "0020000E", "00080018"} <= default_tags(Level.INSTANCE)
    assert {"0020000D", "00100020", "00201206"} <= default_tags(Level.STUDY)
    assert "00201200" not in default_tags(Level.STUDY)


def test_extract_keeps_searchable_values_of_the_right_kind_and_nothing_else() -> None:
    found = BUILT_IN.extract({
        "00100020": {"vr": "LO", "Value": ["ID"]},
        "00100010": {"vr": "PN", "Value": ["not an object"]},
        "00100040": {"vr": "CS"},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00080020": {"vr": "DA", "Value": ["20240101", "20240102"]},
        "00200011": {"vr": "UN", "InlineBinary": "AAAA"},
        "00280010": {"vr": "US", "Value": [512]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "x"},
        "00400275": {"vr": "SQ", "Value": [
            {"00400009": {"vr": "SH", "Value": ["S"]}, "00321060": {"vr": "LO", "Value": ["x"]}},
            {},
        ]},
    })  # fmt: skip
    assert found == {
        "00100020": {"vr": "LO", "Value": ["ID"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00080061": {"vr": "CS", "Value": ["CT"]},
        "00080020": {"vr": "DA", "Value": ["20240101"]},
        "00280010": {"vr": "US", "Value": [512]},
        "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S"]}}]},
    }


def test_sets_are_united_and_the_longest_value_wins() -> None:
    merged = merge([
        {"00080061": {"vr": "CS", "Value": ["CT"]}, "00100020": {"vr": "LO", "Value": ["A"]}},
        {"00080061": {"vr": "CS", "Value": ["PR"]}, "00100020": {"vr": "LO", "Value": ["AB"]}},
    ])  # fmt: skip
    assert merged["00080061"]["Value"] == ["CT", "PR"]
    assert merged["00100020"]["Value"] == ["AB"]


documents = st.dictionaries(
    st.sampled_from(["00080061", "00100020", "00081030", "0020000D"]),
    st.lists(st.text("ABC", min_size=1, max_size=3), min_size=1, max_size=2, unique=True).map(
        lambda values: {"vr": "LO", "Value": sorted(values)}
    ),
)


@given(st.lists(documents, max_size=5), st.randoms())
def test_merge_is_commutative_associative_and_idempotent(some, random) -> None:
    expected = merge(some)
    shuffled = random.sample(some, len(some))
    assert merge(shuffled) == expected
    assert merge(shuffled + some) == expected
    assert reduce(lambda one, other: merge([one, other]), some, {}) == expected


def test_select_divides_an_extract_by_level() -> None:
    found = BUILT_IN.extract({
        "00100020": {"vr": "LO", "Value": ["ID"]},
        "00200013": {"vr": "IS", "Value": [1]},
    })  # fmt: skip
    assert set(BUILT_IN.select(found, [Level.PATIENT])) == {"00100020"}
    assert set(BUILT_IN.select(found, [Level.INSTANCE])) == {"00200013"}
