"""Files of a backup: durable, and with their errors in the words of `core.errors`."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isocenter.adapters.blobs.staging import fsync_file
from isocenter.adapters.bus.log_file import sync_directory
from isocenter.core.errors import OutOfResources, Unavailable

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's and the operating system's errors about a path as `core.errors`."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise _no_room(path) from error
        raise Unavailable(f"{path} cannot be copied: {error}", fix="check both disks") from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _no_room(path) from error
        raise Unavailable(
            f"{path} failed: {error.strerror}", fix="check the folder, its disk and permissions"
        ) from error


def _no_room(path: Path) -> OutOfResources:
    return OutOfResources(f"no room for {path}", fix="free space on its disk, and run it again")


def write_durably(path: Path, text: str) -> None:
    """A file that is there whole or not at all, durable on return."""
    with translated(path):
        draft = path.with_name(f"{path.name}.new")
        draft.write_text(text, encoding="utf-8")
        fsync_file(draft)
        draft.replace(path)
        sync_directory(path.parent)
