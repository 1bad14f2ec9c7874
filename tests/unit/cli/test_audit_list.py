"""`isocenter audit list`, `count` and `show`: what they print, and what they say when there is
nothing to show."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from isocenter.cli.audit_filters import filter_of
from isocenter.cli.serving import only_one
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.runtime.audit_ids import name_of
from isocenter.runtime.audit_reading import filter_text
from support.audited import HOSTILE, Commands, event


def test_an_empty_trail_is_told_with_where_records_may_still_be(audit: Commands) -> None:
    assert audit("list") == "no records\n"
    assert "are listed once `isocenter up` runs on" in audit.err
    with only_one(audit.trail.data):
        assert audit("list", "--who", "MODALITY") == "no records pass the filter\n"
    assert audit.err == ""


def test_records_are_lines_for_people_or_json_for_programs(audit: Commands) -> None:
    record = event(
        1,
        action=AuditAction.EXPORT,
        outcome=AuditOutcome.FAILURE,
        source=Source("DIMSE", host="10.0.0.1", ae_title="[red]SCANNER"),
        at=datetime(2026, 1, 1, 12, tzinfo=UTC),
        id="r1",
        instance_count=3,
        destination="STORE",
    )
    audit.keep(record)
    head, line, count = audit("list").splitlines()
    assert head.startswith("when (UTC)")
    words = ["2026-01-01", "12:00:00", "[red]SCANNER", "10.0.0.1", "export", "failure"]
    assert line.split() == [*words, "3", "C-MOVE", "STORE"]
    assert count == "1 of 1 records"
    assert audit("list", "--ids").splitlines()[1].endswith("  r1")
    listed = json.loads(audit("list", "--json"))
    assert listed["destination"] == "STORE"
    assert (listed["chain"], listed["sequence"]) == ("audit-0", 1)


def test_pages_follow_each_other_until_all_was_seen(audit: Commands) -> None:
    audit.keep(*[event(number) for number in range(25)])

    def ids(*words: str) -> list[str]:
        return [json.loads(line)["id"] for line in audit("list", "--json", *words).splitlines()]

    everything = ids("--all")
    assert everything == [f"host/up-{number}" for number in reversed(range(25))]
    first = ids("--limit", "10")
    assert first + ids("--limit", "20", "--before", first[-1]) == everything
    assert "10 of 25 records" in audit("list", "--limit", "10")
    assert "there is no audit record" in audit("list", "--before", "nobody", code=1) + audit.err


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--who", "CT2"], "b"),
        (["--action", "query", "--action", "delete"], "a"),
        (["--outcome", "failure"], "b"),
        (["--study", "1.2.99"], "a"),
        (["--instance", "1.2.99.1.1"], "a"),
        (["--patient", "P 99"], "a"),
        (["--place", "ARCHIVE2"], "b"),
        (["--text", "abgelehnt"], "b"),
        (["--since", "2026-01-01T12:10"], "b"),
        (["--until", "2026-01-01T13:05:00+01:00"], "a"),
    ],
)
def test_filters_choose_records(audit: Commands, words: list[str], found: str) -> None:
    a = event(
        1, id="a", action=AuditAction.QUERY, studies=("1.2.99",), instances=("1.2.99.1.1",),
        patient_ids=("P 99",),
    )  # fmt: skip
    b = event(
        10, id="b", outcome=AuditOutcome.FAILURE, source=Source("DIMSE", ae_title="CT2"),
        destination="ARCHIVE2", error="Abgelehnt: voll",
    )  # fmt: skip
    audit.keep(a, b)
    assert [json.loads(line)["id"] for line in audit("list", "--json", *words).splitlines()] == [
        found
    ]
    assert audit("count", *words) == "1\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--action", "look"], "there is no action 'look'"),
        (["--outcome", "good"], "there is no outcome 'good'"),
        (["--who", "CT*"], "matched exactly"),
        (["--patient", "P?"], "--text"),
        (["--place", "*"], "matched exactly"),
        (["--study", "1.2.x"], "not a UID"),
        (["--instance", "*"], "not a UID"),
        (["--text", "!!"], "no word"),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "is not before"),
    ],
)
def test_a_filter_that_can_find_nothing_is_refused(
    audit: Commands, words: list[str], why: str
) -> None:
    audit("list", *words, code=1)
    assert why in audit.err


def test_a_date_that_is_none_is_a_mistake_of_the_command_line(audit: Commands) -> None:
    audit("list", "--since", "2026-13-01", code=2)
    assert "'2026-13-01'" in audit.err


def test_an_asterisk_can_be_looked_for_itself(audit: Commands) -> None:
    audit.keep(event(1, source=Source("DIMSE", ae_title="CT*")), event(2))
    assert audit("count", "--who", r"CT\*") == "1\n"
    with pytest.raises(Invalid, match="exactly"):
        filter_of(who="CT*")


def test_counts_are_of_what_is_asked(audit: Commands) -> None:
    audit.keep(event(1), event(2), event(61, action=AuditAction.DELETE))
    assert audit("count") == "3\n"
    counts = [
        line.split() for line in audit("count", "--by", "hour", "--by", "action").splitlines()
    ]
    assert sorted(counts) == [
        ["1", "2026-01-01T13", "delete"],
        ["2", "2026-01-01T12", "retrieve"],
    ]


def test_a_record_is_shown_with_its_place_and_whether_it_is_sealed(audit: Commands) -> None:
    audit.keep(event(1, id="host/a", digests=("0" * 64,)))
    audit.keep(event(2, id="host/b"), seal=False)
    shown = dict(line.split(maxsplit=1) for line in audit("show", "host/a").splitlines())
    assert shown["chain"] == "audit-0"
    assert shown["number"] == "1"
    assert shown["digests"] == "0" * 64
    assert shown["sealed"] == "yes"
    assert "sealed            not yet" in audit("show", "host/b")
    told_of = json.loads(audit("show", "host/b", "--json"))
    assert (told_of["id"], told_of["sequence"], told_of["sealed"]) == ("host/b", 2, False)
    assert audit("show", name_of(event(1, id="host/a"))) == audit("show", "host/a")
    audit("show", "host/c", code=1)
    assert "there is no audit record host/c" in audit.err
    assert "--ids" in audit.err


def test_nothing_that_a_caller_sent_steers_the_terminal(audit: Commands) -> None:
    audit.keep(event(1, id=HOSTILE, detail=HOSTILE, source=Source("DICOMweb", user=HOSTILE)))
    for words in (["list", "--ids"], ["show", HOSTILE], ["count", "--by", "who"]):
        printed = audit(*words)
        assert printed.replace("\n", "").isprintable()
        assert r"\x1b[31m" in printed
    assert json.loads(audit("list", "--json"))["detail"] == HOSTILE


def test_every_reading_leaves_a_record_of_what_was_asked(audit: Commands) -> None:
    audit.keep(event(1, id="a"))
    audit("list", "--patient", "P1", "--study", "1.2.1", "--since", "2026-01-01")
    audit("count", "--instance", "1.2.3")
    audit("show", "a")
    audit("show", "b", code=1)
    listed, counted, *shown = audit.left()
    assert {one.action for one in (listed, counted, *shown)} == {AuditAction.AUDIT}
    assert (listed.patient_ids, listed.studies) == (("P1",), ("1.2.1",))
    assert listed.detail == "audit trail list"
    assert listed.query == "since=2026-01-01T00:00:00+00:00&patient_id=P1&study=1.2.1"
    assert counted.instances == ("1.2.3",)
    assert [one.detail for one in shown] == ["audit trail record a", "audit trail record b"]
    assert listed.source.protocol == "CLI"
    assert listed.source.user


def test_a_filter_is_told_on_one_line() -> None:
    which = filter_of(action=["query", "store"], outcome=["failure"], text="a b")
    assert filter_text(which) == "actions=query,store&outcomes=failure&text=a b"
