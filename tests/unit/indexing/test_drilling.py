"""A drill is content with an index that is right, while instances arrive too, and with no other."""

from __future__ import annotations

import hashlib

import pytest

from isocenter.core.errors import Unavailable
from isocenter.core.events import ConflictPolicy
from isocenter.core.identity import ObjectName
from isocenter.indexing import drilling
from isocenter.indexing.drilling import Drill, drill
from support.archive import Archive
from support.datasets import tiny


@pytest.fixture
async def archive(archive: Archive) -> Archive:
    """Three studies; one instance of them has three versions."""
    for number in range(3):
        await archive.store(tiny("1.1", "1.2", f"1.2.{number}", PatientID="A"))
    for series in range(2):
        await archive.store(tiny("2.1", f"2.2.{series}", f"2.3.{series}"))
    for text in "ABC":
        data_set = tiny("3.1", "3.2", "3.3", StudyDescription=text)
        await archive.store(data_set, ConflictPolicy.KEEP_LATEST)
    await archive.index_all()
    return archive


async def differences(run: Drill, archive: Archive) -> dict[str, str]:
    found: dict[str, str] = {}
    studies = 0
    async for step in run.compare(archive.index, {"main"}):
        found |= step.differences
        studies += step.studies
    assert studies
    return found


async def rebuilt(run: Drill) -> None:
    async for _ in run.rebuild():
        pass


async def test_what_is_right_has_no_differences(archive: Archive) -> None:
    async with drill(archive.index, archive.storage) as run:
        await rebuilt(run)
        assert await run.caught_up(archive.index, archive.bus) == ""
        assert await run.check_counts({"main"}) == ""
        assert (run.count.studies, run.count.series, run.count.instances) == (3, 4, 6)
        assert await differences(run, archive) == {}
    async with drill(archive.index, archive.storage):  # the one before has left nothing
        with pytest.raises(Unavailable, match="under way"):
            await archive.index.scratch()


async def test_what_arrives_meanwhile_is_no_difference(archive: Archive) -> None:
    async with drill(archive.index, archive.storage) as run:
        await rebuilt(run)
        await archive.store(tiny("1.1", "1.2", "1.2.9", PatientID="A", StudyDescription="longer"))
        await archive.store(tiny("1.1", "1.9", "1.9.9", PatientID="A"))
        await archive.store(tiny("9.1", "9.2", "9.3", PatientID="A"))
        latest = tiny("3.1", "3.2", "3.3", StudyDescription="D")
        await archive.store(latest, ConflictPolicy.KEEP_LATEST)
        await archive.index_all()
        assert await differences(run, archive) == {}


async def test_a_study_that_grows_is_compared_in_what_it_had(archive: Archive) -> None:
    event = await archive.orphan(tiny("1.1", "1.2", "1.2.8", PatientID="A"))
    async with drill(archive.index, archive.storage) as run:
        await rebuilt(run)
        await archive.store(tiny("1.1", "1.2", "1.2.9", PatientID="A"))
        await archive.index_all()
        assert await differences(run, archive) == {"1.1": "1 instance kept, but not found"}
        await archive.announce(event)
        await archive.index_all()
        assert await differences(run, archive) == {}


async def test_another_version_than_is_kept_is_found(archive: Archive) -> None:
    (first, *_) = [ObjectName.from_key(key) for key in await archive.keys("objects/main/3.1/")]
    assert first
    (versions,) = (await archive.index.versions([first.name])).values()
    old = next(version for version in versions if not version.current)
    await archive.index.remove([ObjectName(old.name, old.digest)])
    async with drill(archive.index, archive.storage) as run:
        await rebuilt(run)
        found = await differences(run, archive)
    assert found == {"3.1": "other versions of its instances are held than are kept"}


async def test_an_object_that_cannot_be_read_is_told_once(archive: Archive) -> None:
    rubbish = b"rubbish" * 100
    digest = hashlib.sha256(rubbish).hexdigest()
    key = f"objects/main/1.1/1.2/1.5/{digest}.dcm"
    await archive.blobs.put(key, [rubbish], digest)
    (known,) = await archive.keys("objects/main/2.1/2.2.0/")
    for pack in await archive.keys("packs/"):
        await archive.blobs.delete(pack)
    await archive.blobs.delete(known)
    name = ObjectName.from_key(known)
    assert name
    damaged = ObjectName(name.name, digest).key
    await archive.blobs.put(damaged, [rubbish], digest)
    async with drill(archive.index, archive.storage) as run:
        await rebuilt(run)
        assert set(run.count.problems) == {key, damaged}
        found = await differences(run, archive)
    assert list(found) == ["2.1"]
    assert found["2.1"].startswith("1 instance found, but not kept")


async def test_events_that_nobody_takes_in_are_told(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drilling, "_PATIENCE", 0.1)
    await archive.store(tiny("4.1", "4.2", "4.3"))
    async with drill(archive.index, archive.storage) as run:
        await rebuilt(run)
        told = await run.caught_up(archive.index, archive.bus)
        assert told == "events that wait to be indexed: 1, and nothing takes them in"
        async with archive.running():
            assert await run.caught_up(archive.index, archive.bus) == ""
        assert await differences(run, archive) == {}


async def test_an_index_that_counts_wrongly_is_told(archive: Archive) -> None:
    async with drill(archive.index, archive.storage) as run:
        await rebuilt(run)
        run.count.instances += 1
        told = await run.check_counts({"main"})
    assert "6 instances; there are objects of 3, 4, 7" in told
