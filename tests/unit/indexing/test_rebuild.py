"""A rebuilt index answers exactly as the one before."""

from __future__ import annotations

import asyncio
import hashlib

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.events import ConflictPolicy
from isocenter.core.matching import Level, Search
from support.archive import Archive, values
from support.datasets import ct_image, tiny

PERSON = "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"


async def _fill(archive: Archive) -> None:
    for study in range(3):
        for series in range(2):
            for number in range(3):
                names = f"1.{study}", f"1.{study}.{series}", f"1.{study}.{series}.{number}"
                image = ct_image(8, 8, study=names[0], series=names[1], instance=names[2],
                                 number=number, patient_id=f"P{study % 2}")  # fmt: skip
                image.StudyDescription = "x" * number
                image.WindowCenter = 40.5
                await archive.store(image, inline=number != 1)
    for policy, study in ((ConflictPolicy.KEEP_FIRST, "2.1"), (ConflictPolicy.KEEP_LATEST, "2.2")):
        for text in "ABC":
            await archive.store(tiny(study, f"{study}.1", "9.9", StudyDescription=text), policy)
    odd = tiny("3.1", "3.2", "3.3", PatientName=PERSON, SeriesNumber=None, StudyDate="")
    odd.SpecificCharacterSet = "ISO_IR 192"
    await archive.store(odd)
    await archive.index_all()


async def _rebuild(archive: Archive):
    return [progress async for progress in archive.service().rebuild()][-1]


async def test_rebuild_gives_exactly_the_same_answers(archive) -> None:
    await _fill(archive)
    before = await archive.everything()
    progress = await _rebuild(archive)
    assert await archive.everything() == before
    assert (progress.studies, progress.instances, progress.problems, progress.done) == (
        6, 21, {}, True,
    )  # fmt: skip


async def test_rebuild_of_a_lost_index_without_packs_writes_them_anew(archive, tmp_path) -> None:
    await _fill(archive)
    before = await archive.everything()
    for key in await archive.keys("packs/"):
        await archive.blobs.delete(key)
    archive.index = await SqliteIndex.open(tmp_path / "empty")
    await _rebuild(archive)
    assert await archive.everything() == before
    assert len(await archive.keys("packs/")) == 9
    await archive.index.close()


async def test_an_object_that_cannot_be_read_is_a_problem_and_no_end(archive) -> None:
    await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    rubbish = b"rubbish" * 100
    digest = hashlib.sha256(rubbish).hexdigest()
    key = f"objects/main/1.1/1.1/1.1/{digest}.dcm"
    await archive.blobs.put(key, [rubbish], digest)
    progress = await _rebuild(archive)
    assert list(progress.problems) == [key]
    assert (progress.studies, progress.instances) == (1, 1)


async def test_a_series_of_which_nothing_can_be_read_counts_nothing(archive) -> None:
    await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    rubbish = b"rubbish" * 100
    digest = hashlib.sha256(rubbish).hexdigest()
    await archive.blobs.put(f"objects/main/1.9/1.1/1.1/{digest}.dcm", [rubbish], digest)
    progress = await _rebuild(archive)
    assert (progress.studies, progress.instances, len(progress.problems)) == (1, 1, 1)


async def test_rebuild_leaves_nothing_out_while_instances_arrive(archive) -> None:
    await _fill(archive)
    async with archive.running():
        for round_number in range(3):

            async def arrive(base: int = round_number) -> None:
                for number in range(20):
                    await archive.store(tiny(f"7.{base}.{number}", "7.1", "7.2", PatientID="NEW"))
                    await asyncio.sleep(0)

            await asyncio.gather(arrive(), _rebuild(archive))
        await archive.caught_up()
    found = values(await archive.answers(Search(Level.STUDY)), "0020000D")
    assert len(found) == len(set(found)) == 6 + 60


async def test_an_undecided_conflict_is_decided_after_the_rebuild(archive) -> None:
    await archive.store(tiny("1.2", "1.3", "1.4", PatientID="A"), ConflictPolicy.KEEP_LATEST)
    await archive.index_all()
    await archive.store(tiny("1.2", "1.3", "1.4", PatientID="B"), ConflictPolicy.KEEP_LATEST)
    await _rebuild(archive)
    assert values(await archive.answers(Search(Level.STUDY)), "00100020") == ["A"]
    await archive.index_all()
    assert values(await archive.answers(Search(Level.STUDY)), "00100020") == ["B"]
