"""`isocenter audit saved` and `hold`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from isocenter.core.events import AuditAction, Source
from support.audited import Commands, event


def test_a_search_is_saved_listed_made_and_removed(audit: Commands) -> None:
    now = datetime.now(UTC)
    ct2 = Source("DIMSE", ae_title="CT2")
    audit.keep(
        event(1, id="old", source=ct2, at=now - timedelta(days=9)),
        event(2, id="new", source=ct2, at=now - timedelta(days=1)),
        event(3, id="other", at=now - timedelta(days=1)),
    )
    assert audit("saved", "list") == "no saved searches\n"
    assert audit("saved", "add", "CT2, week", "--who", "CT2", "--days", "7") == "saved: CT2, week\n"
    head, line = audit("saved", "list").splitlines()
    assert head.split()[0] == "name"
    assert line.startswith("CT2, week  ")
    assert line.endswith("  the last 7 days who=CT2")
    found = audit("saved", "run", "CT2, week", "--json").splitlines()
    assert [json.loads(one)["id"] for one in found] == ["new"]
    audit("saved", "add", "CT2, week", "--who", "CT2")  # in its place
    assert "2 of 2 records" in audit("saved", "run", "CT2, week", "--all", "--ids")
    (kept,) = [json.loads(one) for one in audit("saved", "list", "--json").splitlines()]
    assert (kept["name"], kept["which"]["who"], kept["days"]) == ("CT2, week", "CT2", 0)
    assert audit("saved", "remove", "CT2, week") == "removed: CT2, week\n"
    audit("saved", "run", "CT2, week", code=1)
    assert "no saved search is named 'CT2, week'" in audit.err
    audit("saved", "remove", "CT2, week", code=1)
    assert "there is nothing named" in audit.err
    details = [one.detail for one in audit.left()]
    assert "saved search CT2, week: who=CT2" in details
    assert "saved search CT2, week: removed" in details
    assert "audit trail saved searches" in details
    assert "audit trail list" in details


def test_a_search_that_cannot_be_is_not_saved(audit: Commands) -> None:
    audit("saved", "add", "a", "--days", "7", "--since", "2026-01-01", code=1)
    assert "--days and --since" in audit.err
    audit("saved", "add", "a", "--who", "CT*", code=1)
    assert "matched exactly" in audit.err
    audit("saved", "add", " ", code=1)
    assert "the name is empty" in audit.err
    assert audit("saved", "list", "--json") == ""


def test_a_legal_hold_has_a_name_a_reason_and_an_end(audit: Commands) -> None:
    assert audit("hold", "list") == "no legal holds\n"
    audit("hold", "add", "case 7", code=2)
    audit("hold", "add", "case 7", "--reason", " ", code=1)
    assert "needs a reason" in audit.err
    assert audit("hold", "add", "case 7", "--reason", "asked for by the court").startswith(
        "held: case 7;"
    )
    audit("hold", "add", "case 7", "--reason", "again", code=1)
    assert "choose another name" in audit.err
    _, line = audit("hold", "list").splitlines()
    assert line.startswith("case 7  ")
    assert line.endswith("  asked for by the court")
    (held,) = [json.loads(one) for one in audit("hold", "list", "--json").splitlines()]
    assert held["by"]["protocol"] == "CLI"
    assert audit("hold", "release", "case 7") == "released: case 7\n"
    assert audit("hold", "list") == "no legal holds\n"
    records = [one for one in audit.left() if one.detail.startswith("legal hold case 7")]
    assert {one.action for one in records} == {AuditAction.AUDIT}
    details = [one.detail for one in records]
    assert "legal hold case 7: asked for by the court" in details
    assert details[-1] == "legal hold case 7: released"
