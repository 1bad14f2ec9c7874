"""`isocenter audit object`: what happened to an object, and whether what is kept is what came."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from isocenter.cli.audit_common import HEAD, line, reading, visible
from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    opened,
    out,
    plain,
    process,
    run_async,
)
from isocenter.cli.recording import verification
from isocenter.core.audit import AuditFilter, Entry
from isocenter.core.errors import NotFound
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.core.identity import ObjectName, objects_prefix

if TYPE_CHECKING:
    from isocenter.app import Process
    from isocenter.settings import Settings

_ARRIVALS = (AuditAction.STORE, AuditAction.IMPORT)


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of the object that is kept, read again."""

    digest: str
    problem: str  # empty: it has the digest that it was stored with
    arrival: Entry | None  # the record of its store

    @property
    def sound(self) -> bool:
        return not self.problem and self.arrival is not None

    def __str__(self) -> str:
        if self.problem:
            return f"{self.digest}: what is kept is NOT what was stored: {self.problem}"
        if self.arrival is None:
            return f"{self.digest}: no record of the trail says who sent it"
        event, place = self.arrival.event, self.arrival.place
        source = event.source
        sender = visible(source.who or source.protocol)
        if source.host and source.host != sender:
            sender += f" ({visible(source.host)})"
        return (
            f"{self.digest}: this is what {sender} sent on {event.at:%Y-%m-%d} at"
            f" {event.at:%H:%M:%S} UTC (record {place.sequence} of {place.chain})"
        )


def object_(
    uid: Annotated[str, typer.Argument(metavar="UID", help="SOP Instance UID.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """The story of an object, oldest first, and whether what is kept is what came.

    Exit code 1 if something that is kept is not what a record says, or no record tells of it.
    """
    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(tell_story(settings, uid, as_json=as_json)))


async def tell_story(settings: Settings, uid: str, *, as_json: bool) -> int:
    """Print the story; 0 unless something that is kept did not come as it is."""
    async with process(settings) as env:
        trail = await reading(env, "story of an object", AuditFilter(instance=uid))
        entries = await trail.story(uid)
        if not entries:
            raise NotFound(
                f"no record of the trail is about the object {visible(uid)}",
                fix="check the UID; retention may have removed the records",
            )
        kept = await _versions(env, entries, uid)
    if as_json:
        story = [{**asdict(entry.event), **asdict(entry.place)} for entry in entries]
        now = [
            {
                "digest": one.digest,
                "sound": one.sound,
                "problem": one.problem,
                "record": one.arrival and one.arrival.event.id,
            }
            for one in kept
        ]
        out.print(json.dumps({"records": story, "kept": now}, default=plain), markup=False)
    else:
        _print(entries, kept)
    return 0 if all(one.sound for one in kept) else 1


def _print(entries: Sequence[Entry], kept: Sequence[_Version]) -> None:
    out.print(HEAD)
    for entry in entries:
        out.print(line(entry), markup=True)
        for digest in entry.event.digests:
            out.print(f"{'':19}  SHA-256 {visible(digest)}", markup=False)
    out.print()
    for version in kept:
        out.print(str(version), markup=False)
    if not kept:
        out.print("nothing is kept under this UID now")


async def _versions(env: Process, entries: Sequence[Entry], uid: str) -> Sequence[_Version]:
    """All versions that are kept where the records say that the object is, read again."""
    storage, partition = await env.storage(), env.settings.ingest.partition
    arrivals = _arrivals(entries, uid)
    places = {
        (entry.event.partition or partition, *entry.event.studies, *entry.event.series)
        for entry in entries
        if uid in entry.event.instances and len(entry.event.studies) == len(entry.event.series) == 1
    }
    found = []
    async with verification(env, "story of an object") as checked:
        for place in sorted(places):
            async for result in storage.verify(objects_prefix(*place, uid)):
                name = ObjectName.from_key(result.key)
                if not result.ok:
                    checked.damage(result.key)
                elif name:  # not an overlay
                    checked.objects += 1
                if name:
                    problem = "" if result.ok else result.problem
                    found.append(_Version(name.digest, problem, arrivals.get(name.digest)))
    return found


def _arrivals(entries: Sequence[Entry], uid: str) -> Mapping[str, Entry]:
    """Digest -> the first record that says that it was stored."""
    found: dict[str, Entry] = {}
    for entry in entries:
        event = entry.event
        arrived = event.action in _ARRIVALS and event.outcome is AuditOutcome.SUCCESS
        if arrived and uid in event.instances:
            for digest in event.digests:
                found.setdefault(digest, entry)
    return found
