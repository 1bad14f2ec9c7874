"""Links to studies and confidential marks over HTTP, below `/api/links` and `/api/marks`:
extensions of ours, for portals that share studies and systems that know whom to protect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from isocenter.core.errors import Invalid
from isocenter.core.identity import is_uid
from isocenter.runtime.access.administration import AccessAdministration
from isocenter.runtime.access.links import MAX_DAYS, KnownLink, id_of
from isocenter.runtime.access.marks import Mark
from isocenter.runtime.access.names import told_of
from isocenter.runtime.access.sharing import Sharing
from isocenter.web.audit_common import base_url
from isocenter.web.audit_rest import answer
from isocenter.web.exchange import Exchange
from isocenter.web.sharing import DEFAULT_DAYS, MOST_OPENINGS, SHARE
from isocenter.web.small_bodies import fields

LINKS = "/api/links"
ONE_LINK = LINKS + "/{link}"
CONFIDENTIAL = "/api/marks"
ONE_MARK = CONFIDENTIAL + "/{mark}"


class WantedLink(BaseModel):
    """What a link is asked for with."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    study: str
    label: str
    days: Annotated[float, Field(gt=0, le=MAX_DAYS)] = DEFAULT_DAYS
    passcode: str = ""
    openings: Annotated[int, Field(ge=0, le=MOST_OPENINGS)] = 0
    download: bool = False


class AccessRest:
    """The transactions."""

    def __init__(self, sharing: Sharing, administration: AccessAdministration) -> None:
        self._sharing = sharing
        self._administration = administration

    async def links(self, exchange: Exchange) -> None:
        """Those of whoever asks, or all for administrators; newest first."""
        exchange.parameters()
        known = await self._sharing.links(exchange.asker)
        openings = self._sharing.doors.links.openings_of
        await answer(exchange, {"links": [_link(one, await openings(one.id)) for one in known]})

    async def make_link(self, exchange: Exchange) -> None:
        """201 with the address, which is told this once."""
        exchange.parameters()
        wanted = _wanted(await fields(exchange))
        secret = await self._sharing.share(
            exchange.asker,
            wanted.study,
            wanted.label,
            days=wanted.days,
            passcode=wanted.passcode,
            openings=wanted.openings,
            download=wanted.download,
        )
        told = {"id": id_of(secret), "url": f"{base_url(exchange)}{SHARE}/{secret}"}
        await answer(exchange, told, 201)

    async def revoke_link(self, exchange: Exchange) -> None:
        """204 when it leads nowhere any more."""
        exchange.parameters()
        await self._sharing.revoke(exchange.asker, exchange.path["link"])
        await exchange.without_content(204, ())

    async def marks(self, exchange: Exchange) -> None:
        """What is confidential."""
        exchange.parameters()
        known = await self._administration.marks(exchange.asker)
        await answer(exchange, {"marks": [_mark(one) for one in known]})

    async def mark(self, exchange: Exchange) -> None:
        """201: it counts everywhere within seconds."""
        exchange.parameters()
        given = await fields(exchange)
        if unknown := given.keys() - Mark.model_fields.keys():
            raise Invalid(f"a mark has no field {min(unknown)!r}")
        if not all(isinstance(value, str) for value in given.values()):
            raise Invalid("the fields of a mark are texts")
        mark = await self._administration.mark(exchange.asker, given)
        await answer(exchange, _mark(mark), 201)

    async def unmark(self, exchange: Exchange) -> None:
        """204 when it is taken off."""
        exchange.parameters()
        await self._administration.unmark(exchange.asker, exchange.path["mark"])
        await exchange.without_content(204, ())


def _wanted(given: Mapping[str, object]) -> WantedLink:
    try:
        wanted = WantedLink.model_validate(given)
    except ValidationError as error:
        raise Invalid(f"this is no link: {told_of(error)}") from error
    if not is_uid(wanted.study):
        raise Invalid("this is no Study Instance UID")
    return wanted


def _link(one: KnownLink, opened: int) -> Mapping[str, object]:
    link = one.link
    return {
        "id": one.id,
        "study": link.study,
        "label": link.label,
        "made_by": link.made_by,
        "made_at": link.made_at.isoformat(timespec="seconds"),
        "ends_at": link.ends_at.isoformat(timespec="seconds"),
        "passcode": bool(link.passcode),
        "openings": link.openings,
        "opened": opened,
        "download": link.download,
    }


def _mark(one: Mark) -> Mapping[str, object]:
    return {"id": one.name, **one.model_dump(mode="json", exclude_defaults=True)}
