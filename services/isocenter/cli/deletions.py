"""`isocenter delete`, `deleted` and `undelete`: deletion on request, and its undoing."""

from __future__ import annotations

import json
from datetime import datetime

from isocenter.cli.common import operator, out, process
from isocenter.cli.recording import record
from isocenter.core.access import SYSTEM
from isocenter.core.apis import Ingest
from isocenter.core.deletions import Deletion
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction
from isocenter.core.identity import is_uid
from isocenter.settings import Settings

HEAD = f"{'deleted (UTC)':19}  {'kept until':19}  {'objects':>9}  {'by':16}  id and what"


async def delete(settings: Settings, uids: tuple[str, str, str], reason: str) -> int:
    """Delete a study, or of it a series, or of that an instance; 0 when it is hidden by now."""
    for uid in uids:
        if uid and not is_uid(uid):
            raise Invalid(f"{uid}: not a UID", fix="give UIDs as `isocenter audit` prints them")
    async with process(settings) as env:
        ingest = await env.ingest()
        done = await ingest.delete(SYSTEM, settings.ingest.partition, *uids, operator(), reason)
    out.print(
        f"deleted: {done.instances:,} instances; until {_time(done.keep_until)} UTC they come back"
        f" with\nisocenter undelete {done.id}",
        markup=False,
        soft_wrap=True,
    )
    return _outcome(done.objects - done.kept)


async def deleted(settings: Settings, *, as_json: bool) -> int:
    """What can be restored, one a line."""
    async with process(settings) as env:
        ingest: Ingest = await env.ingest()
        found = [one async for one in ingest.deletions(SYSTEM, settings.ingest.partition)]
        studies = tuple(dict.fromkeys(one.study for one in found))
        await record(env, AuditAction.QUERY, "list of deletions", studies=studies)
    if not as_json:
        out.print(HEAD if found else "nothing is deleted that could be restored")
    for one in found:
        line = json.dumps(_fields(one)) if as_json else _line(one)
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


async def undelete(settings: Settings, deletion: str) -> int:
    """Undo a deletion; 0 when all of it is back by now."""
    async with process(settings) as env:
        ingest = await env.ingest()
        done = await ingest.restore(SYSTEM, settings.ingest.partition, deletion, operator())
    out.print(f"restored: {done.objects - done.kept:,} of {done.objects:,} objects")
    return _outcome(done.kept)


def _outcome(left: int) -> int:
    if left:
        out.print(
            f"{left:,} objects have yet to follow: indexing does it once it runs and comes to it"
        )
    return 1 if left else 0


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _fields(one: Deletion) -> dict[str, object]:
    return {
        "id": one.id,
        "study": one.study,
        "series": one.series,
        "instance": one.instance,
        "objects": one.objects,
        "deleted": one.kept,
        "bytes": one.size,
        "at": one.at.isoformat(),
        "kept_until": one.keep_until.isoformat(),
        "by": one.who,
        "reason": one.reason,
    }


def _line(one: Deletion) -> str:
    what = " ".join(uid for uid in (one.study, one.series, one.instance) if uid)
    return (
        f"{_time(one.at)}  {_time(one.keep_until)}  {one.kept:>9,}  {one.who:16}  {one.id} {what}"
        f"{f' ({one.reason})' if one.reason else ''}"
    )
