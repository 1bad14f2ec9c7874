"""`isocenter backup`, `restore` and `drill` on a data directory that nobody serves."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from isocenter.app import Process
from isocenter.cli.backup import backup
from isocenter.cli.care import import_files, rebuild
from isocenter.cli.common import UNFINISHED, make_data, require_data
from isocenter.cli.drill import drill, drill_backup
from isocenter.cli.restore import restore
from isocenter.core.errors import Invalid, NotFound, Unavailable
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome
from isocenter.core.identity import ObjectName, outbox_key
from isocenter.runtime.event_codec import decode
from isocenter.settings import Settings, load
from support.datasets import tiny, write


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """Of a data directory with two studies, of which one has two instances."""
    settings = load(data=tmp_path / "data", flags={"storage.reserve_bytes": "0"})
    files = tmp_path / "files"
    files.mkdir()
    for number, names in enumerate((("1.1", "1.2", "1.3"), ("1.1", "1.2", "1.4"), ("2.1",) * 3)):
        write(tiny(*names), files / f"{number}.dcm")
    assert await import_files(settings, [files]) == 0
    assert await rebuild(settings) == 0
    return settings


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def elsewhere(settings: Settings, folder: str) -> Settings:
    return settings.model_copy(update={"data": settings.data.with_name(folder)})


def objects(folder: Path) -> dict[str, str]:
    """Path below `objects` -> SHA-256 of the content."""
    found = [path for path in folder.rglob("*.dcm") if "objects" in path.parts]
    return {
        path.as_posix().rpartition("/objects/")[2]: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
    }


async def exports(settings: Settings) -> list[AuditEvent]:
    """The records of exports, and of what comes back, in the log."""
    env = Process(settings)
    try:
        bus = await env.bus()
        events = [decode(delivery) async for delivery in bus.replay(TOPIC_AUDIT)]
    finally:
        await env.close()
    kinds = (AuditAction.EXPORT, AuditAction.IMPORT)
    return [e for e in events if isinstance(e, AuditEvent) and e.action in kinds]


def change(settings: Settings, table: str, uid: str, tag: str, value: object) -> None:
    """Change what the search index answers, behind the back of everyone."""
    (path,) = settings.data.glob("index/index-*.sqlite")
    with closing(sqlite3.connect(path)) as db, db:
        (doc,) = db.execute(f"SELECT doc FROM {table} WHERE uid = ?", (uid,)).fetchone()
        answer = json.loads(doc)
        answer[tag]["Value"] = [value]
        changed = json.dumps(answer).encode()
        db.execute(f"UPDATE {table} SET doc = ? WHERE uid = ?", (changed, uid))


async def test_a_restored_directory_is_as_the_one_that_was_backed_up(
    settings: Settings, backups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await backup(settings, backups, None) == 0
    restored = elsewhere(settings, "restored")
    assert await restore(restored, backups, None) == 0
    told = capsys.readouterr()
    assert "3 objects" in told.out
    assert "indexed: 3 instances" in told.err
    assert objects(restored.data) == objects(settings.data)
    assert len(objects(settings.data)) == 3
    assert await drill(restored, 1.0) == 0
    require_data(restored)
    # The same backups go on where they were.
    assert await backup(restored, backups, None) == 0
    assert len(list(backups.glob("backups/*/manifest.json"))) == 2


async def test_backup_and_restore_leave_records_in_the_audit_trail(
    settings: Settings, backups: Path
) -> None:
    await backup(settings, backups, None)
    begin, end = await exports(settings)
    assert begin.destination == end.destination == str(backups)
    assert (begin.detail, end.instance_count) == ("backup, beginning", 3)
    restored = elsewhere(settings, "restored")
    await restore(restored, backups, None)
    *before, last = await exports(restored)
    assert before == [begin], "the backup holds the record of itself"
    assert last.detail.startswith("restore of the backup")
    assert last.action is AuditAction.IMPORT
    assert (last.instance_count, last.destination) == (3, str(restored.data))


async def test_a_backup_that_fails_is_in_the_audit_trail_too(
    settings: Settings, backups: Path
) -> None:
    await backup(settings, backups, None)
    (backups / "pool").rename(backups / "away")
    (backups / "pool").touch()
    with pytest.raises(Unavailable):
        await backup(settings, backups, None)
    last = (await exports(settings))[-1]
    assert last.outcome is AuditOutcome.FAILURE
    assert str(backups / "pool") in last.error
    assert len(list(backups.glob("backups/*/manifest.json"))) == 1


async def test_an_event_that_waits_in_the_outbox_is_in_the_backup(
    settings: Settings, backups: Path
) -> None:
    env = Process(settings)
    key = outbox_key(TOPIC_AUDIT, "1-a")
    await (await env.storage()).put(key, [b"event"], hashlib.sha256(b"event").hexdigest())
    await env.close()
    await backup(settings, backups, None)
    restored = elsewhere(settings, "restored")
    await restore(restored, backups, None)
    env = Process(restored)
    assert await (await env.blobs()).get(key) == b"event"
    await env.close()


async def test_nothing_is_restored_over_what_is_there(settings: Settings, backups: Path) -> None:
    await backup(settings, backups, None)
    before = objects(settings.data)
    with pytest.raises(Invalid, match="is not empty"):
        await restore(settings, backups, None)
    assert objects(settings.data) == before
    require_data(settings)


async def test_an_interrupted_restore_is_not_served_and_goes_on(
    settings: Settings, backups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await backup(settings, backups, None)
    (pool,) = backups.glob("pool/objects/main/2.1/2.1/*")
    shutil.copy(pool, backups / "kept")
    pool.unlink()
    pool.mkdir()  # not to be read, and no end: the disk fails
    restored = elsewhere(settings, "restored")
    with pytest.raises(Invalid):
        await restore(restored, backups, None)
    for use in (make_data, require_data):
        with pytest.raises(Unavailable, match="run the same `isocenter restore` again"):
            use(restored)
    pool.rmdir()
    shutil.copy(backups / "kept", pool)
    await backup(settings, backups, None)
    with pytest.raises(Invalid, match="holds a part of the backup"):
        await restore(restored, backups, None)
    first = min(path.name for path in (backups / "backups").iterdir())
    capsys.readouterr()
    assert await restore(restored, backups, datetime.fromisoformat(first)) == 0
    assert objects(restored.data) == objects(settings.data)
    assert not (restored.data / UNFINISHED).exists()


async def test_a_damaged_object_of_a_backup_is_named_and_all_others_are_restored(
    settings: Settings, backups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await backup(settings, backups, None)
    (damaged,) = backups.glob("pool/objects/main/2.1/2.1/*")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    assert await drill_backup(settings, backups, None, 1.0) == 1
    assert "objects/main/2.1/2.1/2.1/" in capsys.readouterr().err
    restored = elsewhere(settings, "restored")
    assert await restore(restored, backups, None) == 1
    told = capsys.readouterr()
    assert "objects/main/2.1/2.1/2.1/" in told.err
    assert "without the files named above" in told.out
    assert len(objects(restored.data)) == 2
    require_data(restored)


async def test_a_whole_backup_passes_the_drill(
    settings: Settings, backups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await backup(settings, backups, None)
    assert await drill_backup(settings, backups, None, 0.5) == 0
    assert await drill_backup(settings, backups, None, 1.0) == 0
    told = capsys.readouterr().err
    assert "looked at: 3 events" in told
    assert "made anew: 3 instances" in told


@pytest.mark.parametrize("sample", [0.0, 1.0])
async def test_a_drill_of_a_backup_finds_what_is_missing(
    settings: Settings, backups: Path, sample: float, capsys: pytest.CaptureFixture[str]
) -> None:
    await backup(settings, backups, None)
    (missing,) = backups.glob("pool/objects/main/2.1/2.1/*")
    missing.unlink()
    assert await drill_backup(settings, backups, None, sample) == 1
    told = capsys.readouterr().err
    assert "1 x the file is missing" in told
    assert "announce objects that are missing: 1" in told


async def test_a_drill_of_a_backup_finds_a_damaged_database(
    settings: Settings, backups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await backup(settings, backups, None)
    (log,) = backups.glob("backups/*/log.sqlite")
    log.write_bytes(log.read_bytes()[:-10] + bytes(10))
    assert await drill_backup(settings, backups, None, 1.0) == 1
    assert "log.sqlite has another digest" in capsys.readouterr().err.replace("\n", "")


async def test_the_folder_is_elsewhere(settings: Settings) -> None:
    for to in (settings.data / "backups", settings.data.parent):
        with pytest.raises(Invalid, match="one inside the other"):
            await backup(settings, to, None)


async def test_servers_have_backups_of_their_own(settings: Settings, backups: Path) -> None:
    cluster = settings.model_copy(update={"blobs": "s3://127.0.0.1:9000/isocenter"})
    with pytest.raises(Invalid, match=r"docs/backup\.md"):
        await backup(cluster, backups, None)
    with pytest.raises(Invalid, match=r"docs/backup\.md"):
        await restore(cluster, backups, None)


async def test_a_restore_needs_a_backup(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder of backups"):
        await restore(elsewhere(settings, "restored"), tmp_path / "nowhere", None)
    assert not elsewhere(settings, "restored").data.exists()


# --- the drill of what is served -----------------------------------------------------------------


async def test_a_drill_is_content_with_what_is_right_and_leaves_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in (settings.data / "index").iterdir())
    assert await drill(settings, 1.0) == 0
    told = capsys.readouterr()
    assert "the index in use says what the objects say" in told.out
    assert "compared: 2 studies" in told.err
    assert "read again: 3 objects" in told.err
    after = sorted(path.name for path in (settings.data / "index").iterdir())
    assert [name for name in after if name.endswith(".sqlite")] == [
        name for name in before if name.endswith(".sqlite")
    ]


async def test_a_drill_finds_a_study_that_is_not_found(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (kept,) = (name for name in objects(settings.data) if "/2.1/" in name)
    gone = ObjectName.from_key("objects/" + kept.replace("@", "/"))
    assert gone
    env = Process(settings)
    await (await env.index()).remove([gone])
    await env.close()
    assert await drill(settings, 0.0) == 1
    told = capsys.readouterr().err
    assert "searches do not find it, though 1 instance of it is kept" in told
    assert "for example 2.1" in told


async def test_a_drill_finds_an_object_that_is_not_there(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = settings.data.glob("blobs/objects/main/1.1/1.2/1.3@*")
    path.unlink()
    assert await drill(settings, 0.0) == 1
    assert "1 instance found, but not kept" in capsys.readouterr().err
    (path,) = settings.data.glob("blobs/objects/main/1.1/1.2/*")
    path.unlink()
    assert await drill(settings, 0.0) == 1
    assert "none of its 2 instances is kept" in capsys.readouterr().err


async def test_a_drill_finds_a_wrong_count(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    change(settings, "studies", "1.1", "00201208", 7)
    assert await drill(settings, 0.0) == 1
    assert "the answer is wrong in NumberOfStudyRelatedInstances" in capsys.readouterr().err


async def test_a_drill_finds_wrong_attributes_of_an_instance(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    change(settings, "versions", "1.3", "00080016", "1.2.3")
    assert await drill(settings, 0.0) == 1
    assert "1 instance with other attributes" in capsys.readouterr().err


async def test_a_drill_finds_a_changed_object(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = settings.data.glob("blobs/objects/main/1.1/1.2/1.3@*")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert await drill(settings, 1.0) == 1
    assert "not as stored: 1" in capsys.readouterr().err
