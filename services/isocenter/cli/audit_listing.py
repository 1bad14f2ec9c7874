"""What `isocenter audit list`, `count` and `show` print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from isocenter.cli.audit_common import (
    HEAD,
    entry_of,
    line,
    lines_of,
    reading,
    visible,
)
from isocenter.cli.common import err, out, plain, process
from isocenter.core.audit import AuditFilter, By, Entry
from isocenter.runtime.audit_reading import EVERYTHING

if TYPE_CHECKING:
    from isocenter.settings import Settings


async def list_records(
    settings: Settings,
    which: AuditFilter,
    *,
    limit: int = 50,
    before: str = "",
    ids: bool = False,
    as_json: bool = False,
) -> None:
    """Print the newest records that pass the filter; `limit` 0: all of them."""
    from isocenter.cli.serving import is_served
    from isocenter.runtime.audit_export.paging import pages

    count = 0
    async with process(settings) as env:
        trail = await reading(env, "list", which)
        if before:
            before = (await entry_of(trail, before)).event.id
        total = await trail.count(which)
        async for page in pages(trail, which, limit=limit, before=before):
            if not count and not as_json:
                out.print(HEAD)
            count += len(page)
            _print(page, ids=ids, as_json=as_json)
    if as_json:
        return
    if count:
        out.print(f"{count:,} of {total:,} records")
        return
    out.print("no records" if which == EVERYTHING else "no records pass the filter")
    if not is_served(settings.data):
        err.print(f"those not yet taken in are listed once `isocenter up` runs on {settings.data}")


async def count_records(settings: Settings, which: AuditFilter, by: Sequence[By]) -> None:
    """Print one number, or one for each combination of keys."""
    async with process(settings) as env:
        trail = await reading(env, "count", which)
        if not by:
            out.print(f"{await trail.count(which)}")
            return
        for tally in await trail.tally(which, by):
            keys = "  ".join(visible(key) or "-" for key in tally.keys)
            out.print(f"{tally.count:>12,}  {keys}", markup=False)


async def show_record(settings: Settings, record: str, *, as_json: bool) -> None:
    """Print all fields of a record."""
    async with process(settings) as env:
        trail = await reading(env, f"record {record}")
        entry = await entry_of(trail, record)
        ends = {head.chain: head.last for head in (await trail.state()).heads}
    is_sealed = entry.place.sequence <= ends.get(entry.place.chain, 0)
    if as_json:
        out.print(json.dumps({**_fields(entry), "sealed": is_sealed}, default=plain), markup=False)
        return
    for name, value in lines_of(entry):
        out.print(f"{name:16}  {visible(value)}", markup=False)
    out.print(f"{'sealed':16}  {'yes' if is_sealed else 'not yet'}")


def _print(entries: Sequence[Entry], *, ids: bool, as_json: bool) -> None:
    for entry in entries:
        if as_json:
            out.print(json.dumps(_fields(entry), default=plain), markup=False)
        else:
            out.print(line(entry) + (f"  {visible(entry.event.id)}" if ids else ""), markup=True)


def _fields(entry: Entry) -> dict[str, object]:
    return {**asdict(entry.event), **asdict(entry.place)}
