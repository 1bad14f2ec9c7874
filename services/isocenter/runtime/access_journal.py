"""Counts of accesses that no record tells yet, in a file: they survive the process.

Each process has a file of its own and holds a lock on it. A file that nobody has locked is of one
that was killed: whoever finds it first makes the records that it could not make any more, under the
ids that it had chosen for them, so that each is made once.

The file is not flushed to the disk: it outlives every process, and with the machine up to a window
of counts may go; the first access of each window is in the log before that.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from isocenter.core.errors import Unavailable
from isocenter.core.events import Source

_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Access:
    """What must agree for accesses to be counted as one."""

    source: Source
    partition: str
    patient_ids: tuple[str, ...]
    study: str
    series: str
    detail: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Accesses of one window, and the id of the record that tells of them."""

    access: Access
    record: str
    count: int


class Journal:
    """The file of this process. Raises `Unavailable` where it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
        self._open: set[str] = set()

    def began(self, record: str, access: Access) -> None:
        """A window is open, of which a record with this id will tell."""
        self._write({"begins": record, "access": asdict(access)})
        self._open.add(record)

    def counted(self, record: str, count: int) -> None:
        """So many more accesses in a window: to be called before they are answered."""
        self._write({"of": record, "count": count})

    def ended(self, record: str) -> None:
        """The record of a window is durable, or there is none."""
        if record not in self._open:
            return
        self._open.discard(record)
        if not self._open and self._file is not None:
            os.ftruncate(self._file, 0)
        else:
            self._write({"ends": record})

    def close(self) -> None:
        """Remove the file, if nothing is left in it."""
        if self._file is not None:
            if not self._open:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _write(self, line: object) -> None:
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
            if os.write(self._file, text) != len(text):
                raise OSError(0, "no room")
        except OSError as error:
            raise Unavailable(
                f"accesses cannot be counted in {self._folder}: {error.strerror}",
                fix="free space there, and check its permissions",
            ) from error


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
    """The windows that have counts and did not end. A last line that was cut off counts nothing:
    its access was not answered."""
    accesses: dict[str, Access] = {}
    counts: dict[str, int] = {}
    for text in path.read_bytes().splitlines():
        try:
            line = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        if record := line.get("begins"):
            fields = line["access"]
            fields["source"] = Source(**fields["source"])
            fields["patient_ids"] = tuple(fields["patient_ids"])
            accesses[record] = Access(**fields)
        elif record := line.get("ends"):
            accesses.pop(record, None)
        else:
            counts[line["of"]] = counts.get(line["of"], 0) + line["count"]
    return [
        Counted(access, record, counts[record])
        for record, access in accesses.items()
        if counts.get(record)
    ]
