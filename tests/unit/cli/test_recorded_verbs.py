"""What verbs that read objects leave in the audit trail: how much was looked at, and what is
damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from isocenter.app import Process
from isocenter.cli import recording
from isocenter.cli.backup import backup
from isocenter.cli.care import import_files, verify
from isocenter.cli.drill import drill, drill_backup
from isocenter.cli.recording import verification
from isocenter.core.errors import NotFound
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome
from isocenter.core.identity import ObjectName
from isocenter.indexing import drilling
from isocenter.runtime.event_codec import decode
from isocenter.settings import Settings, load
from support.datasets import tiny, write
from support.kept import ObjectFiles

COUNT = 3


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """An installation with a few objects, none of them damaged."""
    settings = load(data=tmp_path / "data", flags={"storage.reserve_bytes": "0"})
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(COUNT):
        write(tiny(), folder / f"{number}.dcm")
    await import_files(settings, [folder])
    return settings


def damage(settings: Settings, count: int) -> list[ObjectName]:
    """Change the first objects behind the back of everyone; their names."""
    kept = ObjectFiles(settings.data)
    damaged = sorted(kept.contents().items())[:count]
    for key, content in damaged:
        kept.overwrite(key, content[:-1] + b"\xff")
    return [name for key, _ in damaged if (name := ObjectName.from_key(key))]


async def verifications(settings: Settings) -> list[AuditEvent]:
    env = Process(settings)
    try:
        bus = await env.bus()
        events = [decode(delivery) async for delivery in bus.replay(TOPIC_AUDIT)]
    finally:
        await env.close()
    return [e for e in events if isinstance(e, AuditEvent) and e.action is AuditAction.VERIFY]


async def test_a_verification_says_how_many_objects_it_looked_at(settings: Settings) -> None:
    assert await verify(settings, "") == 0
    (record,) = await verifications(settings)
    assert (record.outcome, record.detail, record.error) == (AuditOutcome.SUCCESS, "verify", "")
    assert (record.instance_count, record.instances, record.digests) == (COUNT, (), ())
    assert (record.source.protocol, bool(record.source.user)) == ("CLI", True)


async def test_a_verification_names_what_is_damaged_with_its_digest(settings: Settings) -> None:
    damaged = damage(settings, 2)
    assert await verify(settings, "") == 1
    (record,) = await verifications(settings)
    assert record.outcome is AuditOutcome.FAILURE
    assert record.instances == tuple(one.name.instance for one in damaged)
    assert record.digests == tuple(one.digest for one in damaged)
    assert record.studies == tuple(one.name.study for one in damaged)
    assert record.instance_count == COUNT
    assert record.error == "2 objects are not as they were stored"


async def test_however_many_are_damaged_all_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "LIST_LENGTH", 2)
    damaged = damage(settings, COUNT)
    await verify(settings, "")
    records = await verifications(settings)
    assert [len(record.instances) for record in records] == [2, 1]
    named = [instance for record in records for instance in record.instances]
    assert named == [one.name.instance for one in damaged]


async def test_a_verification_of_a_study_names_it_also_if_there_is_nothing(
    settings: Settings,
) -> None:
    with pytest.raises(NotFound):
        await verify(settings, "1.2.3")
    (record,) = await verifications(settings)
    assert (record.studies, record.outcome) == (("1.2.3",), AuditOutcome.FAILURE)
    assert "no object of the study" in record.error


async def test_a_verification_that_is_broken_off_is_recorded_as_that(settings: Settings) -> None:
    env = Process(settings)

    async def interrupted() -> None:
        async with verification(env, "verify") as checked:
            checked.objects += 1
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            await interrupted()
    finally:
        await env.close()
    (record,) = await verifications(settings)
    assert (record.outcome, record.error) == (AuditOutcome.FAILURE, "broken off")
    assert record.instance_count == 1


async def test_a_drill_is_recorded_with_what_it_found(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drilling, "_PATIENCE", 0.1)  # nobody indexes here
    backups = tmp_path / "backups"
    assert await backup(settings, backups, None) == 0
    assert await drill_backup(settings, backups, None, 1.0) == 0
    (damaged,) = damage(settings, 1)
    assert await drill(settings, 1.0) == 1
    whole, found = await verifications(settings)
    assert whole.detail.startswith("drill of the backup ")
    assert (whole.outcome, whole.instance_count) == (AuditOutcome.SUCCESS, COUNT)
    assert (found.detail, found.outcome) == ("drill", AuditOutcome.FAILURE)
    assert found.digests == (damaged.digest,)


async def test_a_drill_of_a_backup_makes_no_data_directory_for_its_record(
    settings: Settings, tmp_path: Path
) -> None:
    backups, elsewhere = tmp_path / "backups", tmp_path / "elsewhere"
    await backup(settings, backups, None)
    assert await drill_backup(load(data=elsewhere), backups, None, 1.0) == 0
    assert not elsewhere.exists()
