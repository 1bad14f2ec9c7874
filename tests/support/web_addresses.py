"""Addresses of every route, on the stand-ins of `support.web_fakes` with one instance and one
record."""

from __future__ import annotations

import re

from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import Hold, SavedSearch
from isocenter.runtime.audit_ids import name_of
from support.audit_web import AT, EVA, record
from support.web_fakes import SERIES, STUDY, Web, study

_VALUES = {
    "study": STUDY, "series": SERIES, "instance": "1.2.3.4.5", "frames": "1",
    "path": "00420011", "file": "x.js", "deletion": "1", "title": "FIXED",
    "record": name_of(record(1)), "name": "night", "resource": "Patient/1",
    "secret": "x" * 43, "link": "0" * 32, "mark": "0" * 32,
}  # fmt: skip
_QUERIES = {
    "/wado": f"requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID=1.2.3.4.5"
    "&contentType=application/dicom",
    "/api/audit/tally": "by=hour",
    "/api/audit/export": "form=csv",
    "/audit/patient": "id=P1",
    "/audit/person": "id=eva",
    "/audit/study": f"id={STUDY}",
    "/audit/object": "id=1.2.3.4.5",
}


def path_of(template: str) -> str:
    """A path of a route."""
    return re.sub(r"\{(\w+)(\.\.\.)?\}", lambda found: _VALUES[found[1]], template)


def address_of(template: str) -> str:
    """The same with what its query needs."""
    return f"{path_of(template)}?{_QUERIES.get(template, '')}"


def filled(web: Web) -> Web:
    """With what the addresses name."""
    web.storage.keep()
    below = {tag: {"vr": "UI", "Value": [SERIES]} for tag in ("0020000E", "00080018")}
    web.query.answers = [study(1) | below, study(2) | below]
    web.trail.keep(record(1))
    web.trail.searches["night"] = SavedSearch("night", AuditFilter(), EVA, AT)
    web.trail.held["night"] = Hold("night", "the court", EVA, AT)
    return web
