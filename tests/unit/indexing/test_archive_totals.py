"""What the archive holds, as metrics."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.errors import Unavailable
from isocenter.core.ports import Totals
from isocenter.indexing import archive
from isocenter.indexing.archive import ArchiveTotals
from isocenter.runtime.instruments import ARCHIVE_BYTES, ARCHIVE_INSTANCES, ARCHIVE_STUDIES
from isocenter.runtime.telemetry import OFF
from support.index_oracle import entry
from support.telemetry import Recorder

ALL = (ARCHIVE_STUDIES, ARCHIVE_INSTANCES, ARCHIVE_BYTES)


def told(recorder: Recorder) -> list[int]:
    return [value for metric in ALL for value in recorder.values(metric).values()]


async def until(recorder: Recorder, expected: list[int]) -> None:
    async with asyncio.timeout(10):
        while told(recorder) != expected:
            await asyncio.sleep(0.01)


async def test_they_are_those_of_the_index_and_are_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "EVERY_SECONDS", 0.02)
    index, recorder = await SqliteIndex.open(tmp_path), Recorder()
    totals = ArchiveTotals(index, recorder.telemetry)
    assert told(recorder) == []
    totals.start()
    await until(recorder, [0, 0, 0])
    await index.upsert([entry("1.2", "1.2.1", "1"), entry("1.2", "1.2.1", "2")])
    await until(recorder, [1, 2, 2000])
    await totals.stop()
    await index.close()


class Away:
    """An index that is there only at first."""

    def __init__(self) -> None:
        self.asked = 0

    async def totals(self) -> Totals:
        self.asked += 1
        if self.asked > 1:
            raise Unavailable("the index does not answer")
        return Totals(7, 70, 700)


async def test_what_is_unknown_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    index, recorder = Away(), Recorder()
    totals = ArchiveTotals(index, recorder.telemetry)  # type: ignore[arg-type]
    totals.start()
    await until(recorder, [7, 70, 700])
    await totals.stop()
    totals.start()
    await until(recorder, [])
    assert index.asked == 2
    await totals.stop()


async def test_nobody_is_asked_while_telemetry_is_off() -> None:
    index = Away()
    totals = ArchiveTotals(index, OFF)  # type: ignore[arg-type]
    totals.start()
    await asyncio.sleep(0)
    assert index.asked == 0
    await totals.stop()
