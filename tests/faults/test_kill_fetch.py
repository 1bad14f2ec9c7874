"""A fetch that is killed, and run again: nothing is taken twice, and nothing is missing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import Series, count_instances, write_series
from support.harness import Isocenter, running, wait_until

KILLS = 4
STUDIES, SLICES = 12, 40


def kept(isocenter: Isocenter, series: list[Series]) -> int:
    """How many objects there are of the studies."""
    return sum(len(isocenter.objects.contents(one.study)) for one in series)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_fetch_goes_on_where_it_was(isocenter: Isocenter, tmp_path: Path) -> None:
    random_times = random.Random(20260102)
    series = [write_series(tmp_path / f"sent{n}", SLICES) for n in range(STUDIES)]
    total = STUDIES * SLICES
    peer = f"dicom://{isocenter.ae_title}@{isocenter.host}:{isocenter.dicom_port}"
    sent = isocenter_process("send", *[one.folder for one in series], "--to", peer)
    assert sent.wait(60) == 0
    wait_until(lambda: all(count_instances(isocenter, one.study) == SLICES for one in series))
    # What was kept and not announced when a fetch was killed is soon old enough to be an orphan.
    settings = {
        "process.workers": 1,
        "indexing.orphan_seconds": 5,
        "indexing.quiet_seconds": 2,
    }
    with running(tmp_path / "target", settings=settings) as target:
        report = tmp_path / "report"
        arguments = ("fetch", peer, *[one.study for one in series], "--report", report)
        data = ("--data", target.data)
        interrupted = 0
        for _ in range(KILLS):
            before = kept(target, series)
            fetching = isocenter_process(*arguments, *data)
            wait_until(
                lambda before=before, fetching=fetching: (
                    kept(target, series) > before + random_times.randrange(60)
                    or fetching.poll() is not None
                ),
                60,
                "it takes some",
            )
            interrupted += fetching.poll() is None
            fetching.kill()
            fetching.wait(10)
        before = kept(target, series)
        assert isocenter_process(*arguments, *data).wait(120) == 0
        outcomes = [json.loads(line) for line in report.read_text().splitlines()]
        assert kept(target, series) == total, "each is kept once"
        assert sum(one["taken"] for one in outcomes) == total - before, "none was taken again"
        assert all(one["complete"] for one in outcomes)
        assert interrupted
        wait_until(lambda: all(count_instances(target, one.study) == SLICES for one in series), 60)


def isocenter_process(*arguments: object) -> subprocess.Popen[bytes]:
    """A verb that runs."""
    return subprocess.Popen(
        [sys.executable, "-m", "isocenter", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
