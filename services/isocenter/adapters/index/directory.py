"""Which file of the directory is the index in use, and switching to another at once.

`current` holds the name of the file. It is replaced by renaming, so every process sees either
the former or the new one; `stat` of it tells them that there is a new one.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isocenter.adapters.index import schema
from isocenter.core.errors import Corrupted, Unavailable

_CURRENT = "current"
_SUFFIXES = ("", "-wal", "-shm")

Stamp = tuple[int, int]  # inode and time of change of `current`


def prepare(directory: Path) -> None:
    """Make the directory and an empty index, if there is none yet."""
    with schema.errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory / "open.lock"):
            if not (directory / _CURRENT).exists():
                name = _name()
                schema.create(directory / name)
                _point_to(directory, name)


def stamp(directory: Path) -> Stamp:
    """Changes whenever another file becomes the index."""
    try:
        found = os.stat(f"{directory}/{_CURRENT}")  # noqa: PTH116 - on the path of every search
    except OSError as error:
        raise schema.unreachable(error, directory) from error
    return found.st_ino, found.st_mtime_ns


def current(directory: Path) -> Path:
    """The file in use."""
    with schema.errors(directory):
        name = (directory / _CURRENT).read_text(encoding="ascii", errors="replace").strip()
    if not name or "/" in name:
        raise Corrupted(
            f"{directory / _CURRENT} does not name a search index",
            fix="run `isocenter rebuild` to make it anew",
        )
    return directory / name


def make_scratch(directory: Path) -> Path:
    """An empty index that nobody uses yet. Leftovers of interrupted rebuilds are removed."""
    with schema.errors(directory):
        try:
            used = current(directory).name
        except Corrupted:
            used = ""
        for path in directory.glob("index-*.sqlite"):
            if path.name != used:
                discard(path)
        path = directory / _name()
        schema.create(path)
        return path


def switch(directory: Path, path: Path) -> None:
    """Make `path` the index in use and remove the former one; processes that still have it open
    read it until they look at `current` again."""
    with schema.errors(directory):
        _sync(path, os.O_RDWR)
        _point_to(directory, path.name)
        for other in directory.glob("index-*.sqlite"):
            if other.name != path.name:
                discard(other)


def discard(path: Path) -> None:
    """Remove a database with its side files."""
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def one_rebuild(directory: Path) -> Iterator[None]:
    """Hold this while a scratch index exists: there is one at a time."""
    with schema.errors(directory), _locked(directory / "rebuild.lock", wait=False):
        yield


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Unavailable(
                "another rebuild of the search index is under way", fix="wait until it is done"
            ) from error
        try:
            yield
        finally:
            # Not left to closing it: a process just being started has a copy of it for a moment.
            fcntl.flock(file, fcntl.LOCK_UN)


def _name() -> str:
    return f"index-{os.urandom(6).hex()}.sqlite"


def _point_to(directory: Path, name: str) -> None:
    temporary = directory / f"{_CURRENT}.new"
    with temporary.open("w", encoding="ascii") as file:
        file.write(name + "\n")
        file.flush()
        # The file system's own clock stands still for milliseconds, and it gives a new file the
        # inode of one just removed: both together would make the stamp of an earlier switch.
        now = time.time_ns()
        os.utime(file.fileno(), ns=(now, now))
        os.fsync(file.fileno())
    temporary.replace(directory / _CURRENT)
    _sync(directory, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
