"""Whatever callers say, a record has bounds, and its texts can be encoded."""

from __future__ import annotations

from datetime import UTC, datetime

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.audit_bounds import LIST_LENGTH, TEXT_LENGTH, bounded
from isocenter.runtime.audit_records import decoded, encoded

AT = datetime(2026, 11, 26, tzinfo=UTC)


def record(**fields: object) -> AuditEvent:
    values: dict[str, object] = {
        "action": AuditAction.QUERY, "outcome": AuditOutcome.SUCCESS, "source": Source("DIMSE"),
        "at": AT, "id": "1",
    }  # fmt: skip
    return AuditEvent(**(values | fields))  # type: ignore[arg-type]


def test_a_usual_record_stays_as_it_is():
    usual = record(detail="C-FIND", patient_ids=("P1",), source=Source("DIMSE", user="Müller\n<b>"))
    assert bounded(usual) == usual


def test_what_is_too_long_is_cut_off_and_says_by_how_much():
    name = "x" * 1_000_000
    cut = bounded(record(source=Source("DIMSE", user=name), studies=("1.2",) * 150, query=name))
    assert cut.source.user.endswith(f"... (and {1_000_000 - TEXT_LENGTH} more characters)")
    assert len(cut.query) < TEXT_LENGTH + 50
    assert len(cut.studies) == LIST_LENGTH + 1
    assert cut.studies[-1] == "... (and 50 more)"
    assert len(encoded(cut)) < 20_000


def test_half_of_a_surrogate_pair_becomes_text():
    said = bounded(record(detail="a\ud800b", patient_ids=("\udfff",)))
    assert said.detail == r"a\ud800b"
    assert decoded(encoded(said)) == said


def test_what_is_cut_off_already_says_as_much_when_it_is_kept() -> None:
    texts = tuple(str(number) for number in range(300))
    source = Source("DIMSE", ae_title="\ud800" * 3000, host="x" * 2001)
    once = bounded(record(source=source, studies=texts, query="q" * 5000, error="\u00e9" * 2001))
    assert once.query.endswith("... (and 3000 more characters)")
    assert once.error.endswith("\u00e9... (and 1 more characters)")
    assert once.studies[-1] == "... (and 200 more)"
    assert bounded(once) == once
