"""The policy in force: its rules from a file, and what is marked as confidential from records; both
are looked at again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from isocenter.core.access import EVERYONE, Policy, Rule
from isocenter.core.apis import Storage
from isocenter.core.errors import IsocenterError
from isocenter.runtime.access import policy_file
from isocenter.runtime.access.marks import Mark, MarkRecords, marks_of
from isocenter.runtime.instruments import ACCESS_POLICY_REFUSED
from isocenter.runtime.named_records import Follower
from isocenter.runtime.telemetry import OFF, Telemetry

logger = logging.getLogger(__name__)

_Stamp = tuple[int, int, int] | None


class PolicyInForce:
    """Follows the file of a policy, and the marks. What cannot be used changes nothing, and is told
    once."""

    def __init__(
        self,
        file: Path | None,
        every: float,
        storage: Callable[[], Awaitable[Storage]],
        telemetry: Telemetry = OFF,
    ) -> None:
        """`every`: seconds between two looks."""
        self._file = file
        self._every = every
        self._storage = storage
        self._stamp: _Stamp = None
        self._rules: tuple[Rule, ...] = (EVERYONE,)
        self._policy = Policy()
        self._refused = False  # the file as it is now
        self._marked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        telemetry.observe(ACCESS_POLICY_REFUSED, lambda: [(float(self._refused), {})])

    def __call__(self) -> Policy:
        """The policy."""
        return self._policy

    @property
    def complete(self) -> bool:
        """Whether all that is confidential is known."""
        return self._marked.is_set()

    async def marks_known(self) -> None:
        """Wait until it is."""
        await self._marked.wait()

    async def start(self) -> None:
        """Raises `Invalid` if the file cannot be used."""
        if self._file is not None:
            self._stamp = _stamp(self._file)
            self._take(policy_file.read(self._file))
            self._tasks.append(asyncio.create_task(self._follow(self._file), name="policy"))
        self._tasks.append(asyncio.create_task(self._follow_marks(), name="marks"))

    async def close(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    async def _follow(self, file: Path) -> None:
        while True:
            await asyncio.sleep(self._every)
            stamp = _stamp(file)
            if stamp == self._stamp:
                continue
            self._stamp = stamp
            try:
                self._take(policy_file.read(file))
                self._refused = False
                logger.info("the policy has changed", extra={"rules": len(self._rules)})
            except IsocenterError as error:
                self._refused = True
                logger.error(
                    "the policy cannot be used; it stays as it was", extra={"why": str(error)}
                )

    async def _follow_marks(self) -> None:
        records = MarkRecords(await self._reached()).records
        await Follower(records, self._keep_marks, self._every, "marks").run()

    async def _reached(self) -> Storage:
        while True:
            try:
                return await self._storage()
            except IsocenterError as error:
                logger.warning("what is confidential is not known yet", extra={"why": str(error)})
                await asyncio.sleep(self._every)

    def _keep_marks(self, marks: Mapping[str, Mark]) -> None:
        found = marks_of(marks.values())
        self._marked.set()
        if found != self._policy.marks:
            self._policy = Policy(self._rules, found)

    def _take(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._policy = Policy(rules, self._policy.marks)


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
