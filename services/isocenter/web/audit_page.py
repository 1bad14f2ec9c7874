"""The pages about the audit trail, for compliance officers, below `/audit`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from isocenter.core.audit import AuditFilter
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_export.forms import FORMS
from isocenter.runtime.audit_ids import named
from isocenter.runtime.trail_access import TrailAccess
from isocenter.web.audit_common import ROOT
from isocenter.web.audit_filters import PARAMETERS, limit_of, read, uid, without
from isocenter.web.audit_overview import Overview
from isocenter.web.audit_subjects import listing, of_object, of_patient, of_person
from isocenter.web.exchange import Exchange, Handler
from isocenter.web.problems import shown
from isocenter.web.routes import Route
from isocenter.web.shell import Shell, View

SEARCH = ROOT + "/search"
PATIENT = ROOT + "/patient"
PERSON = ROOT + "/person"
STUDY = ROOT + "/study"
OBJECT = ROOT + "/object"
RECORD = ROOT + "/records/{record}"

_LIMITS = (50, 100, 250, 1000)
_LISTED = 50  # records of a page, unless another number is asked for
Page = Callable[[Exchange, View], Awaitable[None]]


def in_pages(shell: Shell, frame: str, table: Mapping[str, Mapping[str, Page]]) -> Sequence[Route]:
    """Routes of pages, of which errors are pages too, in this frame."""
    telling = shell.telling(frame)
    return [
        Route(path, {method: _handler(page) for method, page in pages.items()}, telling)
        for path, pages in table.items()
    ]


def _handler(page: Page) -> Handler:
    async def handle(exchange: Exchange) -> None:
        await page(exchange, View.of(exchange))

    return handle


class AuditPages:
    """The pages that show."""

    def __init__(self, access: TrailAccess, shell: Shell) -> None:
        self._access = access
        self._shell = shell
        self._overview = Overview()

    async def overview(self, exchange: Exchange, view: View) -> None:
        """The trail at one glance."""
        _only(view)
        trail = await self._access.read(exchange.asker, "page: overview")
        context = await self._overview.shown(trail, self._shell.now())
        await self._shell.answer(exchange, view, "overview.html", {"page": "overview", **context})

    async def search(self, exchange: Exchange, view: View) -> None:
        """Records by any filter. What cannot be searched for is said above the form."""
        pairs, paging = without(view.query, "limit", "before")
        form: dict[str, Any] = {
            "page": "search", "values": _values(pairs), "actions": list(AuditAction),
            "outcomes": list(AuditOutcome), "forms": FORMS, "limits": _LIMITS, "limit": _LISTED,
            "found": None, "error": "", "saved": (),
        }  # fmt: skip
        try:
            which = read(pairs, blank=True)
            form["limit"] = limit_of(paging.get("limit", "") or str(_LISTED))
        except Invalid as error:
            form["error"] = str(error)
            await self._shell.answer(exchange, view, "search.html", form, 400)
            return
        trail = await self._access.read(exchange.asker, "page: search", which)
        form["found"] = await listing(trail, which, form["limit"], paging.get("before", ""))
        now = self._shell.now()
        form["saved"] = [(one, one.made(now)) for one in await trail.saved()]
        await self._shell.answer(exchange, view, "search.html", form)

    async def patient(self, exchange: Exchange, view: View) -> None:
        """Who accessed what of a patient."""
        await self._about(exchange, view, "patient", of_patient)

    async def study(self, exchange: Exchange, view: View) -> None:
        """Who accessed what of a study."""
        await self._about(exchange, view, "study", of_patient)

    async def person(self, exchange: Exchange, view: View) -> None:
        """What a person did."""
        await self._about(exchange, view, "person", of_person)

    async def object(self, exchange: Exchange, view: View) -> None:
        """All that happened to an object."""
        instance = uid("id", _only(view, "id")["id"])
        trail = await self._access.read(
            exchange.asker, "page: object", AuditFilter(instance=instance)
        )
        context = await of_object(trail, instance)
        about = {"page": "", "instance": instance, **context}
        await self._shell.answer(exchange, view, "object.html", about)

    async def record(self, exchange: Exchange, view: View) -> None:
        """One record, all of it."""
        _only(view)
        name = exchange.path["record"]
        trail = await self._access.read(exchange.asker, f"page: record {shown(name)}")
        entry = await named(trail, name)
        await self._shell.answer(exchange, view, "record.html", {"page": "", "entry": entry})

    async def _about(
        self, exchange: Exchange, view: View, what: str, find: Callable[..., Any]
    ) -> None:
        given = _only(view, "id", "before")
        which = _SUBJECTS[what](given["id"])
        trail = await self._access.read(exchange.asker, f"page: {what}", which)
        context = await find(trail, which, self._shell.now(), given.get("before", ""))
        about = {"page": "", "subject": given["id"], **context}
        await self._shell.answer(exchange, view, f"{what}.html", about)


def _study(text: str) -> AuditFilter:
    return AuditFilter(study=uid("id", text))


_SUBJECTS: Mapping[str, Callable[[str], AuditFilter]] = {
    "patient": lambda text: AuditFilter(patient_id=text),
    "person": lambda text: AuditFilter(who=text),
    "study": _study,
}


def _only(view: View, *names: str) -> Mapping[str, str]:
    """The parameters of a page, the first of which must be there. Raises `Invalid`."""
    rest, found = without(view.query, *names)
    if rest:
        raise Invalid(f"parameter {shown(rest[0][0])} is not known here")
    if names and not found.get(names[0]):
        raise Invalid(f"parameter {names[0]} is missing")
    return found


def _values(pairs: Sequence[tuple[str, str]]) -> Mapping[str, Sequence[str]]:
    """What the form shows: all values of each parameter."""
    found: dict[str, list[str]] = {name: [] for name in PARAMETERS}
    for name, value in pairs:
        if name in found:
            found[name].append(value)
    return found
