"""Names of audit records that fit an address and a FHIR id, and the records by these names.

The ids of records hold what neither may (a slash, say), and may be longer than the 64 characters of
a FHIR id. A name is the time of its record and the beginning of a digest of its id: the time finds
the few records it may be, without an index of names, and the digest tells which one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from isocenter.core.audit import AuditFilter, Entry
from isocenter.core.audit_api import AuditTrail
from isocenter.core.errors import NotFound
from isocenter.core.events import AuditEvent

PATTERN = r"[0-9]{8}T[0-9]{12}Z-[0-9a-f]{32}"  # of FHIR's [A-Za-z0-9.-]{1,64}

_NAME = re.compile(PATTERN)
_TIME = "%Y%m%dT%H%M%S%f"
_DIGITS = 32
_AROUND = timedelta(milliseconds=1)  # some indices know times no better
_PAGE = 1000


def name_of(event: AuditEvent) -> str:
    """The name of a record."""
    at = event.at.astimezone(UTC)
    digest = sha256(event.id.encode(errors="surrogatepass")).hexdigest()
    return f"{at.year:04}{at.strftime('%m%dT%H%M%S%f')}Z-{digest[:_DIGITS]}"


def window_of(name: str) -> tuple[datetime, datetime]:
    """The time within which its record is: not before, and before. Raises `NotFound`."""
    try:
        if not _NAME.fullmatch(name):
            raise ValueError
        at = datetime.strptime(name.partition("Z")[0], _TIME).replace(tzinfo=UTC)
        return at - _AROUND, at + _AROUND
    except (ValueError, OverflowError) as error:
        raise _unknown() from error


async def named(trail: AuditTrail, name: str) -> Entry:
    """The record of a name. Raises `NotFound`."""
    since, until = window_of(name)
    which, before = AuditFilter(since=since, until=until), ""
    while page := await trail.search(which, _PAGE, before):
        for entry in page:
            if name_of(entry.event) == name:
                return entry
        if len(page) < _PAGE:
            break
        before = page[-1].event.id
    raise _unknown()


def _unknown() -> NotFound:
    return NotFound(
        "there is no audit record of this name",
        fix="take names from a search; retention may have removed the record",
    )
