"""The pages of links: making them, and opening them without an account."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from isocenter.core.errors import (
    Invalid,
    IsocenterError,
    NotFound,
    Refused,
    TooMany,
    Withheld,
)
from isocenter.core.identity import is_uid
from isocenter.runtime.access.sharing import SHORTEST_PASSCODE, Sharing
from isocenter.web import cookies
from isocenter.web.audit_common import base_url
from isocenter.web.exchange import Exchange
from isocenter.web.problems import as_problem
from isocenter.web.shell import Shell, View, headers_of
from isocenter.web.sign_in import browser_of
from isocenter.web.small_bodies import form

SHARE = "/share"
REVOKED = SHARE + "/revoked"
LINK = SHARE + "/{secret}"

DEFAULT_DAYS, MOST_OPENINGS = 14, 1000
_EMPTY = {"study": "", "label": "", "days": str(DEFAULT_DAYS), "openings": "", "download": ""}


class SharingPages:
    """The transactions."""

    def __init__(self, sharing: Sharing, shell: Shell) -> None:
        self._sharing = sharing
        self._shell = shell

    async def shown(self, exchange: Exchange, view: View) -> None:
        """The links that there are, and the form for another one."""
        await self._page(exchange, view, {"study": dict(view.query).get("study", "")})

    async def make(self, exchange: Exchange, view: View) -> None:
        """Make a link; the page shows its address, once."""
        given = dict(await form(exchange))
        study = given.get("study", "").strip()
        try:
            if not is_uid(study):
                raise Invalid("this is no Study Instance UID")
            secret = await self._sharing.share(
                exchange.asker,
                study,
                given.get("label", ""),
                days=_number(given, "days", DEFAULT_DAYS),
                passcode=given.get("passcode", ""),
                openings=int(_number(given, "openings", 0)),
                download=given.get("download") == "yes",
            )
        except Withheld:
            await self._page(exchange, view, given, "there is no such study", 404)
            return
        except (Invalid, Refused) as error:
            status = 403 if isinstance(error, Refused) else 400
            await self._page(exchange, view, given, str(error), status)
            return
        address = f"{base_url(exchange)}{SHARE}/{secret}"
        await self._page(exchange, view, {}, made=address)

    async def revoke(self, exchange: Exchange, view: View) -> None:
        """End a link."""
        given = dict(await form(exchange))
        await self._sharing.revoke(exchange.asker, given.get("id", ""))
        await exchange.answer(303, [(b"location", view.link(SHARE).encode("ascii"))])

    async def opening(self, exchange: Exchange, view: View) -> None:
        """What a link leads to; nothing is opened before somebody says so."""
        try:
            known = await self._sharing.doors.links.behind(exchange.path["secret"])
        except NotFound:
            await self._over(exchange, view)
            return
        context = {"page": "", "caller": None, "link_of": known.link, "error": ""}
        await self._shell.answer(exchange, view, "opening.html", context)

    async def open(self, exchange: Exchange, view: View) -> None:
        """Open it: a session that sees this study and nothing else."""
        given = dict(await form(exchange))
        secret = exchange.path["secret"]
        try:
            known, session = await self._sharing.open_link(
                secret, given.get("passcode", ""), browser_of(exchange), exchange.source
            )
        except NotFound:
            await self._over(exchange, view)
            return
        except (Refused, TooMany) as error:
            link = (await self._sharing.doors.links.behind(secret)).link
            why = "signin.too_many" if isinstance(error, TooMany) else "opening.wrong"
            context = {"page": "", "caller": None, "link_of": link, "error": why}
            told = as_problem(error)
            await self._shell.answer(
                exchange, view, "opening.html", context, told.status, told.headers
            )
            return
        if exchange.session is not None:
            await self._sharing.doors.sessions.end(exchange.session.id)
        place = f"{view.root}/viewer/viewer?StudyInstanceUIDs={quote(known.link.study)}"
        headers = [(b"location", place.encode("ascii")), cookies.kept(exchange, session)]
        await exchange.answer(303, [*headers_of(view), *headers])

    async def _over(self, exchange: Exchange, view: View) -> None:
        context = {
            "page": "",
            "caller": None,
            "title": "opening.over_title",
            "why": "opening.over",
            "signing_in": False,
        }
        await self._shell.answer(exchange, view, "over.html", context, 404)

    async def _page(
        self,
        exchange: Exchange,
        view: View,
        values: Mapping[str, str],
        error: str = "",
        status: int = 200,
        made: str = "",
    ) -> None:
        try:
            links = await self._sharing.links(exchange.asker)
        except IsocenterError as failed:
            links, error = [], error or str(failed)
        opened = {one.id: await self._sharing.doors.links.openings_of(one.id) for one in links}
        context = {
            "page": "share",
            "caller": exchange.caller,
            "values": {**_EMPTY, **values},
            "error": error,
            "made": made,
            "links": links,
            "opened": opened,
            "shortest": SHORTEST_PASSCODE,
            "most": MOST_OPENINGS,
        }
        await self._shell.answer(exchange, view, "sharing.html", context, status)


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    text = given.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise Invalid(f"{name} must be a number")
    return float(text)
