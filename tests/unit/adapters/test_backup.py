"""A folder of backups: what is copied, when it is a backup, what goes and what stays."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from isocenter.adapters.backup import databases
from isocenter.adapters.backup.copying import Fate
from isocenter.adapters.backup.entries import Entry, list_writer, read_list
from isocenter.adapters.backup.folder import BackupFolder, installation_id, to_read, to_write
from isocenter.adapters.backup.taking import Taken, keep_newest, restored
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.core.errors import Corrupted, Invalid, NotFound, Unavailable, Unsupported
from isocenter.core.identity import OBJECTS, PACKS, ObjectName, OverlayName

START = datetime(2026, 1, 1, tzinfo=UTC)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def object_key(content: bytes, study: str = "1.1") -> str:
    return f"objects/main/{study}/1.2/1.3/{digest(content)}.dcm"


async def put(blobs: FileBlobs, key: str, content: bytes) -> str:
    await blobs.put(key, [content], digest(content))
    return key


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[FileBlobs]:
    """Two objects, a pack, a decision and an event that waits."""
    blobs = await FileBlobs.open(tmp_path / "data" / "blobs")
    await put(blobs, object_key(b"one"), b"one")
    await put(blobs, object_key(b"two", "1.10"), b"two")
    await put(blobs, f"packs/main/1.1/1.2/{digest(b'pack')}.pack", b"pack")
    await put(blobs, f"conflicts/main/1.1/1.2/1.3/1.{digest(b'one')}", b"decision")
    await put(blobs, "outbox/isocenter.audit/1-a", b"event")
    yield blobs
    await blobs.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[BackupFolder]:
    with to_write(tmp_path / "backups", "me") as opened:
        yield opened


async def take(folder: BackupFolder, source: FileBlobs, day: int = 0, **databases: Path) -> Taken:
    """A backup of some day."""
    taken = Taken(folder, START + timedelta(days=day), "me")
    fates = [outcome.fate async for outcome in taken.copy(source, databases)]
    assert set(fates) <= {Fate.COPIED, Fate.THERE}
    return taken


async def contents(blobs: FileBlobs, *prefixes: str) -> dict[str, bytes]:
    found = {}
    for prefix in prefixes or ("objects/", "packs/", "conflicts/", "outbox/"):
        found |= {info.key: await blobs.get(info.key) async for info in blobs.list(prefix)}
    return found


async def test_what_is_restored_is_what_was_there(
    source: FileBlobs, folder: BackupFolder, tmp_path: Path
) -> None:
    await take(folder, source)
    (manifest,) = folder.manifests()
    target = await FileBlobs.open(tmp_path / "restored")
    outcomes = [outcome async for outcome in restored(folder, manifest, target)]
    assert {outcome.fate for outcome in outcomes} == {Fate.COPIED}
    assert await contents(target) == await contents(source)
    for outcome in outcomes:
        info = await target.stat(outcome.entry.key)
        assert info.modified_at == (await source.stat(outcome.entry.key)).modified_at
    again = [outcome.fate async for outcome in restored(folder, manifest, target)]
    assert set(again) == {Fate.THERE}
    await target.close()


async def test_corrections_are_copied_with_their_objects_and_compared_with_their_names(
    source: FileBlobs, folder: BackupFolder, tmp_path: Path
) -> None:
    name = ObjectName.from_key(object_key(b"one"))
    assert name is not None
    key = await put(source, OverlayName(name, 1, digest(b"overlay")).key, b"overlay")
    await take(folder, source)
    (manifest,) = folder.manifests()
    listed = {one.key: one.digest for one in folder.entries(manifest, OBJECTS)}
    assert listed[key] == digest(b"overlay")
    target = await FileBlobs.open(tmp_path / "restored")
    assert {one.fate async for one in restored(folder, manifest, target)} == {Fate.COPIED}
    assert await contents(target) == await contents(source)
    await target.close()
    (file,) = (tmp_path / "data").glob(f"**/*{digest(b'overlay')}.overlay")
    file.write_bytes(b"yalrevo")
    other = tmp_path / "others"
    with to_write(other, "me") as anew:
        taken = Taken(anew, START, "me")
        fates = {outcome.entry.key: outcome.fate async for outcome in taken.copy(source, {})}
    assert fates[key] is Fate.DAMAGED


async def test_what_is_named_after_its_content_is_copied_once(
    source: FileBlobs, folder: BackupFolder
) -> None:
    await take(folder, source)
    await put(source, object_key(b"three"), b"three")
    taken = Taken(folder, START + timedelta(days=1), "me")
    outcomes = [outcome async for outcome in taken.copy(source, {})]
    copied = {one.entry.key for one in outcomes if one.fate is Fate.COPIED}
    assert copied & {one.entry.key for one in outcomes if one.entry.key.startswith(OBJECTS)} == {
        object_key(b"three")
    }
    assert [manifest.objects.count for manifest in folder.manifests()] == [2, 3]


async def test_a_copy_of_another_size_is_made_anew(source: FileBlobs, folder: BackupFolder) -> None:
    await take(folder, source)
    (copy,) = folder.pool.glob(f"**/*{digest(b'one')}*")
    copy.write_bytes(b"o")
    await take(folder, source, day=1)
    assert copy.read_bytes() == b"one"


async def test_a_damaged_object_is_named_and_the_others_are_copied(
    source: FileBlobs, folder: BackupFolder, tmp_path: Path
) -> None:
    (damaged,) = (tmp_path / "data").glob(f"**/*{digest(b'one')}.dcm")
    damaged.write_bytes(b"eno")
    taken = Taken(folder, START, "me")
    fates = {outcome.entry.key: outcome.fate async for outcome in taken.copy(source, {})}
    assert fates[object_key(b"one")] is Fate.DAMAGED
    (manifest,) = folder.manifests()
    assert list(manifest.missing) == [object_key(b"one")]
    assert [one.key for one in folder.entries(manifest, OBJECTS)] == [object_key(b"two", "1.10")]


async def test_without_a_manifest_it_is_no_backup_and_the_next_one_removes_it(
    source: FileBlobs, folder: BackupFolder
) -> None:
    with pytest.raises(NotFound, match="there is no backup"):
        folder.choose(None)
    taken = Taken(folder, START, "me")
    async for outcome in taken.copy(source, {}):
        if outcome.entry.key.startswith(OBJECTS):
            break
    assert folder.manifests() == []
    assert folder.at(taken.id).exists()
    await take(folder, source, day=1)
    assert not folder.at(taken.id).exists()
    assert len(folder.manifests()) == 1


async def test_a_backup_is_chosen_by_when_it_began(source: FileBlobs, folder: BackupFolder) -> None:
    for day in range(3):
        await take(folder, source, day)
    assert folder.choose(None).begun_at == START + timedelta(days=2)
    assert folder.choose(START + timedelta(days=1, hours=5)).begun_at == START + timedelta(days=1)
    assert folder.choose(START + timedelta(days=1)).begun_at == START + timedelta(days=1)
    with pytest.raises(NotFound, match="began by 2025-12-31"):
        folder.choose(START - timedelta(days=1))


async def test_the_newest_are_kept_with_all_their_blobs_and_no_others(
    source: FileBlobs, folder: BackupFolder
) -> None:
    await take(folder, source)
    await source.delete(object_key(b"one"))
    await put(source, object_key(b"three"), b"three")
    await take(folder, source, day=1)
    await take(folder, source, day=2)
    assert await keep_newest(folder, 3) == 0
    assert await keep_newest(folder, 2) == 1
    pool = FileBlobs.to_read(folder.pool)
    assert await contents(pool, OBJECTS, PACKS) == await contents(source, OBJECTS, PACKS)
    assert [manifest.begun_at.day for manifest in folder.manifests()] == [2, 3]
    await pool.close()


async def test_a_database_is_copied_while_it_is_written(
    source: FileBlobs, folder: BackupFolder, tmp_path: Path
) -> None:
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t(n INTEGER PRIMARY KEY)")
        db.execute("INSERT INTO t VALUES (1)")
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t VALUES (2)")
        taken = await take(folder, source, **{"log.sqlite": path})
        db.execute("COMMIT")
    copy, said = folder.at(taken.id) / "log.sqlite", taken.databases["log.sqlite"]
    databases.check(copy, said)
    databases.put_back(copy, tmp_path / "restored" / "log" / "log.sqlite", said)
    with closing(sqlite3.connect(tmp_path / "restored" / "log" / "log.sqlite")) as db:
        assert db.execute("SELECT n FROM t").fetchall() == [(1,)]


async def test_a_damaged_copy_of_a_database_is_not_put_back(
    source: FileBlobs, folder: BackupFolder, tmp_path: Path
) -> None:
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t(n)")
    taken = await take(folder, source, **{"log.sqlite": path})
    copy, said = folder.at(taken.id) / "log.sqlite", taken.databases["log.sqlite"]
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    place = tmp_path / "restored" / "log.sqlite"
    for use in (lambda: databases.check(copy, said), lambda: databases.put_back(copy, place, said)):
        with pytest.raises(Corrupted, match="--at TIME"):
            use()
    assert list(place.parent.iterdir()) == []


def test_a_source_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(Corrupted, match=r"log\.sqlite is damaged"):
        databases.snapshot(tmp_path / "log.sqlite", tmp_path / "copy")


def test_a_list_is_read_back_and_a_damaged_line_is_told(tmp_path: Path) -> None:
    entries = [Entry(f"objects/main/1.{n}", n, START, digest(b"")) for n in range(3000)]
    with list_writer(tmp_path / "list") as writer:
        for entry in entries:
            writer.add(entry)
    assert list(read_list(tmp_path / "list")) == entries
    with list_writer(tmp_path / "odd") as writer:
        writer.add(Entry("../etc", 1, START, digest(b"")))
    with pytest.raises(Invalid):
        list(read_list(tmp_path / "odd"))
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(Corrupted, match=r"the list .* is damaged"):
        list(read_list(tmp_path / "junk"))


async def test_a_list_that_was_cut_off_is_told_before_it_is_used(
    source: FileBlobs, folder: BackupFolder
) -> None:
    taken = await take(folder, source)
    path = folder.list_file(taken.id, OBJECTS)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(Corrupted, match=r"the list .* is damaged"):
        folder.entries(folder.choose(None), OBJECTS)


async def test_manifests_of_a_later_format_and_broken_ones_are_told(
    source: FileBlobs, folder: BackupFolder
) -> None:
    taken = await take(folder, source)
    manifest = folder.at(taken.id) / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(Unsupported, match="format 2, this version reads 1"):
        folder.manifests()
    manifest.write_text(text[:-20])
    with pytest.raises(Corrupted, match="move that backup away"):
        folder.manifests()


def test_backups_of_two_data_directories_do_not_mix(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    mine, other = installation_id(tmp_path / "a"), installation_id(tmp_path / "b")
    assert mine == installation_id(tmp_path / "a") != other
    with to_write(tmp_path / "backups", mine):
        pass
    with (
        pytest.raises(Invalid, match="another data directory"),
        to_write(tmp_path / "backups", other),
    ):
        pass


def test_a_folder_with_something_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(Invalid, match=r"it holds 'letter\.txt'"), to_write(tmp_path, "me"):
        pass
    with pytest.raises(NotFound, match="no folder of backups"), to_read(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_while_it_is_read_it_is_not_written(folder: BackupFolder) -> None:
    with pytest.raises(Unavailable, match="another backup"), to_write(folder.path, "me"):
        pass
    with pytest.raises(Unavailable, match="another backup"), to_read(folder.path):
        pass


def test_several_may_read_it(tmp_path: Path) -> None:
    with to_write(tmp_path / "backups", "me"):
        pass
    with to_read(tmp_path / "backups"), to_read(tmp_path / "backups"):
        pass
