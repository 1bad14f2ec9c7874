"""Delivery that survives, on a real installation: orphans, a log that is down, poison.

The embedded log is made silent by holding the lock that its writers queue for: what an
installation sees then is a log that does not answer.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from isocenter.adapters.blobs.files import FileBlobs
from isocenter.adapters.bus.log import LogBus
from isocenter.core.events import TOPIC_INSTANCES, ConflictPolicy
from isocenter.runtime.event_codec import encode
from support.archive import announcement
from support.clients import dcmtk
from support.datasets import ct_image
from support.files import find_instances, write_series
from support.harness import Isocenter, running, wait_until

SETTINGS = {
    "process.workers": 1,
    "indexing.quiet_seconds": 0.5,
    "indexing.orphan_seconds": 1,
    "audit.linger_seconds": 0.1,
}


@contextmanager
def silent_log(isocenter: Isocenter) -> Iterator[None]:
    """As long as this is open, no append to the log comes to its end."""
    with (isocenter.data / "log/write.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sent(isocenter: Isocenter, *files: Path) -> bool:
    """Whether files were stored: all acknowledged with success."""
    return dcmtk("storescu", isocenter, "-to", "20", "-td", "20", *files).code == 0


def found(isocenter: Isocenter, study: str, count: int) -> list[str]:
    """The instances of a study, once so many are found."""
    wait_until(
        lambda: len(find_instances(isocenter, study)) >= count, 60, f"{count} instances found"
    )
    return find_instances(isocenter, study)


def told(done: subprocess.CompletedProcess[str]) -> str:
    """What a verb that ended well has printed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _killed_before_the_announcement(isocenter: Isocenter, file: Path) -> None:
    """SIGKILL to everything when the object is durable and its event is not."""
    before = len(isocenter.objects.contents())
    with silent_log(isocenter):
        outcome: list[bool] = []
        sending = threading.Thread(target=lambda: outcome.append(sent(isocenter, file)))
        sending.start()
        wait_until(lambda: len(isocenter.objects.contents()) == before + 1, 20, "durable")
        isocenter.kill()
        sending.join(60)
    assert outcome == [False], "it was acknowledged without an event"


def test_what_was_durable_and_never_announced_is_found_when_its_study_goes_quiet_or_by_a_sweep(
    tmp_path: Path,
) -> None:
    series, alone = write_series(tmp_path / "sent", 3), write_series(tmp_path / "alone", 1)
    one, two, three = series.files.values()
    isocenter = Isocenter(tmp_path / "data", settings=SETTINGS)
    try:
        isocenter.start()
        assert sent(isocenter, one)
        found(isocenter, series.study, 1)
        for file in (two, *alone.files.values()):
            _killed_before_the_announcement(isocenter, file)
            isocenter.start()
        assert sent(isocenter, three)
        assert set(found(isocenter, series.study, 3)) == series.files.keys()
        assert find_instances(isocenter, alone.study) == []
        assert "orphans announced: 1" in told(isocenter.cli("sweep"))
        assert set(found(isocenter, alone.study, 1)) == alone.files.keys()
        assert "orphans announced: 0" in told(isocenter.cli("sweep"))
        for study in (series.study, alone.study):
            wait_until(lambda study=study: _swept(isocenter, study), 20, "audited as a sweep")
    finally:
        isocenter.kill()


def _swept(isocenter: Isocenter, study: str) -> bool:
    listed = told(isocenter.cli("audit list", "--action", "store", "--study", study, "--json"))
    records = [json.loads(line) for line in listed.splitlines()]
    return [record["source"]["protocol"] for record in records].count("sweep") == 1


@pytest.mark.parametrize("killed", [False, True])
def test_in_outbox_mode_stores_and_reads_go_on_while_the_log_is_down(
    tmp_path: Path, killed: bool
) -> None:
    series = write_series(tmp_path / "sent", 4)
    first, *others = series.files.values()
    isocenter = Isocenter(tmp_path / "data", settings={**SETTINGS, "ingest.outbox": True})
    try:
        isocenter.start()
        assert sent(isocenter, first)
        found(isocenter, series.study, 1)
        with silent_log(isocenter):
            assert sent(isocenter, *others)
            assert len(find_instances(isocenter, series.study)) == 1
            assert isocenter.get(f"/studies/{series.study}/metadata")
            if killed:
                isocenter.kill()
        if killed:
            assert list((isocenter.data / "blobs/outbox").iterdir())
            isocenter.start()
        assert set(found(isocenter, series.study, 4)) == series.files.keys()
        waiting = isocenter.data / "blobs/outbox"
        wait_until(lambda: not waiting.exists() or not list(waiting.iterdir()), 20, "relayed")
        (study,) = isocenter.search(f"/studies?StudyInstanceUID={series.study}")
        assert study["00201208"]["Value"] == [4]
        listed = told(isocenter.cli("audit list", "--action", "query", "--json"))
        assert "QIDO" in listed
    finally:
        isocenter.kill()


def test_without_outbox_mode_a_store_is_refused_and_reads_go_on_while_the_log_is_down(
    tmp_path: Path,
) -> None:
    series = write_series(tmp_path / "sent", 2)
    first, second = series.files.values()
    settings = {**SETTINGS, "ingest.announce_seconds": 1}
    with running(tmp_path / "data", settings=settings) as isocenter:
        assert sent(isocenter, first)
        found(isocenter, series.study, 1)
        with silent_log(isocenter):
            assert len(find_instances(isocenter, series.study)) == 1
            refused = dcmtk("storescu", isocenter, "-v", second)
            assert "Refused: OutOfResources" in refused.text, refused.text
        assert sent(isocenter, second)
        assert set(found(isocenter, series.study, 2)) == series.files.keys()


def test_a_poison_event_is_a_dead_letter_until_its_cause_is_gone_and_it_is_replayed(
    tmp_path: Path,
) -> None:
    image = ct_image(64, 64, patient_id="SECRET-ID")
    stored, part10 = announcement(image, ConflictPolicy.KEEP_FIRST, inline=False)
    poison = replace(stored, patient_id="SECRET-ID")
    with running(tmp_path / "data", settings=SETTINGS) as isocenter:

        async def announce_what_is_not_there() -> None:
            bus = await LogBus.open(isocenter.data / "log")
            await bus.append(TOPIC_INSTANCES, [encode(poison)])
            await bus.close()

        async def put_it_there() -> None:
            blobs = await FileBlobs.open(isocenter.data / "blobs")
            await blobs.put(poison.key, [part10], poison.digest)
            await blobs.close()

        asyncio.run(announce_what_is_not_there())
        listed = wait_until(
            lambda: _lines(told(isocenter.cli("dead list")), "InstanceStored"), 30, "dead letter"
        )
        (letter,) = [line.split()[2] for line in listed]
        shown = isocenter.cli("dead show", letter)
        assert json.loads(told(shown))["event"]["name"]["study"] == image.StudyInstanceUID
        assert "SECRET" not in shown.stdout
        asyncio.run(put_it_there())
        told(isocenter.cli("dead replay", letter))
        assert found(isocenter, image.StudyInstanceUID, 1) == [image.SOPInstanceUID]
        assert told(isocenter.cli("dead list")) == "no open dead letters\n"
        assert isocenter.cli("dead discard", letter, "--reason", "x").returncode == 1
        assert _lines(told(isocenter.cli("dead list", "--all")), "replayed")


def _lines(text: str, word: str) -> list[str]:
    return [line for line in text.splitlines() if word in line]
