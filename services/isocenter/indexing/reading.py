"""From events and objects to what the packs and the index hold of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import orjson

from isocenter.core.apis import Storage
from isocenter.core.attributes import Attributes
from isocenter.core.entries import entry_from_event, entry_from_object
from isocenter.core.errors import DeadlineExceeded, OutOfResources, Unavailable
from isocenter.core.events import InstanceStored
from isocenter.core.identity import ObjectName
from isocenter.core.matching import JsonAttributes
from isocenter.core.overlays import Overlay
from isocenter.core.packs import PackEntry
from isocenter.core.ports import IndexEntry
from isocenter.runtime.streams import generator

# Not the fault of the event or object in hand: the same again may succeed.
TRANSIENT = (Unavailable, OutOfResources, DeadlineExceeded)


@dataclass(frozen=True, slots=True)
class Read:
    """One version of an instance, read."""

    pack: PackEntry
    index: IndexEntry


def dumps(attributes: JsonAttributes) -> bytes:
    """JSON of attributes; invalid Unicode and integers of more than 64 bits are approximated."""
    try:
        return orjson.dumps(attributes)
    except TypeError:
        return orjson.dumps(_mended(attributes))


def _mended(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value)
    if isinstance(value, dict):
        return {key: _mended(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mended(item) for item in value]
    return value


def from_pack(entry: PackEntry, table: Attributes) -> Read:
    """What an entry of a pack means for the index: the one way, live and in a rebuild."""
    attributes = cast("JsonAttributes", orjson.loads(entry.attributes))
    return Read(
        entry,
        IndexEntry(
            entry.name,
            entry.digest,
            entry.object.key,
            entry.size,
            entry.sop_class,
            entry.transfer_syntax,
            table.extract(attributes),
        ),
    )


async def read_object(
    storage: Storage,
    table: Attributes,
    name: ObjectName,
    size: int,
    checksum: str = "",
    overlay: Overlay | None = None,
) -> Read:
    """Read an object's header, and its frames' places, from the object store."""
    # A header ends long before the object: what is behind it is not waited for.
    async with aclosing(generator(storage.read(name.key))) as chunks:
        entry, _ = await entry_from_object(name, size, chunks, dumps, checksum, overlay)
    return from_pack(entry, table)


async def read_events(
    storage: Storage,
    table: Attributes,
    events: Sequence[InstanceStored],
    overlays: Mapping[ObjectName, Overlay],
) -> tuple[Mapping[int, Read], Mapping[int, Exception]]:
    """What the events tell, with the overlays that count, by their place in the sequence; and the
    errors of the others.

    Raises the error if it is transient.
    """
    found, errors = await asyncio.to_thread(_read_inline, table, events, overlays)
    for place, event in enumerate(events):
        if place in found or place in errors:
            continue
        name = ObjectName(event.name, event.digest)
        try:
            found[place] = await read_object(
                storage, table, name, event.size, event.checksum, overlays.get(name)
            )
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one object does, the others go on
            errors[place] = error
    return found, errors


def _read_inline(
    table: Attributes,
    events: Sequence[InstanceStored],
    overlays: Mapping[ObjectName, Overlay],
) -> tuple[dict[int, Read], dict[int, Exception]]:
    found: dict[int, Read] = {}
    errors: dict[int, Exception] = {}
    for place, event in enumerate(events):
        try:
            name = ObjectName(event.name, event.digest)
            made = entry_from_event(event, dumps, overlays.get(name))
            if made:
                found[place] = from_pack(made[0], table)
        except Exception as error:  # noqa: BLE001 - whatever one header does, the others go on
            errors[place] = error
    return found, errors
