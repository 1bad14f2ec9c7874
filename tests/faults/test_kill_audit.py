"""No acknowledged access without its record, no record twice, the chain intact: SIGKILL at random
moments in the middle of everything, then counting."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from isocenter.adapters.bus.log import LogBus
from isocenter.audit import standalone
from isocenter.audit.consumer import GROUP, TOPICS
from support.files import write_series
from support.harness import Isocenter, wait_until
from support.kills import kills
from support.lookers import Searcher, Viewer
from support.senders import DimseSender

KILLS = kills(12, 50)
ALL_OF = 2  # every second time everything is killed; else some of the processes
SLICES = 40


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_acknowledged_access_has_its_record_once_after_kills(tmp_path: Path) -> None:
    rounds = random.Random(20261126)
    settings = {
        "process.workers": 1,
        "indexing.orphan_seconds": 3600,
        # Often: kills fall between the seal and the commit, too.
        "audit.linger_seconds": 0.05,
        "audit.seal_seconds": 0.2,
    }
    isocenter = Isocenter(tmp_path / "data", settings=settings)
    stored: dict[str, Path] = {}
    searched: set[str] = set()
    numbers, seen, asked = count(), 0, 0
    isocenter.start()
    shown = write_series(tmp_path / "shown", 1, rows=64)
    _store(isocenter, shown)
    try:
        for number in range(KILLS):
            if number % ALL_OF == 0 and number:
                isocenter.start()
            wait_until(isocenter.ready, 60, "ready again")
            sender = DimseSender(isocenter, [write_series(tmp_path / f"{number}", SLICES, rows=64)])
            searchers = [Searcher(isocenter, numbers) for _ in range(2)]
            viewer = Viewer(isocenter, _path(shown))
            clients = [sender, *searchers, viewer]
            for client in clients:
                client.start()
            wait_until(lambda one=viewer: one.asked > 1, 30, "looking began")
            sender.stopping.wait(rounds.uniform(0.01, 0.8))
            if number % ALL_OF == ALL_OF - 1:
                isocenter.kill()
            else:
                _kill_some(isocenter, rounds)
            for client in clients:
                client.stop()
            stored |= sender.acknowledged
            searched |= set().union(*(searcher.answered for searcher in searchers))
            seen, asked = seen + viewer.seen, asked + viewer.asked
        if not isocenter.processes:
            isocenter.start()
        records = _all_records(isocenter)
    finally:
        isocenter.stop()
    assert min(len(stored), len(searched), seen) > KILLS
    assert max(Counter(one["id"] for one in records).values()) == 1, "a record stands twice"
    named = Counter(uid for one in records if one["action"] == "store" for uid in one["instances"])
    assert stored.keys() <= named.keys(), "an acknowledged store has no record"
    queries = " ".join(one.get("query", "") for one in records if one["action"] == "query")
    missing = {patient for patient in searched if f"PatientID={patient}" not in queries.split()}
    assert not missing, "an acknowledged search has no record"
    counted = sum(one.get("instance_count", 0) for one in records if one["action"] == "retrieve")
    assert seen <= counted <= asked, "acknowledged looks are not all counted, or counted twice"
    _prove(isocenter, len(records))


def _store(isocenter: Isocenter, series) -> None:
    sender = DimseSender(isocenter, [series])
    sender.start()
    wait_until(lambda: not sender.pending, 30, "the series that is looked at is stored")
    sender.stop()


def _kill_some(isocenter: Isocenter, rounds: random.Random) -> None:
    """SIGKILL to some of the processes, which are started again at once."""
    _, *children = isocenter.pids()
    for pid in rounds.sample(children, rounds.randint(1, len(children))):
        os.kill(pid, signal.SIGKILL)


def _path(series) -> str:
    (instance,) = series.files
    return f"studies/{series.study}/series/{series.series}/instances/{instance}"


def _all_records(isocenter: Isocenter) -> list[dict]:
    """When what the last round left is taken in. Nobody asks over HTTP: that would leave records
    without end."""
    wait_until(lambda: asyncio.run(_is_still(isocenter.data)), 120, "all records are taken in")
    listed = isocenter.cli("audit list", "--all", "--json")
    assert listed.returncode == 0, listed.stderr
    return [json.loads(line) for line in listed.stdout.splitlines()]


async def _is_still(data: Path) -> bool:
    """Whether nothing waits in the log, and no counts of a process that was killed are left."""
    bus = await LogBus.open(data / "log")
    try:
        waiting = [await bus.lag(GROUP, topic) for topic in TOPICS]
    finally:
        await bus.close()
    return not any(waiting) and not any((data / "audit-counts").glob("*"))


def _prove(isocenter: Isocenter, least: int) -> None:
    """By both verifiers, after an orderly end: everything is sealed then."""
    verified = isocenter.cli("audit verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    again = subprocess.run(
        [sys.executable, "-I", "-S", standalone.__file__, str(isocenter.data / "blobs"), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    assert json.loads(again.stdout)["records"] >= least
