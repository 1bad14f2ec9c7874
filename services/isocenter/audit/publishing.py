"""Publishes the newest heads of the chains wherever the settings want them, after every seal.

Each place has a task of its own: one that fails or hangs holds up neither the others nor sealing.
What could not be published is, together with what is newer, at the next seal.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from isocenter.audit.heads import Newest, publication
from isocenter.audit.keys import KeyFolder
from isocenter.audit.segments import Sealed, Segments
from isocenter.audit.settings import AuditSettings
from isocenter.audit.stamps import TimeStamps
from isocenter.core.errors import Unavailable, what_of
from isocenter.runtime.instruments import AUDIT_PUBLISH_FAILURES
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.runtime.threads import Threads

logger = logging.getLogger(__name__)

_STOP_SECONDS = 3.0  # for the heads of the last seal

Publish = Callable[[Sequence[Sealed]], Awaitable[None]]
Tell = Callable[[Sequence[Sealed]], None]


class HeadsFile:
    """A file that grows by a line for each publication."""

    def __init__(self, path: Path, keys: KeyFolder) -> None:
        self._path = path
        self._keys = keys
        # A file system that hangs must not keep the process from ending, as the loop's threads do.
        self._strand = Threads(1, "heads").strand()

    async def publish(self, seals: Sequence[Sealed]) -> None:
        """Append a line; durable on return. Raises `Unavailable`, `Invalid`."""
        await asyncio.shield(self._strand.start(self._append, seals))

    def _append(self, seals: Sequence[Sealed]) -> None:
        line = publication(seals, self._keys.all()[-1], datetime.now(UTC)) + b"\n"
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                end = os.lseek(descriptor, 0, os.SEEK_END)
                if end and os.pread(descriptor, 1, end - 1) != b"\n":
                    line = b"\n" + line  # the line before was not written to its end
                if os.write(descriptor, line) < len(line):
                    raise OSError(0, "it has no room for a whole line")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable(
                f"heads cannot be written to {self._path}: {error.strerror}",
                fix="check audit.heads_file, its disk and its permissions",
            ) from error


class _Place:
    """Somewhere that heads are published."""

    def __init__(self, name: str, publish: Publish, telemetry: Telemetry) -> None:
        self.name = name
        self.problem = ""
        self._publish = publish
        self._telemetry = telemetry
        self._newest = Newest()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def add(self, seals: Sequence[Sealed]) -> None:
        """There are newer ones."""
        self._newest.add(seals)
        self._more.set()
        self._idle.clear()

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"heads to {self.name}")

    async def stop(self) -> None:
        """Publish the last ones, if that is soon done."""
        if self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._idle.wait()
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            seals = self._newest.all()
            try:
                await self._publish(seals)
                self._newest.told(seals)
                self.problem = ""
            except Exception as error:  # noqa: BLE001 (whatever it is, the next seal comes)
                self.problem = f"heads of the audit trail are not published: {what_of(error)}"
                self._telemetry.count(AUDIT_PUBLISH_FAILURES, 1, {"destination": self.name})
                logger.warning(
                    "heads of the audit trail are not published",
                    extra={"destination": self.name, "error": what_of(error)},
                )
            if not self._more.is_set():
                self._idle.set()


class Publisher:
    """All places."""

    def __init__(
        self,
        *,
        settings: AuditSettings,
        keys: KeyFolder,
        segments: Segments,
        collectors: Tell,
        telemetry: Telemetry = OFF,
    ) -> None:
        """`collectors` are told too; they have their own way of trying again."""
        self._collectors = collectors
        self._places: list[_Place] = []
        if settings.heads_file is not None:
            publish = HeadsFile(settings.heads_file, keys).publish
            self._places.append(_Place("file", publish, telemetry))
        if settings.tsa_url:
            stamps = TimeStamps(
                url=settings.tsa_url,
                ca=settings.tsa_ca_file,
                hours=settings.tsa_hours,
                segments=segments,
            )
            self._places.append(_Place("stamp", stamps.publish, telemetry))

    async def sealed(self, seals: Sequence[Sealed]) -> None:
        """Seals were made. Waits for nothing."""
        self._collectors(seals)
        for place in self._places:
            place.add(seals)

    def problems(self) -> Sequence[str]:
        """What is not published now, and why. None of it keeps the trail from being kept."""
        return [place.problem for place in self._places if place.problem]

    async def start(self) -> None:
        """Begin."""
        for place in self._places:
            await place.start()

    async def stop(self) -> None:
        """End; what is not published then is at the next seal of its chain."""
        await asyncio.gather(*(place.stop() for place in self._places))
