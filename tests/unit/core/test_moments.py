"""Dates and times as one moment, and in the requester's time zone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.attributes import BY_TAG
from isocenter.core.errors import Invalid
from isocenter.core.matching import Key, Level, Search, matches
from isocenter.core.moments import DATE_TIMES, PAIRS, TIMEZONE, Moments, offset_text, zone_of

DATE, TIME, DATE_TIME = "00080020", "00080030", "0008002A"
ALL = frozenset({DATE, TIME, DATE_TIME, TIMEZONE})


def study(date: str = "", time: str = "", zone: str = "", at: str = ""):
    values = {DATE: ("DA", date), TIME: ("TM", time), TIMEZONE: ("SH", zone), DATE_TIME: ("DT", at)}
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in values.items() if value}


def keys(date: str = "", time: str = "", at: str = ""):
    return Key(DATE, "DA", (date,)), Key(TIME, "TM", (time,)), Key(DATE_TIME, "DT", (at,))


def answer(moments: Moments, attributes):
    """What comes of an attribute set: found by the index first, as in the query role."""
    if not matches(attributes, Search(Level.STUDY, moments.keys)):
        return None
    return moments.answer(attributes)


def test_the_table_has_every_pair_of_the_searchable_attributes():
    dates = {tag for tag, row in BY_TAG.items() if row.vr == "DA"}
    assert set(PAIRS) == dates
    assert set(PAIRS.values()) == {tag for tag, row in BY_TAG.items() if row.vr == "TM"}
    assert set(DATE_TIMES) == {tag for tag, row in BY_TAG.items() if row.vr == "DT"}


@pytest.mark.parametrize(
    ("date", "time", "at", "apart", "together"),
    [  # the standard's example, C.2.2.2.5.4
        ("20060705-20060707", "1000-1800", ("20060705", "0959"), False, False),
        ("20060705-20060707", "1000-1800", ("20060705", "1000"), True, True),
        ("20060705-20060707", "1000-1800", ("20060706", "0300"), False, True),
        ("20060705-20060707", "1000-1800", ("20060707", "180059.9"), True, True),
        ("20060705-20060707", "1000-1800", ("20060707", "1801"), False, False),
        ("20060705-", "1000-", ("20060706", "0300"), False, True),
        ("20060705-", "1000-", ("20060705", "0300"), False, False),
        ("-20060705", "-1000", ("20060704", "2300"), False, True),
        ("20060705-20060706", "2200-0200", ("20060705", "2330"), True, True),
        ("20060705-20060706", "2200-0200", ("20060705", "0100"), True, False),
        # Not of the same form: each by itself.
        ("20060705-20060707", "1000-", ("20060706", "0300"), False, False),
        ("20060705-20060707", "10", ("20060706", "1030"), True, True),
        ("20060705", "1000-1800", ("20060705", "1100"), True, True),
        # Without a time there is no moment.
        ("20060705-20060707", "1000-1800", ("20060706", ""), False, False),
    ],
)
def test_ranges_are_matched_as_one_where_that_is_negotiated(date, time, at, apart, together):
    found = study(*at)
    assert (answer(Moments(keys(date, time), ALL), found) is not None) is apart
    combined = Moments(keys(date, time), ALL, combined=True)
    assert (answer(combined, found) is not None) is together


def test_a_moment_that_ends_before_it_begins_is_refused():
    with pytest.raises(Invalid, match="later than the last"):
        Moments(keys("20060705-20060705", "1800-1000"), ALL, combined=True)


@pytest.mark.parametrize(
    ("asked", "found", "answered"),
    [
        (("20240102",), ("20240101", "2330", "+0000"), ("20240102", "003000")),
        (("20240101",), ("20240101", "2330", "+0000"), None),
        (("20240101",), ("20240101", "2330", "+0100"), ("20240101", "233000")),
        (("", "0000-0100"), ("20240101", "2330", "+0000"), ("20240102", "003000")),
        (("", "2300-2359"), ("20240101", "2330", "+0000"), None),
        (("20240101",), ("20240103", "0030", "+1400"), None),
        (("20240102",), ("20240103", "0030", "+1400"), ("20240102", "113000")),
        # In no known time zone, or no moment: as it stands.
        (("20240101",), ("20240101", "2330", ""), ("20240101", "2330")),
        (("20240101",), ("20240101", "", "+0000"), ("20240101", None)),
        (("20240101",), ("20240101", "2330", "nonsense"), ("20240101", "2330")),
    ],
)
def test_keys_and_answers_are_in_the_time_zone_of_the_identifier(asked, found, answered):
    moments = Moments(keys(*asked), ALL, zone=zone_of("+0100"))
    got = answer(moments, study(*found))
    if answered is None:
        assert got is None
        return
    assert got is not None
    assert got[DATE]["Value"] == [answered[0]]
    assert got.get(TIME, {"Value": [None]})["Value"] == [answered[1]]
    known = found[2] in ("+0000", "+0100", "+1400")
    assert got.get(TIMEZONE, {}).get("Value") == (["+0100"] if known else None)


@pytest.mark.parametrize(
    ("asked", "at", "answered"),
    [
        ("20240102003000", "20240101233000", "20240102003000+0100"),
        ("202401020000-202401020100", "20240101233000", "20240102003000+0100"),
        ("20240102-", "20240101233000.5", "20240102003000.500000+0100"),
        ("20240101233000+0000", "20240101233000", "20240102003000+0100"),
        ("20240101", "20240101233000", None),
        ("20240102", "20240102003000+0100", "20240102003000+0100"),
    ],
)
def test_date_times_without_an_offset_are_in_their_time_zone(asked, at, answered):
    moments = Moments(keys(at=asked), ALL, zone=zone_of("+0100"))
    got = answer(moments, study(zone="+0000", at=at))
    assert (got and got[DATE_TIME]["Value"]) == (answered and [answered])


def test_a_birth_date_is_in_no_time_zone():
    born = Key("00100030", "DA", ("19600101",))
    moments = Moments([born], {"00100030"}, zone=zone_of("+1200"))
    assert moments.keys == (born,)
    found = {**study("20240101", "0000", "-0500"), "00100030": {"vr": "DA", "Value": ["19600101"]}}
    assert answer(moments, found)["00100030"]["Value"] == ["19600101"]


@pytest.mark.parametrize("text", ["0100", "+01:00", "+1500", "-1300", "+0160", "Z", "+01000"])
def test_what_is_no_offset_is_refused(text):
    with pytest.raises(Invalid, match=r"\(0008,0201\)"):
        zone_of(text)


ZONES = st.integers(-12 * 4, 14 * 4).map(lambda q: timezone(timedelta(minutes=15 * q)))
DAYS = st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001
    lambda at: at.replace(microsecond=0)
)


@given(DAYS, DAYS, DAYS, ZONES, ZONES)
def test_moments_match_whatever_the_time_zones(low, high, at, theirs, ours):
    low, high = sorted((low, high))
    moments = Moments(
        keys(f"{low:%Y%m%d}-{high:%Y%m%d}", f"{low:%H%M%S}-{high:%H%M%S}"),
        ALL, combined=True, zone=theirs,
    )  # fmt: skip
    got = answer(moments, study(f"{at:%Y%m%d}", f"{at:%H%M%S}", offset_text(ours)))
    moment = at.replace(tzinfo=ours)
    assert (got is not None) is (
        low.replace(tzinfo=theirs) <= moment <= high.replace(tzinfo=theirs)
    )
    if got is not None:
        answered = got[DATE]["Value"][0] + got[TIME]["Value"][0]
        assert datetime.strptime(answered, "%Y%m%d%H%M%S").replace(tzinfo=theirs) == moment


@given(DAYS, DAYS, ZONES, ZONES)
def test_days_match_whatever_the_time_zones(day, at, theirs, ours):
    day = min(max(day, at - timedelta(days=2)), at + timedelta(days=2))
    moments = Moments(keys(f"{day:%Y%m%d}"), ALL, zone=theirs)
    got = answer(moments, study(f"{at:%Y%m%d}", f"{at:%H%M%S}", offset_text(ours)))
    there = at.replace(tzinfo=ours).astimezone(theirs)
    assert (got is not None) is (there.date() == day.date())


@given(st.text("0123456789-+.: ", max_size=20), st.text("0123456789-:. ", max_size=12))
def test_any_key_is_matched_or_refused(date, time):
    try:
        moments = Moments(keys(date, time, date), ALL, combined=True, zone=zone_of("+0100"))
    except Invalid:
        return
    answer(moments, study("20240101", "1200", "+0000", "20240101120000"))
