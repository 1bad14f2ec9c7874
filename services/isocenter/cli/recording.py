"""What verbs leave in the audit trail, beside what the services record that they call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict, Unpack

from isocenter.cli.common import operator
from isocenter.core.errors import IsocenterError, what_of
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.core.identity import ObjectName, OverlayName
from isocenter.runtime.audit_bounds import LIST_LENGTH

if TYPE_CHECKING:
    from isocenter.app import Process


class Fields(TypedDict, total=False):
    """Of a record, beside those that all of a verb's have."""

    outcome: AuditOutcome
    studies: tuple[str, ...]
    series: tuple[str, ...]
    instances: tuple[str, ...]
    instance_count: int
    destination: str
    error: str
    digests: tuple[str, ...]


async def record(env: Process, action: AuditAction, detail: str, **fields: Unpack[Fields]) -> None:
    """A record in the name of who runs the verb; see `AuditLog.record`."""
    log = await env.audit_log()
    partition = env.settings.ingest.partition
    await log.record(action, operator(), partition=partition, detail=detail, **fields)


@dataclass(slots=True)
class Checked:
    """What was read again."""

    objects: int = 0  # that are as they were stored
    damaged: list[ObjectName] = field(default_factory=list)
    wrong: int = 0  # other things that are not as they should be

    def damage(self, key: str) -> None:
        """An object, or corrections of one, are not as they were stored."""
        name, overlay = ObjectName.from_key(key), OverlayName.from_key(key)
        if name is None and overlay is not None:
            name = overlay.object
        if name is None:
            self.wrong += 1
        else:
            self.damaged.append(name)

    @property
    def error(self) -> str:
        """What is wrong; empty if nothing is."""
        told = [f"{len(self.damaged)} objects are not as they were stored"] if self.damaged else []
        told += [f"{self.wrong} other things are not as they should be"] if self.wrong else []
        return ", ".join(told)


@asynccontextmanager
async def verification(env: Process, detail: str, study: str = "") -> AsyncIterator[Checked]:
    """Around a verb that reads objects again: recorded when it ends, however it does, with all
    that is damaged by its name and digest."""
    checked = Checked()
    broken = "broken off"
    try:
        yield checked
        broken = ""
    except IsocenterError as error:
        broken = what_of(error)
        raise
    finally:
        await _record(env, detail, study, checked, broken or checked.error)


async def _record(env: Process, detail: str, study: str, checked: Checked, error: str) -> None:
    """One record, or as many as it takes to name everything."""
    named = [study] if study else []
    for at in range(0, len(checked.damaged) or 1, LIST_LENGTH):
        some = checked.damaged[at : at + LIST_LENGTH]
        await record(
            env,
            AuditAction.VERIFY,
            detail,
            outcome=AuditOutcome.FAILURE if error else AuditOutcome.SUCCESS,
            studies=tuple(dict.fromkeys([*named, *(one.name.study for one in some)])),
            series=tuple(dict.fromkeys(one.name.series for one in some)),
            instances=tuple(one.name.instance for one in some),
            instance_count=checked.objects + len(checked.damaged),
            digests=tuple(one.digest for one in some),
            error=error,
        )
