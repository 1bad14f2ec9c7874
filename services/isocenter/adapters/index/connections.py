"""The connections of one process to one database file of the SQLite index."""

from __future__ import annotations

import threading
from pathlib import Path

from isocenter.adapters.index import schema

READERS = 4


class IndexFile:
    """The connections to one database file."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.path = path
        self.partitions: dict[str, int] = {}  # never change within a file
        self._durable = durable
        self._lock = threading.Lock()
        self._idle: list[schema.Connection] = []
        self._retired = False
        self._quick: schema.Connection | None = None  # of the event loop's thread
        self._writer: schema.Connection | None = None  # of the writer's thread

    def quick(self) -> schema.Connection:
        """The connection for short searches, in the event loop's thread."""
        if self._quick is None:
            self._quick = schema.connect(self.path)
        return self._quick

    def writer(self) -> schema.Connection:
        """The connection that writes, in the writer's thread."""
        if self._writer is None:
            self._writer = schema.connect(self.path, writer=True, durable=self._durable)
        return self._writer

    def borrow(self) -> schema.Connection:
        """A connection for one reader thread at a time."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return schema.connect(self.path)

    def give_back(self, db: schema.Connection) -> None:
        """End a loan."""
        with self._lock:
            if not self._retired and len(self._idle) < READERS:
                self._idle.append(db)
                return
        db.close()

    def close_writer(self, *, settle: bool = False) -> None:
        """In the writer's thread. `settle`: everything is in the one file and durable."""
        if self._writer is not None:
            if settle:
                self._writer.execute("PRAGMA synchronous = FULL")
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.close()
            self._writer = None

    def retire(self) -> None:
        """In the event loop's thread: close what is not in use, and the rest when it returns."""
        with self._lock:
            self._retired = True
            idle, self._idle = self._idle, []
        if self._quick is not None:
            idle.append(self._quick)
            self._quick = None
        for db in idle:
            db.close()
