"""A bound of the bytes that several associations have in flight together: received in data sets of
messages that are not done yet. It holds by back-pressure: nothing is refused."""

from __future__ import annotations

from typing import Protocol


class Reader(Protocol):
    """Who reads from a peer."""

    def stop_reading(self) -> None:
        """Read nothing more until `read_on`; the peer waits."""
        ...

    def read_on(self) -> None:
        """Read again."""
        ...


class Budget:
    """Bytes in flight of its readers. Over the bound only the one that began first is read on, so
    that a message that is longer than the bound still gets through; the others wait for it.

    What is in the buffers of sockets comes on top: a reader stops after what it has just read.
    """

    def __init__(self, limit: int) -> None:
        """`limit`: bytes."""
        self.limit = limit
        self.in_flight = 0
        self._held: dict[Reader, int] = {}  # who began first is first
        self._stopped: dict[Reader, None] = {}

    def add(self, reader: Reader, count: int) -> None:
        """So many more bytes are in flight."""
        if not count:
            return
        self.in_flight += count
        self._held[reader] = self._held.get(reader, 0) + count
        over = self.in_flight > self.limit and self._first is not reader
        if over and reader not in self._stopped:
            self._stopped[reader] = None
            reader.stop_reading()

    def remove(self, reader: Reader, count: int) -> None:
        """So many bytes less are in flight."""
        if count and reader in self._held:
            left = self._held.pop(reader) - count
            self.in_flight -= count
            if left > 0:  # in its old place no more: its oldest message is done
                self._held[reader] = left
            elif reader in self._stopped:  # it may begin again, and be stopped again
                del self._stopped[reader]
                reader.read_on()
            self._go_on()

    def leave(self, reader: Reader) -> None:
        """A reader has ended: nothing of it is in flight."""
        self._stopped.pop(reader, None)
        self.in_flight -= self._held.pop(reader, 0)
        self._go_on()

    @property
    def _first(self) -> Reader | None:
        return next(iter(self._held), None)

    def _go_on(self) -> None:
        """Let all read on that may."""
        if self.in_flight <= self.limit:
            going, self._stopped = self._stopped, {}
        else:
            going = {one: None for one in (self._first,) if one in self._stopped}
            for one in going:
                del self._stopped[one]
        for one in going:
            one.read_on()
