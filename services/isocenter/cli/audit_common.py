"""What verbs of `isocenter audit` share: settings, records of what they do, lines of records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rich.markup import escape

from isocenter.cli.common import operating, operator
from isocenter.core.audit import AuditFilter, Entry
from isocenter.core.errors import NotFound
from isocenter.core.events import AuditOutcome
from isocenter.runtime.audit_reading import EVERYTHING, trail_changed

if TYPE_CHECKING:
    from isocenter.app import Process
    from isocenter.audit.segments import Segments
    from isocenter.core.audit_api import AuditTrail
    from isocenter.runtime.trail_access import TrailAccess

STYLES = {
    AuditOutcome.SUCCESS: "green",
    AuditOutcome.MINOR_FAILURE: "yellow",
    AuditOutcome.FAILURE: "red",
}

HEAD = (
    f"{'when (UTC)':19}  {'who':16}  {'from':15}  {'what':8}  {'outcome':13}  {'images':>6}  detail"
)


async def access(env: Process) -> TrailAccess:
    """The trail, for whoever runs a verb."""
    from isocenter.runtime.trail_access import TrailAccess

    trail, audit_log = await env.audit_trail(), await env.audit_log()
    guard = await env.guard()
    return TrailAccess(trail=trail, audit_log=audit_log, guard=guard, allowed=True)


async def reading(env: Process, what: str, which: AuditFilter = EVERYTHING) -> AuditTrail:
    """The trail, for somebody who reads it: the record of that is durable on return."""
    return await (await access(env)).read(operating(), what, which)


@asynccontextmanager
async def change(env: Process, detail: str) -> AsyncIterator[None]:
    """Something is changed beside the trail, in the name of who runs the verb."""
    async with trail_changed(await env.audit_log(), operator(), detail):
        yield


@asynccontextmanager
async def sealed(env: Process) -> AsyncIterator[Segments]:
    """What is sealed, to be read alone: of files nothing is written, so that they may be on a
    medium that takes nothing."""
    from isocenter.adapters.blobs.files import FileBlobs
    from isocenter.audit.segments import Segments
    from isocenter.backends import BLOBS, Embedded, adapter_of

    settings = env.settings
    setting, url = "audit.store", settings.audit.store
    if not url:
        setting, url = "blobs", settings.blobs
    adapter = adapter_of(setting, url, BLOBS)
    if not isinstance(adapter, Embedded):
        yield Segments(await env.audit_store())
        return
    blobs = FileBlobs.to_read(adapter.path(url, settings.data))
    try:
        yield Segments(blobs)
    finally:
        await blobs.close()


async def entry_of(trail: AuditTrail, record: str) -> Entry:
    """The record of an id, or of the name that it has in addresses. Raises `NotFound`."""
    from isocenter.runtime.audit_ids import named

    try:
        return await trail.get(record)
    except NotFound as error:
        try:
            return await named(trail, record)
        except NotFound:
            raise NotFound(
                f"there is no audit record {visible(record)}",
                fix="`isocenter audit list --ids` prints ids; retention may have removed it",
            ) from error


def line(entry: Entry) -> str:
    """A record on one line, with the colours of `rich`."""
    record = entry.event
    source, outcome = record.source, record.outcome
    who = source.user or source.ae_title or source.protocol
    count = str(record.instance_count or "")
    told = " ".join(filter(None, (record.detail, record.destination, record.error)))
    return (
        f"{record.at:%Y-%m-%d %H:%M:%S}  {_escaped(who):16}  {_escaped(source.host):15}  "
        f"{record.action.value:8}  [{STYLES[outcome]}]{outcome.value:13}[/]  {count:>6}  "
        f"{_escaped(told)}"
    )


def lines_of(entry: Entry) -> Iterator[tuple[str, str]]:
    """The fields of a record that say something, and its place."""
    from isocenter.runtime.audit_records import fields_of

    yield "chain", entry.place.chain
    yield "number", str(entry.place.sequence)
    fields = fields_of(entry.event)
    for name, value in {**fields, **fields["source"]}.items():
        if name == "source":
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            yield name.replace("_", " "), str(one)


def visible(text: str) -> str:
    """A text without what steers a terminal."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _escaped(text: str) -> str:
    return escape(visible(text))
