"""Filters of the audit trail as parameters: read, refused with a reason, and written again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.audit import AuditFilter, words
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.web.audit_filters import MAX_LIMIT, limit_of, moment_text, read, written

_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=100)
_UIDS = st.lists(st.integers(0, 10**6), min_size=2, max_size=6).map(
    lambda parts: ".".join(map(str, parts))
)
_MOMENTS = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - they get one
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
FILTERS = st.builds(
    AuditFilter,
    since=st.none() | _MOMENTS.filter(lambda at: at.year < 2050),
    until=st.none() | _MOMENTS.filter(lambda at: at.year >= 2050),
    actions=st.lists(st.sampled_from(AuditAction), unique=True).map(tuple),
    outcomes=st.lists(st.sampled_from(AuditOutcome), unique=True).map(tuple),
    who=st.just("") | _NAMES,
    patient_id=st.just("") | _NAMES,
    study=st.just("") | _UIDS,
    instance=st.just("") | _UIDS,
    place=st.just("") | _NAMES,
    text=st.just("") | _NAMES.filter(words),
)


@given(FILTERS)
def test_what_is_written_is_read_again(which: AuditFilter) -> None:
    assert read(written(which)) == which


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-26", datetime(2026, 11, 26, tzinfo=UTC)),
        ("2026-11-26T17:00", datetime(2026, 11, 26, 17, tzinfo=UTC)),
        ("2026-11-26 17:00:01", datetime(2026, 11, 26, 17, 0, 1, tzinfo=UTC)),
        ("2026-11-26T17:00:01.5Z", datetime(2026, 11, 26, 17, 0, 1, 500000, tzinfo=UTC)),
        ("2026-11-26T17:00:00+01:00", datetime(2026, 11, 26, 16, tzinfo=UTC)),
    ],
)
def test_times_are_in_utc_unless_they_say_another_zone(text: str, moment: datetime) -> None:
    assert read([("since", text)]).since == moment
    assert read([("since", moment_text(moment))]).since == moment


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("since", "yesterday", "2026-11-26"),
        ("since", "20261126", "no date"),
        ("until", "2026-02-30", "no date"),
        ("since", "2026-11-26T17:00:00 01:00", "%2B"),
        ("since", "9999-12-31T23:59:59-12:00", "no date"),
        ("action", "look", "retrieve"),
        ("outcome", "0", "minor-failure"),
        ("who", "eva*", "without wildcards"),
        ("patient", "P?", "text="),
        ("place", "*", "without wildcards"),
        ("study", "1.2.*", "UID"),
        ("instance", "x", "UID"),
        ("text", "***", "no word"),
        ("text", "x" * 257, "256"),
        ("who", "", "no value"),
        ("name", "x", "since, until"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_what_to_do(
    name: str, value: str, says: str
) -> None:
    with pytest.raises(Invalid) as refused:
        read([(name, value)])
    assert says in str(refused.value)


@pytest.mark.parametrize("name", ["who", "patient", "study", "instance", "place", "text"])
def test_refusals_do_not_repeat_what_may_be_of_a_patient(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        read([(name, "QZMARKZQ*" + "x" * 300)])
    assert "QZMARKZQ" not in str(refused.value)


def test_characters_of_wildcards_can_be_meant() -> None:
    assert read([("who", r"A\*B\?"), ("place", "DOMAIN\\eva")]) == AuditFilter(
        who="A*B?", place="DOMAIN\\eva"
    )


def test_only_action_and_outcome_are_repeated() -> None:
    twice = [("action", "store"), ("action", "query"), ("action", "store"), ("outcome", "failure")]
    assert read(twice) == AuditFilter(
        actions=(AuditAction.STORE, AuditAction.QUERY), outcomes=(AuditOutcome.FAILURE,)
    )
    with pytest.raises(Invalid, match="twice"):
        read([("who", "a"), ("who", "b")])


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(Invalid, match="since is not before until"):
        read([("since", "2026-11-26"), ("until", "2026-11-26")])


def test_a_form_sends_what_it_does_not_ask_for_as_blanks() -> None:
    pairs = [("since", ""), ("who", "  "), ("patient", " P1 "), ("text", "")]
    assert read(pairs, blank=True) == AuditFilter(patient_id="P1")


def test_pages_are_bounded() -> None:
    assert (limit_of(""), limit_of("1"), limit_of(str(MAX_LIMIT))) == (100, 1, MAX_LIMIT)
    for text in ("0", "1001", "-1", "1.5", "x", "٣", "9" * 30):
        with pytest.raises(Invalid, match="1 to 1000"):
            limit_of(text)
