"""The policy in force: read from its file, again when that changes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from isocenter.core.access import EVERYONE, Policy, Rule
from isocenter.core.errors import IsocenterError
from isocenter.runtime.access import policy_file

logger = logging.getLogger(__name__)

_Stamp = tuple[int, int, int] | None


class PolicyInForce:
    """Follows the file of a policy. What cannot be used changes nothing, and is told once."""

    def __init__(self, file: Path | None, every: float) -> None:
        """`every`: seconds between two looks."""
        self._file = file
        self._every = every
        self._stamp: _Stamp = None
        self._rules: tuple[Rule, ...] = (EVERYONE,)
        self._policy = Policy()
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> Policy:
        """The policy."""
        return self._policy

    async def start(self) -> None:
        """Raises `Invalid` if the file cannot be used."""
        if self._file is None:
            return
        self._stamp = _stamp(self._file)
        self._take(policy_file.read(self._file))
        self._task = asyncio.create_task(self._follow(self._file), name="policy")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _follow(self, file: Path) -> None:
        while True:
            await asyncio.sleep(self._every)
            stamp = _stamp(file)
            if stamp == self._stamp:
                continue
            self._stamp = stamp
            try:
                self._take(policy_file.read(file))
                logger.info("the policy has changed", extra={"rules": len(self._rules)})
            except IsocenterError as error:
                logger.error(
                    "the policy cannot be used; it stays as it was", extra={"why": str(error)}
                )

    def _take(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._policy = Policy(rules)


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
