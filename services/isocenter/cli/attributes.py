"""`isocenter attributes`: what searches match, and how far what was added is filled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from rich.table import Table

from isocenter.cli.common import out, process
from isocenter.core.apis import FillProgress
from isocenter.core.attributes import DEPTH, TABLE, Attribute, Attributes
from isocenter.settings import Settings

_HEADS = ("attribute", "tag", "VR", "level", "state")


async def list_attributes(settings: Settings, *, as_json: bool) -> int:
    """Print every attribute; 0 when searches by all of them find everything."""
    async with process(settings) as env:
        unfilled = await (await env.query()).unfilled() if env.attributes.added else {}
        rows = list(_rows(env.attributes, unfilled))
    if as_json:
        for row in rows:
            out.print(json.dumps(dict(zip(_HEADS, row, strict=True))), markup=False)
    else:
        table = Table(*_HEADS, box=None)
        for row in rows:
            table.add_row(*row)
        out.print(table)
    return 1 if unfilled else 0


def _rows(
    attributes: Attributes, unfilled: Mapping[str, FillProgress]
) -> Iterator[tuple[str, ...]]:
    rows = [row for row in (*TABLE, *attributes.added) if row.matched]
    for row in sorted(rows, key=lambda row: (DEPTH[row.level], row.tag)):
        state = "filled" if row.added else "built in"
        if progress := unfilled.get(row.tag):
            state = f"{progress.looked:,} of about {progress.total:,} objects looked at"
        yield row.creator or row.keyword, _shown(row), row.vr, row.level.name, state


def _shown(row: Attribute) -> str:
    return f"({row.tag[:4]},{row.tag[4:8]})"
