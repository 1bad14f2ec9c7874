"""The routes of the audit trail: REST, FHIR and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isocenter.runtime.trail_access import TrailAccess
from isocenter.web import audit_desk, audit_fhir, audit_notes, audit_page, audit_rest
from isocenter.web.audit_common import ROOT
from isocenter.web.audit_desk import AuditDesk
from isocenter.web.audit_exports import EXPORT, AuditExports
from isocenter.web.audit_fhir import FhirAudit, formatted, in_fhir
from isocenter.web.audit_notes import AuditNotes
from isocenter.web.audit_page import AuditPages, in_pages
from isocenter.web.audit_rest import AuditRest
from isocenter.web.exchange import Handler
from isocenter.web.routes import Route
from isocenter.web.services import Services
from isocenter.web.settings import WebSettings
from isocenter.web.shell import STATIC, Shell

_Table = Mapping[str, Mapping[str, Handler]]


def trail_access(settings: WebSettings, services: Services) -> TrailAccess:
    """How the trail is read over HTTP and gRPC."""
    return TrailAccess(
        trail=services.audit_trail,
        audit_log=services.audit_log,
        guard=services.guard,
        allowed=settings.audit,
    )


def audit_routes(settings: WebSettings, services: Services) -> Sequence[Route]:
    """All of them; paths without placeholders are found before those with."""
    access = trail_access(settings, services)
    return [
        *(Route(path, handlers) for path, handlers in _rest(access, services.site).items()),
        *(Route(path, handlers, in_fhir) for path, handlers in _fhir(access).items()),
        *_pages(access, services.site),
    ]


def _rest(access: TrailAccess, site: str) -> _Table:
    rest, notes = AuditRest(access), AuditNotes(access)
    exports = AuditExports(access, site=site)
    return {
        audit_rest.RECORDS: {"GET": rest.records},
        audit_rest.RECORD: {"GET": rest.record},
        audit_rest.PROOF: {"GET": rest.proof},
        audit_rest.COUNT: {"GET": rest.count},
        audit_rest.TALLY: {"GET": rest.tally},
        audit_rest.STORY: {"GET": rest.story},
        audit_rest.STATE: {"GET": rest.state},
        audit_rest.VERIFICATION: {"POST": rest.verify},
        EXPORT: {"GET": exports.export},
        audit_notes.SEARCHES: {"GET": notes.searches},
        audit_notes.SEARCH: {"GET": notes.search, "PUT": notes.save, "DELETE": notes.forget},
        audit_notes.HOLDS: {"GET": notes.holds},
        audit_notes.HOLD: {"GET": notes.hold, "PUT": notes.place, "DELETE": notes.release},
    }


def _fhir(access: TrailAccess) -> _Table:
    fhir = FhirAudit(access)
    return {
        audit_fhir.METADATA: {"GET": formatted(fhir.metadata)},
        audit_fhir.EVENTS: {"GET": formatted(fhir.search)},
        audit_fhir.SEARCH: {"POST": formatted(fhir.search_by_post)},
        audit_fhir.EVENT: {"GET": formatted(fhir.read)},
        audit_fhir.OTHERS: {"GET": formatted(fhir.others)},
    }


def _pages(access: TrailAccess, site: str) -> Sequence[Route]:
    shell = Shell(site=site)
    pages, desk = AuditPages(access, shell), AuditDesk(access, shell)
    table = {
        ROOT: {"GET": pages.overview},
        audit_page.SEARCH: {"GET": pages.search},
        audit_page.PATIENT: {"GET": pages.patient},
        audit_page.PERSON: {"GET": pages.person},
        audit_page.STUDY: {"GET": pages.study},
        audit_page.OBJECT: {"GET": pages.object},
        audit_page.RECORD: {"GET": pages.record},
        audit_desk.VERIFICATION: {"GET": desk.verification, "POST": desk.verify},
        audit_desk.SEARCHES: {"POST": desk.save},
        audit_desk.FORGOTTEN: {"POST": desk.forget},
        audit_desk.HOLDS: {"POST": desk.hold},
        audit_desk.RELEASED: {"POST": desk.release},
    }
    return [*in_pages(shell, "base.html", table), Route(STATIC, {"GET": shell.static})]
