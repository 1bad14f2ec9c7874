"""Whether an `isocenter up` serves a data directory, and that no second one does."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isocenter.core.errors import Unavailable

LOCK_FILE = "up.lock"


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Two supervisors on one data directory would start everything twice.

    Raises `Unavailable` if there is one already, or if the directory cannot be written to.
    """
    try:
        lock = (data / LOCK_FILE).open("w")
    except OSError as error:
        raise Unavailable(
            f"data directory {data} cannot be written to: {error.strerror}",
            fix="make it and all in it belong to this user, or choose another with --data",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                f"data directory {data} is being served already",
                fix="stop that `isocenter up`, or name another directory with --data",
            ) from None
        yield


def is_served(data: Path) -> bool:
    """Whether an `isocenter up` runs on this data directory."""
    try:
        lock = (data / LOCK_FILE).open()
    except OSError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
