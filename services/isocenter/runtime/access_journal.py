"""Counts of accesses that no record tells yet, in a file: they survive the process.

Each process has a file of its own and holds a lock on it. A file that nobody has locked is of one
that was killed: whoever finds it first makes the records that it could not make any more, under the
ids that it had chosen for them, so that each is made once.

The file is not flushed to the disk: it outlives every process, and with the machine up to a window
of counts may go; the first access of each window is in the log before that.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from isocenter.core.errors import Unavailable
from isocenter.core.events import AuditAction, Source

logger = logging.getLogger(__name__)

_SUFFIX = ".jsonl"
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Access:
    """What must agree for accesses to be counted as one."""

    action: AuditAction
    source: Source
    partition: str
    detail: str
    patient_ids: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    query: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """Accesses of one window, and the id of the record that tells of them."""

    access: Access
    record: str
    count: int


class Journal:
    """The file of this process. Raises `Unavailable` where it cannot be written."""

    def __init__(self, folder: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        """`most_bytes`: it is written anew, without what is over, when it has grown by so much."""
        self._folder = folder
        self._most_bytes = most_bytes
        self._path = folder
        self._file: int | None = None
        self._room = most_bytes
        self._open: dict[str, Counted] = {}

    def counted(self, record: str, access: Access, count: int) -> None:
        """So many more accesses, of which a record with this id will tell: to be called before
        they are answered."""
        known = self._open.get(record)
        if known is None:
            now = Counted(access, record, count)
            self._write(_begin(now))
        else:
            now = Counted(access, record, known.count + count)
            self._write(_line({"of": record, "count": count}))
        self._open[record] = now
        if self._room <= 0:
            self._write_anew()

    def ended(self, record: str) -> None:
        """The record of what was counted is durable."""
        if self._open.pop(record, None) is None:
            return
        if not self._open and self._file is not None:
            os.ftruncate(self._file, 0)
            self._room = self._most_bytes
        else:
            self._write(_line({"ends": record}))

    def close(self) -> None:
        """Remove the file, if nothing is left in it."""
        if self._file is not None:
            if not self._open:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _write(self, text: bytes) -> None:
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
                self._path, self._file = self._new_file()
            _append(self._file, text)
        except OSError as error:
            raise Unavailable(
                f"accesses cannot be counted in {self._folder}: {error.strerror}",
                fix="free space there, and check its permissions",
            ) from error
        self._room -= len(text)

    def _new_file(self) -> tuple[Path, int]:
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody who looks for leftovers was faster
            os.close(file)
            raise
        return path, file

    def _write_anew(self) -> None:
        """What is open, in a new file. Whoever finds both finds the same counts under the same
        ids, of which each makes one record."""
        self._room = self._most_bytes  # where this fails, the file may grow as much once more
        path, file = self._path, self._file
        try:
            self._path, self._file = self._new_file()
            try:
                _append(self._file, b"".join(map(_begin, self._open.values())))
            except OSError:
                self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._path, self._file = path, file
                raise
        except OSError as error:
            logger.warning("counts of accesses take more room", extra={"error": error.strerror})
            return
        path.unlink(missing_ok=True)
        if file is not None:
            os.close(file)


def _begin(counted: Counted) -> bytes:
    return _line(
        {"begins": counted.record, "access": asdict(counted.access), "count": counted.count}
    )


def _line(content: object) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def _append(file: int, text: bytes) -> None:
    """All of it or nothing: what follows half a line would be lost with it."""
    written = os.write(file, text)
    if written != len(text):
        os.ftruncate(file, os.fstat(file).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a process that was killed had counted."""

    path: Path
    descriptor: int
    counts: Sequence[Counted]

    def forget(self) -> None:
        """Its records are durable."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def leave(self) -> None:
        """They are not; somebody will find it again."""
        os.close(self.descriptor)


def leftovers(folder: Path) -> Iterator[Leftover]:
    """What nobody has locked; it is locked by the caller from now on."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else ():
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        yield Leftover(path, descriptor, _read(path))


def _read(path: Path) -> Sequence[Counted]:
    """The counts that no record tells yet. A last line that was cut off counts nothing: its access
    was not answered."""
    accesses: dict[str, Access] = {}
    counts: dict[str, int] = {}
    for text in path.read_bytes().splitlines():
        try:
            line = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        if record := line.get("begins"):
            accesses[record] = _access(line["access"])
            counts[record] = line["count"]
        elif record := line.get("ends"):
            accesses.pop(record, None)
        elif line["of"] in counts:
            counts[line["of"]] += line["count"]
    return [Counted(access, record, counts[record]) for record, access in accesses.items()]


def _access(fields: dict[str, Any]) -> Access:
    return Access(
        AuditAction(fields["action"]),
        Source(**fields["source"]),
        fields["partition"],
        fields["detail"],
        tuple(fields["patient_ids"]),
        tuple(fields["studies"]),
        tuple(fields["series"]),
        fields["query"],
    )
