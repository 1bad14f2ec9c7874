"""A limit of processor time, as Kubernetes sets it for a pod: a control group of Linux."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import Unusable

_PERIOD = 100_000  # microseconds
_V1, _V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@contextmanager
def limited(process: subprocess.Popen[bytes], cores: float) -> Iterator[None]:
    """The process gets at most this share of a core. Raises `Unusable` where that needs rights
    that we do not have."""
    old = (_V1 / "cpu.cfs_quota_us").exists() or not (_V2 / "cgroup.controllers").exists()
    group = (_V1 if old else _V2) / f"isocenter-bench-{process.pid}"
    quota = int(cores * _PERIOD)
    try:
        group.mkdir()
        if old:
            (group / "cpu.cfs_period_us").write_text(f"{_PERIOD}")
            (group / "cpu.cfs_quota_us").write_text(f"{quota}")
        else:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD}")
        (group / "cgroup.procs").write_text(f"{process.pid}")
    except OSError as error:
        raise Unusable(f"processor time cannot be limited: {error}") from error
    try:
        yield
    finally:
        process.kill()  # a group can only be removed when it is empty
        process.wait()
        group.rmdir()
