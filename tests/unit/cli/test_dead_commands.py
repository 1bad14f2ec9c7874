"""`isocenter dead`: letters are listed, shown without the patient, replayed and discarded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from isocenter.app import Process
from isocenter.cli.dead import discard_letters, list_letters, replay_letters, show_letter
from isocenter.core.errors import Invalid, NotFound
from isocenter.core.events import (
    DEAD_SUFFIX,
    TOPIC_AUDIT,
    TOPIC_INSTANCES,
    AuditAction,
    AuditEvent,
    ConflictPolicy,
)
from isocenter.runtime.event_codec import decode, encode
from isocenter.settings import Settings, load
from support.archive import announcement
from support.datasets import tiny

LETTER = "isocenter.instances/0/1"  # the embedded log counts from 1
OTHER = "isocenter.instances/0/2"


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    """An installation with two dead letters."""
    settings = load(data=tmp_path / "data")
    stored, _ = announcement(
        tiny(PatientID="SECRET", PatientName="Secret^Name"), ConflictPolicy.REJECT
    )
    env = Process(settings)
    bus = await env.bus()
    for study in ("1.2", "1.5"):
        event = replace(stored, name=replace(stored.name, study=study), patient_id="SECRET")
        record = encode(event)
        dead = replace(record, headers={**record.headers, "error": "[its] object is gone"})
        await bus.append(TOPIC_INSTANCES + DEAD_SUFFIX, [dead])
    await env.close()
    return settings


async def held(settings: Settings, topic: str) -> list[object]:
    env = Process(settings)
    try:
        return [decode(delivery) async for delivery in (await env.bus()).replay(topic)]
    finally:
        await env.close()


async def test_open_letters_are_listed_until_something_is_done_with_them(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await list_letters(settings, "", everything=False)
    head, one, two = capsys.readouterr().out.splitlines()
    assert head.split() == ["when", "(UTC)", "letter", "event", "bytes", "state", "error"]
    assert LETTER in one
    assert "InstanceStored" in one
    assert one.endswith("open        [its] object is gone")
    assert OTHER in two
    await discard_letters(settings, [LETTER, LETTER], "of a test")
    assert "discarded: 1 letters" in capsys.readouterr().err
    await list_letters(settings, TOPIC_INSTANCES, everything=False)
    assert LETTER not in capsys.readouterr().out
    await list_letters(settings, "", everything=True)
    assert "discarded" in capsys.readouterr().out
    await list_letters(settings, TOPIC_AUDIT, everything=False)
    assert capsys.readouterr().out == "no open dead letters\n"
    with pytest.raises(Invalid, match=r"topics are: isocenter\.instances"):
        await list_letters(settings, "instances", everything=False)


async def test_a_letter_is_shown_without_what_identifies_the_patient(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await show_letter(settings, LETTER)
    told = capsys.readouterr().out
    assert "SECRET" not in told.upper()
    shown = json.loads(told)
    assert shown["error"] == "[its] object is gone"
    assert shown["type"] == "isocenter.v1.InstanceStored"
    assert shown["bytes"] > 0
    assert shown["event"]["name"]["study"] == shown["key"] == "1.2"
    assert shown["event"]["header"] == shown["event"]["patient_id"] == "(not shown)"
    assert shown["event"]["policy"] == "reject"
    assert shown["headers"]["ce_id"]
    assert shown["resolved"] is None


async def test_an_event_is_replayed_once_and_who_did_it_is_audited(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await replay_letters(settings, [LETTER], everything=False)
    (event,) = await held(settings, TOPIC_INSTANCES)
    assert event.name.study == "1.2"
    with pytest.raises(Invalid, match="replayed already"):
        await replay_letters(settings, [LETTER], everything=False)
    await replay_letters(settings, [], everything=True)
    assert capsys.readouterr().err == "replayed: 1 letters\n" * 2
    assert len(await held(settings, TOPIC_INSTANCES)) == 2
    records = [e for e in await held(settings, TOPIC_AUDIT) if isinstance(e, AuditEvent)]
    assert [record.action for record in records] == [AuditAction.SECURITY] * 2
    assert all(record.source.user for record in records)
    await show_letter(settings, LETTER)
    assert json.loads(capsys.readouterr().out)["resolved"]["fate"] == "replayed"


async def test_nothing_is_replayed_by_mistake(settings: Settings) -> None:
    with pytest.raises(Invalid, match="--all"):
        await replay_letters(settings, [], everything=False)
    with pytest.raises(Invalid, match="--all"):
        await replay_letters(settings, [LETTER], everything=True)
    with pytest.raises(NotFound):
        await replay_letters(settings, [LETTER, "isocenter.instances/0/99"], everything=False)
    with pytest.raises(Invalid, match="--reason"):
        await discard_letters(settings, [LETTER], " ")
    assert await held(settings, TOPIC_INSTANCES) == []
