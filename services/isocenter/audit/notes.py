"""What officers keep beside the trail: saved searches and legal holds, small records in the object
store, `audit/searches/{name}/{time}-{random}` and `audit/holds/...`: the name in hexadecimal, since
it may hold what no key may. The last record of a name counts.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson

from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import Hold, SavedSearch
from isocenter.core.errors import Corrupted, Invalid, NotFound
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.core.ports import BlobStore
from isocenter.runtime.streams import generator

SEARCHES = "audit/searches/"
HOLDS = "audit/holds/"

_NAME_BYTES = 60
_REASON_LENGTH = 500


class Notes:
    """The records of one kind, by name."""

    def __init__(self, blobs: BlobStore, prefix: str) -> None:
        self._blobs = blobs
        self._prefix = prefix

    async def all(self) -> Mapping[str, dict[str, Any]]:
        """Name -> fields, by name."""
        last: dict[str, str] = {}
        async with aclosing(generator(self._blobs.list(self._prefix))) as infos:
            async for info in infos:
                last[_name_in(info.key)] = info.key
        found = {}
        for name, key in sorted(last.items()):
            try:
                found[name] = orjson.loads(await self._blobs.get(key))
            except NotFound:  # removed since it was listed
                continue
            except orjson.JSONDecodeError as error:
                raise Corrupted(
                    f"{key} cannot be read", fix="remove it, and make it anew"
                ) from error
        return found

    async def keep(self, name: str, fields: Mapping[str, Any]) -> None:
        """Durable on return, in place of what had the name. Raises `Invalid`."""
        folder = self._folder(name)
        older = await self._keys(folder)
        text = orjson.dumps(fields)
        key = f"{folder}{time.time_ns():020}-{secrets.token_hex(4)}"
        if older and older[-1] >= key:  # clocks differ
            key = f"{older[-1]}.1"
        await self._blobs.put(key, [text], sha256(text).hexdigest())
        for one in older:
            await self._blobs.delete(one)

    async def remove(self, name: str) -> None:
        """Raises `NotFound`."""
        keys = await self._keys(self._folder(name))
        if not keys:
            raise NotFound(f"there is nothing named {name!r}", fix="see the list for the names")
        for key in keys:
            await self._blobs.delete(key)

    async def _keys(self, folder: str) -> list[str]:
        async with aclosing(generator(self._blobs.list(folder))) as infos:
            return [info.key async for info in infos]

    def _folder(self, name: str) -> str:
        text = name.encode(errors="replace")
        if not name.strip() or not name.isprintable() or len(text) > _NAME_BYTES:
            raise Invalid(
                "the name is empty, too long or not printable",
                fix=f"use at most {_NAME_BYTES} bytes of text on one line",
            )
        return f"{self._prefix}{text.hex()}/"


def _name_in(key: str) -> str:
    try:
        return bytes.fromhex(key.split("/")[2]).decode()
    except ValueError as error:
        raise Corrupted(f"{key} has no name", fix="remove it") from error


def search_to(search: SavedSearch) -> dict[str, Any]:
    """The fields of a saved search."""
    fields = asdict(search.which)
    which = {name: value for name, value in fields.items() if value}
    return {"which": which, "by": asdict(search.by), "at": search.at, "days": search.days}


def search_from(name: str, fields: Mapping[str, Any]) -> SavedSearch:
    """A saved search from its fields. Raises `Corrupted`."""
    try:
        which = dict(fields["which"])
        for moment in ("since", "until"):
            if moment in which:
                which[moment] = datetime.fromisoformat(which[moment])
        which["actions"] = tuple(AuditAction(one) for one in which.get("actions", ()))
        which["outcomes"] = tuple(AuditOutcome(one) for one in which.get("outcomes", ()))
        at = datetime.fromisoformat(fields["at"])
        by = Source(**fields["by"])
        return SavedSearch(name, AuditFilter(**which), by, at, int(fields["days"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupted(f"the saved search {name!r} cannot be read", fix="save it anew") from error


def hold_to(hold: Hold) -> dict[str, Any]:
    """The fields of a hold. Raises `Invalid` for its reason."""
    if not hold.reason.strip() or len(hold.reason) > _REASON_LENGTH:
        raise Invalid(
            "a legal hold needs a reason", fix=f"say it in at most {_REASON_LENGTH} characters"
        )
    return {"reason": hold.reason, "by": asdict(hold.by), "at": hold.at}


def hold_from(name: str, fields: Mapping[str, Any]) -> Hold:
    """A hold from its fields. Raises `Corrupted`."""
    try:
        at = datetime.fromisoformat(fields["at"])
        return Hold(name, fields["reason"], Source(**fields["by"]), at)
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupted(f"the legal hold {name!r} cannot be read", fix="make it anew") from error
