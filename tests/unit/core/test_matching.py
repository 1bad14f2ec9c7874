"""The rules of PS3.4 C.2.2.2, one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.errors import Invalid
from isocenter.core.matching import (
    Key,
    Level,
    Search,
    matches,
    order_key,
    parse,
)
from isocenter.core.terms import fuzzy_terms, normalise_name, sound_of, terms


def name(text: str) -> dict[str, Any]:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False)
    return {"vr": "PN", "Value": [{group: part for group, part in groups if part}]}


def asked(vr: str, key: str, *values: Any, fuzzy: bool = False) -> bool:
    """Whether an attribute with these values matches a key of one or more values."""
    attribute = name(values[0]) if vr == "PN" else {"vr": vr, "Value": list(values)}
    search = Search(Level.STUDY, (Key("00091001", vr, tuple(key.split("\\"))),), fuzzy=fuzzy)
    return matches({"00091001": attribute}, search)


@pytest.mark.parametrize(
    ("vr", "key", "values", "expected"),
    [
        ("LO", "ID1", ["ID1"], True),
        ("LO", "id1", ["ID1"], False),  # C.2.2.2.1: case-sensitive
        ("LO", " ID1 ", ["ID1  "], True),  # PS3.5 6.2: padding
        ("LT", " x", ["x"], False),  # PS3.5 6.2: leading spaces of LT count
        ("LO", "B", ["A", "B"], True),  # any value
        ("CS", "CT\\MR", ["MR"], True),
        ("UI", "1.2\\1.3", ["1.3"], True),  # C.2.2.2.2
        ("UI", "1.2\\1.3", ["1.30"], False),
        ("LO", "A*C", ["ABBC"], True),  # C.2.2.2.4
        ("LO", "A?C", ["ABBC"], False),
        ("LO", "a*", ["ABC"], False),
        ("LO", "[A]*", ["[A]B"], True),  # only * and ? are wild
        ("LO", "50%", ["50x"], False),
        ("LO", "A.C", ["ABC"], False),
        ("LO", "A*", ["A\nB"], True),
        ("LO", "x*" * 20 + "y", ["x" * 64], False),  # and quickly
        ("IS", "01", [1], True),
        ("IS", "1", [2], False),
        ("DS", "1.50", [1.5], True),
        ("DA", "20240101-20240131", ["20240131"], True),  # C.2.2.2.5: both ends
        ("DA", "20240101-20240131", ["20240201"], False),
        ("DA", "-20240131", ["19000101"], True),
        ("DA", "20240131-", ["20240130"], False),
        ("DA", "2024.01.31", ["20240131"], True),  # the form of ACR-NEMA
        ("DA", "-20240131", ["garbage"], False),
        ("TM", "10", ["105959.999"], True),
        ("TM", "1000-1030", ["103059"], True),
        ("TM", "1000-1030", ["1031"], False),
        ("TM", "-", ["10"], None),
        ("DT", "20240101120000+0000", ["20240101140000+0200"], True),
        ("DT", "20240101-0500", ["20240101050000"], True),  # an offset, not a range
        ("DT", "20240101-20240102", ["20240102235959.999999"], True),
        ("DT", "202402", ["20240229"], True),
        ("TM", "2200-0200", ["2330"], True),  # over midnight
        ("TM", "2200-0200", ["0200"], True),
        ("TM", "2200-0200", ["1200"], False),
        ("TM", "2460", ["1200"], None),
        ("DT", "20240102-20240101", ["20240101"], None),
        ("DA", "20240102-20240101", ["20240101"], None),
        ("DA", "20240230", ["20240101"], None),
        ("DA", "20240201-20240230", ["20240201"], None),
        ("DA", "20240201-20240301", ["20240230"], True),  # what devices write is taken as it is
        ("DA", "٢٠٢٤٠١٠١", ["20240101"], None),
        ("DS", "nan", [1], None),
        ("DS", "1_0", [10], None),
        ("IS", "1.5", [1.5], None),
        ("IS", "1-5", [3], None),  # C.2.2.2.5: dates and times only
        ("DA", "2024", ["20240101"], None),
        ("DA", "2024*", ["20240101"], None),
        ("UI", "1.2.*", ["1.2.3"], None),
        ("IS", "one", [1], None),
    ],
)
def test_values_match_as_their_representation_says(vr, key, values, expected) -> None:
    if expected is None:
        with pytest.raises(Invalid, match="0009,1001"):
            asked(vr, key, *values)
    else:
        assert asked(vr, key, *values) is expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("smith^john", "SMITH^JOHN", True),
        ("Muller", "MÜLLER", True),
        ("Soren", "Søren", True),
        ("strasse", "Straße", True),
        ("SMITH", "Smith^^^^", True),  # trailing empty components
        ("SMITH ^ JOHN", "SMITH^JOHN", True),
        ("SMITH^JOHN", "SMITH^JOHN^^DR", False),
        ("SMITH^*", "SMITH", True),
        ("SMITH^J*", "SMITH^JOHN^^DR", True),
        ("山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("やま*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("Yamada^Tarou=山田^太郎", "Yamada^Tarou=山田^太郎", True),
        ("Yamada^Tarou=山本^太郎", "Yamada^Tarou=山田^太郎", False),
        ("か", "が", False),
        ("ﾔﾏﾀﾞ", "ヤマダ", True),
    ],
)
def test_names_match_across_case_accents_width_and_component_groups(key, value, expected) -> None:
    assert asked("PN", key, value) is expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("jo smi", "SMITH^JOHN", True),
        ("john", "SMITH^JOHN", True),
        ("ohn", "SMITH^JOHN", False),
        ("*ohn", "SMITH^JOHN", True),  # a wild card still is one
        ("smith peter", "SMITH^JOHN", False),
        ("garcia", "López García^José", True),
        ("Miller", "MÜLLER^Eva", True),
        ("jon schmidt", "SMITH^JOHN", True),
        ("Mil*", "MÜLLER^Eva", False),  # a wild card is meant as it stands
        ("li", "LEE", False),
    ],
)
def test_fuzzy_names_match_by_the_beginnings_and_sounds_of_their_words(
    key, value, expected
) -> None:
    assert asked("PN", key, value, fuzzy=True) is expected


@pytest.mark.parametrize("values", [(), ("",), ("  ",), ("*",), ("**",), ("A", "")])
def test_empty_keys_and_stars_are_universal_even_for_absent_attributes(values) -> None:
    universal = values != ("A", "")
    assert matches({}, Search(Level.STUDY, (Key("00100020", "LO", values),))) is universal


@pytest.mark.parametrize("value", ["=", "==", "^", " ^ = ^"])
def test_a_name_of_delimiters_alone_is_universal(value) -> None:
    assert matches({}, Search(Level.STUDY, (Key("00100010", "PN", (value,)),)))


def test_an_empty_component_group_asks_for_nothing() -> None:
    assert asked("PN", "^=山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう")


def test_an_absent_or_empty_attribute_matches_no_other_key() -> None:
    search = Search(Level.STUDY, (Key("00100020", "LO", ("A",)),))
    assert not matches({}, search)
    assert not matches({"00100020": {"vr": "LO"}}, search)


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("CT\\PT", ["PT", "MR", "CT"], True),
        ("CT\\PT", ["CT", "MR"], False),
        ("CT", ["CT", "MR"], True),
    ],
)
def test_multiple_value_matching_asks_for_all_values(key, values, expected) -> None:
    keys = (Key("00080061", "CS", tuple(key.split("\\"))),)
    found = {"00080061": {"vr": "CS", "Value": values}}
    assert matches(found, Search(Level.STUDY, keys, every_value=True)) is expected
    assert matches(found, Search(Level.STUDY, keys))


def test_a_list_of_uid_is_one_also_with_multiple_value_matching() -> None:
    search = Search(Level.STUDY, (Key("0020000D", "UI", ("1.2", "1.3")),), every_value=True)
    assert matches({"0020000D": {"vr": "UI", "Value": ["1.3"]}}, search)


ITEM = (Key("00400009", "SH", ("1",)), Key("00401001", "SH", ("2",)))


def test_a_sequence_key_needs_one_item_that_matches_all() -> None:
    key = Key(
        "00400275", "SQ", items=(Key("00400009", "SH", ("1",)), Key("00401001", "SH", ("2",)))
    )

    def item(step: str, procedure: str) -> dict[str, Any]:
        return {"00400009": {"vr": "SH", "Value": [step]},
                "00401001": {"vr": "SH", "Value": [procedure]}}  # fmt: skip

    def of(*items: dict[str, Any]) -> dict[str, Any]:
        return {"00400275": {"vr": "SQ", "Value": list(items)}}

    search = Search(Level.SERIES, (key,))
    assert matches(of(item("0", "0"), item("1", "2")), search)
    assert not matches(of(item("1", "0"), item("0", "2")), search)
    assert parse(Key("00400275", "SQ", items=(Key("00400009", "SH"),))) is None


@given(st.text(max_size=40))
def test_normalising_a_name_twice_changes_nothing(text) -> None:
    once = normalise_name(text)
    assert normalise_name(once) == once


@given(st.sampled_from(["DA", "TM", "DT", "IS", "DS", "LO", "UI"]), st.text(max_size=30))
def test_any_text_is_a_value_or_no_value_and_a_key_or_invalid(vr, text) -> None:
    assert isinstance(terms(vr, {"vr": vr, "Value": [text]}), tuple)
    try:
        criterion = parse(Key("00080020", vr, (text,)))
    except Invalid as error:
        problem = str(error)
    else:
        problem = "" if criterion is None or criterion.alternatives else "no test"
    assert problem == "" or "0008,0020" in problem


def test_words_of_a_name_come_from_all_groups() -> None:
    found = fuzzy_terms(name("O'Neil^Mary Ann=山田"))
    assert found == ("o", "neil", "mary", "ann", "山田", "~n4", "~m6", "~a5")


@pytest.mark.parametrize(
    ("one", "other"),
    [("muller", "miller"), ("meyer", "mayr"), ("smith", "schmidt"), ("robert", "rupert"),
     ("cristofer", "christopher"), ("ashcraft", "ashcroft")],
)  # fmt: skip
def test_words_that_sound_alike_have_one_sound(one, other) -> None:
    assert sound_of(one) == sound_of(other) != ""


@pytest.mark.parametrize("word", ["li", "山田太郎", "jose2", ""])
def test_short_words_and_other_letters_have_no_sound(word) -> None:
    assert sound_of(word) == ""


def test_long_words_are_told_apart_behind_the_third_digit() -> None:
    assert sound_of("christensen") != sound_of("christopher")


def test_studies_come_newest_first_and_undated_ones_last() -> None:
    def study(uid: str, *dates: str) -> dict[str, Any]:
        return {"0020000D": {"vr": "UI", "Value": [uid]},
                "00080020": {"vr": "DA", "Value": list(dates)}}  # fmt: skip

    some = [study("1.1"), study("1.2", "20240101"), study("1.3", "20250101"), study("1.0", "bad")]
    some.sort(key=lambda attributes: order_key(Level.STUDY, attributes))
    assert [a["0020000D"]["Value"][0] for a in some] == ["1.3", "1.2", "1.0", "1.1"]
