"""What services ask about access."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from isocenter.core.access import Caller, Right
from isocenter.core.events import Source
from isocenter.core.matching import JsonAttributes
from isocenter.core.scope import Scope


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: for the policy, and for the audit trail."""

    caller: Caller
    source: Source


class Guard(Protocol):
    """Decides for the services of a process, by the policy as it is now."""

    def scope(self, caller: Caller, right: Right) -> Scope:
        """The studies with which a caller may do something; `NOTHING` also where its roles do not
        allow that at all."""
        ...

    def require(self, caller: Caller, right: Right) -> None:
        """Raises `Refused` where the roles of a caller do not allow something at all."""
        ...

    async def check(
        self, caller: Caller, right: Right, partition: str, study: str, *, at_once: bool = False
    ) -> None:
        """Raises `Refused` as `require`, and `Withheld` where the caller may not do this with the
        study, or where nothing is known of a study of which something has to be known. That of a
        study which has just been stored is awaited for a moment, unless `at_once`."""
        ...

    async def check_sending(self, to: Caller, partition: str, study: str) -> None:
        """Raises `Withheld` where a rule denies a study to whom somebody else has it sent; whether
        they may is for `check`."""
        ...

    def check_new(self, caller: Caller, right: Right, study: JsonAttributes) -> None:
        """The same about a study of which the caller brings a part. Raises `Refused`."""
        ...

    async def check_addition(
        self, caller: Caller, partition: str, study: str, brought: JsonAttributes
    ) -> bool:
        """Raises `Refused` where a caller may not add what they bring to a study, if it is one that
        is kept (`core.access.addition`). Whether the study is, or becomes, one of the site that
        this comes from: that of others, which the caller cannot open, does not."""
        ...
