"""`isocenter audit list`: its lines, and what it says when there is nothing to show."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from isocenter.app import Process
from isocenter.cli.audit import list_records
from isocenter.cli.serving import only_one
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.settings import Settings, load

EVERYTHING: dict[str, Any] = {
    "since": None,
    "until": None,
    "actions": (),
    "who": "",
    "study": "",
    "patient": "",
    "limit": 50,
    "as_json": False,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(data=tmp_path)


async def test_an_empty_trail_is_told_with_where_records_may_still_be(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await list_records(settings, **EVERYTHING)
    told = capsys.readouterr()
    assert told.out == "no records\n"
    assert "are listed once `isocenter up` runs on" in told.err
    with only_one(settings.data):
        await list_records(settings, **{**EVERYTHING, "who": "MODALITY"})
    told = capsys.readouterr()
    assert told.out == "no records pass the filter\n"
    assert told.err == ""


async def test_an_action_that_is_none_is_refused_with_those_that_are(settings: Settings) -> None:
    with pytest.raises(Invalid, match=r"no action named 'look'; actions are: store, "):
        await list_records(settings, **{**EVERYTHING, "actions": ("look",)})


async def test_records_are_lines_for_people_or_json_for_programs(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    record = AuditEvent(
        action=AuditAction.EXPORT,
        outcome=AuditOutcome.FAILURE,
        source=Source("DIMSE", host="10.0.0.1", ae_title="[red]SCANNER"),
        at=datetime(2026, 1, 1, 12, tzinfo=UTC),
        id="r1",
        instance_count=3,
        detail="C-MOVE",
        destination="STORE",
    )
    env = Process(settings)
    await (await env.audit_index()).append([record])
    await env.close()
    await list_records(settings, **EVERYTHING)
    head, line, count = capsys.readouterr().out.splitlines()
    assert head.startswith("when (UTC)")
    told = ["2026-01-01", "12:00:00", "[red]SCANNER", "10.0.0.1", "export", "failure"]
    assert line.split() == [*told, "3", "C-MOVE", "STORE"]
    assert count == "1 of 1 records"
    await list_records(settings, **{**EVERYTHING, "as_json": True})
    assert json.loads(capsys.readouterr().out)["destination"] == "STORE"
