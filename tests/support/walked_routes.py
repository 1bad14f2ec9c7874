"""How every route and method of HTTP is called for the walks of the audit trail and of access: with
what it needs to succeed, on studies that are there."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from email.message import Message
from pathlib import Path
from urllib.parse import quote, urlencode

from support.files import Series, write_series
from support.harness import Isocenter, wait_until
from support.walked_access import PREPARED
from support.walked_requests import FORM, JSON, PREPARING, Answer, Asked, Prepare

PIXELS = "7FE00010"
_PLACEHOLDER = re.compile(r"\{(\w+)(?:\.\.\.)?\}")


class Routes:
    """Calls them."""

    def __init__(self, isocenter: Isocenter, series: Series, folder: Path, token: str = "") -> None:
        """`token`: of whoever prepares what is needed, where the machine itself is not trusted."""
        self._isocenter = isocenter
        self._series = series
        self._folder = folder
        self._token = token
        self._written = 0

    # --- requests --------------------------------------------------------------------------------

    def asked(self, method: str, template: str) -> Asked:
        """The request of a route and method; whatever it needs is there on return."""
        asked = Asked(self.values())
        if prepare := _PREPARED.get(("GET" if method == "HEAD" else method, template)):
            prepare(self, asked)
        return asked

    def send(self, method: str, template: str, asked: Asked, purpose: str) -> Answer:
        """Call it."""
        path = _PLACEHOLDER.sub(lambda found: quote(asked.values[found[1]]), template)
        query = f"?{urlencode(asked.query)}" if asked.query else ""
        request = urllib.request.Request(
            f"{self._isocenter.http_url}{path}{query}",
            method=method,
            data=asked.body or (b"" if method in ("POST", "PUT") else None),
            headers={
                "Accept": asked.accept,
                "Purpose-Of-Use": purpose,
                **({"Content-Type": asked.media} if asked.media else {}),
                **({"Cookie": asked.cookie} if asked.cookie else {}),
                **({"Authorization": f"Bearer {asked.token}"} if asked.token else {}),
            },
        )
        try:
            with _OPENER.open(request, timeout=60) as response:
                return _answer(response.status, response.read(), response.headers)
        except urllib.error.HTTPError as error:
            return _answer(error.code, error.read(), error.headers)

    # --- what they need --------------------------------------------------------------------------

    def values(self, series: Series | None = None) -> dict[str, str]:
        """Of the placeholders of all paths."""
        series = series or self._series
        return {
            "study": series.study,
            "series": series.series,
            "instance": next(iter(series.files)),
            "frames": "1",
            "path": PIXELS,
            "title": "WALKED",
            "file": "index.html",
            "name": "walked",
            "resource": "Patient",
        }

    def files(self, of: Series | None = None) -> Series:
        """A new series of one instance, of a new study or of that of another series."""
        self._written += 1
        folder = self._folder / str(self._written)
        study, patient = (of.study, of.patient_id) if of else ("", "")
        return write_series(folder, 1, rows=8, study=study, patient_id=patient)

    def store(self, asked: Asked, series: Series) -> None:
        """Make it a request that stores a series."""
        head = b"--b0\r\nContent-Type: application/dicom\r\n\r\n"
        parts = [head + path.read_bytes() + b"\r\n" for path in series.files.values()]
        asked.body = b"".join(parts) + b"--b0--\r\n"
        asked.media = 'multipart/related; type="application/dicom"; boundary=b0'
        asked.accept = "application/dicom+json"
        asked.values["study"] = series.study

    def stored(self, asked: Asked) -> None:
        """Store another series, at which the request is then aimed."""
        series = self.files()
        storing = Asked(self.values())
        self.store(storing, series)
        self.prepare("POST", "/dicomweb/studies", storing)
        asked.values |= {
            "study": series.study, "series": series.series, "instance": next(iter(series.files)),
        }  # fmt: skip

    def deleted(self, asked: Asked) -> None:
        """Store a series and delete it."""
        self.stored(asked)
        gone = self.prepare("DELETE", "/dicomweb/studies/{study}", Asked(dict(asked.values)))
        asked.values["deletion"] = json.loads(gone.body)["id"]

    def proved(self, asked: Asked) -> None:
        """Aim at a record that is sealed."""
        self.record_there(asked)
        proof = "/api/audit/records/{record}/proof"
        asking = replace(asked, token=self._token)
        wait_until(lambda: self.send("GET", proof, asking, PREPARING).status == 200, 60, "sealed")

    def record_there(self, asked: Asked) -> None:
        """Aim at a record that the trail has taken in."""
        listing = Asked(self.values(), {"limit": "1", "action": "store"})

        def found() -> list[dict[str, str]]:
            answer = self.prepare("GET", "/api/audit/records", listing)
            records: list[dict[str, str]] = json.loads(answer.body)["records"]
            return records

        asked.values["record"] = str(wait_until(found, 30, "a record is in the trail")[0]["name"])

    def before(self, method: str, template: str, body: object = None) -> None:
        """Something that has to be there."""
        asked = Asked(self.values())
        if body is not None:
            asked.body, asked.media = json.dumps(body).encode(), JSON
        self.prepare(method, template, asked)

    def prepare(self, method: str, template: str, asked: Asked) -> Answer:
        asked.token = "" if asked.cookie else self._token
        answer = self.send(method, template, asked, PREPARING)
        assert answer.status < 400 or answer.status == 409, (method, template, answer)
        return answer


def _answer(status: int, body: bytes, headers: Message) -> Answer:
    """The cookie is what a browser would show the next time."""
    cookie = (headers["set-cookie"] or "").partition(";")[0]
    return Answer(status, body, cookie, {name.lower(): told for name, told in headers.items()})


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # type: ignore[override]
        """The answer itself is looked at."""


_OPENER = urllib.request.build_opener(_NoRedirects)

_STUDIES = "/dicomweb/studies"
_SERIES = _STUDIES + "/{study}/series/{series}"
_AE = "/api/aes/{title...}"
_SEARCH, _HOLD = "/api/audit/searches/{name...}", "/api/audit/holds/{name...}"
_PEER = {"host": "127.0.0.1", "port": 104}
_KEPT: Mapping[str, object] = {_AE: _PEER, _SEARCH: {"filter": {}}, _HOLD: {"reason": "walked"}}


def _query(**query: str) -> Prepare:
    def prepare(routes: Routes, asked: Asked) -> None:
        asked.query = query

    return prepare


def _new(body: object) -> Prepare:
    """What is not there yet."""

    def prepare(routes: Routes, asked: Asked) -> None:
        asked.values |= {"title": "NEW", "name": "new"}
        asked.body, asked.media = json.dumps(body).encode(), JSON

    return prepare


def _form(kept: str = "", **fields: str) -> Prepare:
    """A form; `kept`: the route of what has to be there before."""

    def prepare(routes: Routes, asked: Asked) -> None:
        if kept:
            routes.before("PUT", kept, _KEPT[kept])
        asked.body, asked.media = urlencode(fields).encode(), FORM

    return prepare


def _there(template: str) -> Prepare:
    """It is there."""

    def prepare(routes: Routes, asked: Asked) -> None:
        routes.before("PUT", template, _KEPT[template])

    return prepare


def _wado_uri(routes: Routes, asked: Asked) -> None:
    values = asked.values
    asked.query = {
        "requestType": "WADO", "studyUID": values["study"], "seriesUID": values["series"],
        "objectUID": values["instance"],
    }  # fmt: skip


_PREPARED: Mapping[tuple[str, str], Prepare] = {
    ("POST", _STUDIES): lambda routes, asked: routes.store(asked, routes.files()),
    ("POST", _STUDIES + "/{study}"): lambda routes, asked: routes.store(asked, routes.files()),
    **{
        ("GET", path): _query(PatientName="WALK*", StudyDate="20200101-")
        for path in (_STUDIES, "/dicomweb/series", "/dicomweb/instances",
                     _STUDIES + "/{study}/series", _STUDIES + "/{study}/instances",
                     _SERIES + "/instances")
    },
    **{
        ("DELETE", path): Routes.stored
        for path in (_STUDIES + "/{study}", _SERIES, _SERIES + "/instances/{instance}")
    },
    ("POST", "/api/deletions/{deletion}/restore"): Routes.deleted,
    ("GET", "/wado"): _wado_uri,
    **{("PUT", template): _new(body) for template, body in _KEPT.items()},
    **{(method, template): _there(template) for template in _KEPT for method in ("GET", "DELETE")},
    **{
        ("GET", path): Routes.record_there
        for path in ("/api/audit/records/{record}", "/fhir/AuditEvent/{record}",
                     "/audit/records/{record}")
    },
    ("GET", "/api/audit/records/{record}/proof"): Routes.proved,
    ("GET", "/api/audit/tally"): _query(by="action"),
    ("GET", "/api/audit/export"): _query(form="csv"),
    ("POST", "/fhir/AuditEvent/_search"): _form(action="R"),
    **{("GET", f"/audit/{what}"): _query(id="1.2.3")
       for what in ("patient", "person", "study", "object")},
    **PREPARED,
    ("POST", "/audit/searches"): _form(name="by form", who="WALK"),
    ("POST", "/audit/searches/remove"): _form(_SEARCH, name="walked"),
    ("POST", "/audit/holds"): _form(name="by form", reason="walked"),
    ("POST", "/audit/holds/release"): _form(_HOLD, name="walked"),
}  # fmt: skip
