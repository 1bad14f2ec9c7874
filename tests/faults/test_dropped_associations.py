"""Thousands of associations with a real gateway that are dropped, in every phase, leave no socket
and no memory behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.clients import dcmtk
from support.dropped_associations import drop
from support.files import count_instances, write_series
from support.harness import Isocenter, wait_until

COUNT, WARM_UP = 5000, 500
GROWTH = 24 * 1024**2  # bytes, of all processes together
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _sockets(isocenter: Isocenter) -> int:
    descriptors = (one for pid in isocenter.pids() for one in Path(f"/proc/{pid}/fd").iterdir())
    return sum(_target(one).startswith("socket:") for one in descriptors)


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def _resident(isocenter: Isocenter) -> int:
    lines = (
        line
        for pid in isocenter.pids()
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


async def test_dropped_associations_leave_nothing_behind(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "sent", 3)
    assert dcmtk("storescu", isocenter, *series.files.values()).code == 0
    wait_until(lambda: count_instances(isocenter, series.study) == 3, what="found")
    where = isocenter.host, isocenter.dicom_port, series.study
    sockets = _sockets(isocenter)
    await drop(*where, range(WARM_UP))
    resident = _resident(isocenter)
    await drop(*where, range(COUNT))
    wait_until(lambda: _sockets(isocenter) <= sockets + 2, what="sockets are closed")
    assert _resident(isocenter) - resident < GROWTH
    assert isocenter.search("/studies?StudyInstanceUID=1.2.3") == []
    log = isocenter.log.read_text()
    assert "Traceback" not in log
    assert "never retrieved" not in log
