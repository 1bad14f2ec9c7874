"""Exports of the audit trail over HTTP: all records that pass a filter, in the forms of
`runtime.audit_export`, as they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC

from isocenter.core.audit import Entry
from isocenter.core.audit_api import Verification
from isocenter.core.errors import Invalid
from isocenter.runtime.audit_export.forms import FORMS, Form
from isocenter.runtime.audit_export.heading import Heading
from isocenter.runtime.audit_export.paging import pages
from isocenter.runtime.audit_texts import LANGUAGES
from isocenter.runtime.trail_access import TrailAccess
from isocenter.web.audit_common import Clock, now_utc
from isocenter.web.audit_filters import read, without
from isocenter.web.audit_rest import ROUTE, as_file
from isocenter.web.chunks import Pieces, closing
from isocenter.web.exchange import Exchange
from isocenter.web.problems import shown

EXPORT = ROUTE + "/export"
PARAMETERS = ("form", "verify", "lang")  # beside those of the filter

_FLAGS = {"": False, "false": False, "true": True}


class AuditExports:
    """The transaction."""

    def __init__(
        self,
        access: TrailAccess,
        *,
        site: str,
        now: Clock = now_utc,
    ) -> None:
        self._access = access
        self._site = site
        self._now = now

    async def export(self, exchange: Exchange) -> None:
        """A file; with `verify` the whole trail is verified before, and a report says how that
        went."""
        asked, how = without(exchange.query, *PARAMETERS)
        which = read(asked)
        form = _form(how.get("form", ""))
        verify, language = _flag(how.get("verify", "")), _language(how.get("lang", ""))
        trail = await self._access.read(exchange.asker, f"export as {form.name}", which)
        total = await trail.count(which)
        form.check(total)  # before a verification, which takes long
        at = self._now()
        heading = Heading(
            which=which,
            by=exchange.source,
            at=at,
            total=total,
            state=await trail.state(),
            verification=await self._verified(exchange) if verify else None,
            site=self._site,
            language=language,
        )
        name = f"audit-trail-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}{form.suffix}"
        headers = [
            (b"content-type", form.media_type.encode("ascii")),
            (b"cache-control", b"no-store"),
            as_file(name),
        ]
        await exchange.stream(200, headers, _pieces(form, heading, pages(trail, which)))

    async def _verified(self, exchange: Exchange) -> Verification:
        result = Verification()
        async with aclosing(self._access.verify(exchange.asker)) as reports:
            async for report in reports:
                result = report
        return result


async def _pieces(form: Form, heading: Heading, found: AsyncIterator[Sequence[Entry]]) -> Pieces:
    async with closing(found) as entries, closing(form.write(heading, entries)) as pieces:
        async for piece in pieces:
            yield piece


def _form(name: str) -> Form:
    if name not in FORMS:
        raise Invalid(
            f"there is no form {shown(name)} of an export",
            fix=f"choose form= of {', '.join(FORMS)}",
        )
    return FORMS[name]


def _flag(text: str) -> bool:
    if text not in _FLAGS:
        raise Invalid(f"verify={shown(text)} is neither true nor false")
    return _FLAGS[text]


def _language(text: str) -> str:
    if text and text not in LANGUAGES:
        raise Invalid(
            f"there is no report in lang={shown(text)}", fix=f"choose of {', '.join(LANGUAGES)}"
        )
    return text or LANGUAGES[0]
