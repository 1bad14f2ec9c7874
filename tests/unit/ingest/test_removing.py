"""Deletion on request: what is told and recorded, what is refused, and its undoing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.access import SYSTEM
from isocenter.core.errors import Invalid, NotFound, Unavailable
from isocenter.core.events import (
    TOPIC_INSTANCES,
    AuditAction,
    ConflictPolicy,
    InstanceDeleted,
    InstanceStored,
)
from isocenter.core.matching import Level, Search
from isocenter.ingest import removing
from isocenter.ingest.settings import IngestSettings
from support.archive import SOURCE, Archive, values
from support.datasets import ct_image, tiny

INSTANCES = Search(Level.INSTANCE, include_all=True)


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    index = await SqliteIndex.open(tmp_path / "index")
    archive = Archive(index)
    async with archive.running():
        yield archive
    await index.close()


async def filled(archive: Archive) -> list[InstanceStored]:
    """Two series of two instances, one of which has two versions."""
    events = [
        await archive.store(tiny("1.2", "1.3", "1.3.1", PatientID="P7")),
        await archive.store(tiny("1.2", "1.3", "1.3.2", PatientID="P7")),
        await archive.store(tiny("1.2", "1.4", "1.4.1", PatientID="P7")),
        await archive.store(ct_image(16, 16, study="1.2", series="1.4", patient_id="P7")),
        await archive.store(tiny("1.2", "1.3", "1.3.1", PatientID="P8")),
    ]
    await archive.caught_up()
    return events


@pytest.mark.parametrize(
    ("level", "instances", "objects"),
    [(("1.2", "", ""), 4, 5), (("1.2", "1.3", ""), 2, 3), (("1.2", "1.3", "1.3.1"), 1, 2)],
)
async def test_a_level_is_deleted_and_restored(archive, level, instances, objects) -> None:
    await filled(archive)
    before = await archive.everything(), await archive.keys("objects/")
    remover = archive.remover()
    deletion = await remover.delete(SYSTEM, "main", *level, SOURCE, "wrong patient")
    assert (deletion.instances, deletion.objects, deletion.kept) == (instances, objects, objects)
    assert deletion.keep_until - deletion.at == timedelta(days=7)
    left = await archive.answers(INSTANCES)
    assert len(left) == 4 - instances
    kept = [one async for one in archive.storage.instances(SYSTEM, "main", "1.2")]
    assert len(kept) == 4 - instances
    told = await archive.events(TOPIC_INSTANCES, InstanceDeleted)
    by = replace(SOURCE, purpose="wrong patient")  # in the record that each of them is
    assert {(e.deletion, e.reason, e.source) for e in told} == {(deletion.id, "wrong patient", by)}
    (record,) = [r for r in archive.audit.records if r["action"] is AuditAction.DELETE]
    assert record["patient_ids"] == ("P7",)
    assert (record["studies"], record["instance_count"]) == (("1.2",), instances)
    assert "wrong patient" in record["detail"]
    assert [one async for one in remover.deletions(SYSTEM, "main")] == [deletion]

    restored = await remover.restore(SYSTEM, "main", deletion.id, SOURCE)
    assert restored.kept == 0
    await archive.caught_up()
    assert (await archive.everything(), await archive.keys("objects/")) == before
    assert [one async for one in remover.deletions(SYSTEM, "main")] == []
    assert "restored" in archive.audit.records[-1]["detail"]
    with pytest.raises(NotFound):
        await remover.restore(SYSTEM, "main", deletion.id, SOURCE)


async def test_what_another_process_deleted_whose_clock_is_ahead_is_restored(
    archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(archive)

    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=5)

    with monkeypatch.context() as another:
        another.setattr(removing, "datetime", Ahead)
        deletion = await archive.remover().delete(SYSTEM, "main", "1.2", "", "", SOURCE, "")
    assert deletion.kept == 5
    assert (await archive.remover().restore(SYSTEM, "main", deletion.id, SOURCE)).kept == 0
    await archive.caught_up()
    assert len(await archive.answers(INSTANCES)) == 4


async def test_what_comes_after_the_deletion_stays(archive) -> None:
    await filled(archive)
    deletion = await archive.remover().delete(SYSTEM, "main", "1.2", "", "", SOURCE, "")
    await archive.store(tiny("1.2", "1.3", "1.3.9", PatientID="NEW"))
    await archive.caught_up()
    assert values(await archive.answers(INSTANCES), "00100020") == ["NEW"]
    await archive.remover().restore(SYSTEM, "main", deletion.id, SOURCE)
    await archive.caught_up()
    assert len(await archive.answers(INSTANCES)) == 5


@pytest.mark.parametrize("level", [("1.9", "", ""), ("1.2", "1.9", ""), ("1.2", "1.3", "1.9")])
async def test_what_is_not_there_cannot_be_deleted(archive, level) -> None:
    await filled(archive)
    with pytest.raises(NotFound):
        await archive.remover().delete(SYSTEM, "main", *level, SOURCE, "")
    assert await archive.keys("deletions/") == []


async def test_a_reason_has_an_end(archive) -> None:
    await filled(archive)
    with pytest.raises(Invalid, match="200"):
        await archive.remover().delete(SYSTEM, "main", "1.2", "", "", SOURCE, "x" * 201)


@pytest.mark.parametrize("name", ["", "../..", "nothing", f"{'0' * 16}-{'0' * 16}-{'0' * 8}"])
async def test_what_is_no_deletion_cannot_be_restored(archive, name) -> None:
    with pytest.raises(NotFound):
        await archive.remover().restore(SYSTEM, "main", name, SOURCE)


async def test_near_its_end_a_deletion_is_not_undone_any_more(archive) -> None:
    await filled(archive)
    remover = archive.remover(IngestSettings(keep_deleted_hours=0.01))
    deletion = await remover.delete(SYSTEM, "main", "1.2", "", "", SOURCE, "")
    with pytest.raises(NotFound, match="any more"):
        await remover.restore(SYSTEM, "main", deletion.id, SOURCE)


async def test_without_its_audit_record_nothing_is_deleted(archive, monkeypatch) -> None:
    await filled(archive)

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the log is away")

    monkeypatch.setattr(archive.audit, "record", away)
    with pytest.raises(Unavailable):
        await archive.remover().delete(SYSTEM, "main", "1.2", "", "", SOURCE, "")
    assert await archive.keys("deletions/") == await archive.keys("deleted/") == []
    assert len(await archive.answers(INSTANCES)) == 4


async def test_while_indexing_is_away_it_is_told_that_the_rest_follows(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path / "index")
    archive = Archive(index)
    await archive.store(tiny("1.2", "1.3", "1.4"), ConflictPolicy.KEEP_FIRST)
    await archive.index_all()
    deletion = await archive.remover(IngestSettings(announce_seconds=0.1)).delete(
        SYSTEM, "main", "1.2", "", "", SOURCE, ""
    )
    assert (deletion.objects, deletion.kept) == (1, 0)
    await archive.index_all()
    assert [one.kept async for one in archive.remover().deletions(SYSTEM, "main")] == [1]
    await index.close()
