"""What the web role tells of its requests."""

from __future__ import annotations

import httpx
import pytest

from isocenter.core.errors import Unavailable
from isocenter.runtime.instruments import HTTP_DURATION
from isocenter.web.tracing import TracedApplication
from support.telemetry import Recorder
from support.web_fakes import SHOWN, STUDY, Web

TRACE = "0af7651916cd43dd8448eb211c80319c"
STUDIES = "/dicomweb/studies"
SERIES = "/dicomweb/studies/{study}/series"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def ask(web: Web, recorder: Recorder, method: str, path: str, **headers: str) -> int:
    served = TracedApplication(web.application, recorder.telemetry)
    transport = httpx.ASGITransport(served)  # type: ignore[arg-type]
    known = httpx.AsyncClient(transport=transport, base_url="http://pacs.test", cookies=SHOWN)
    async with known as client:
        return (await client.request(method, path, headers=headers)).status_code


async def test_a_request_is_named_by_its_route_and_tells_no_uid(recorder) -> None:
    assert (
        await ask(Web(), recorder, "GET", f"/dicomweb/studies/{STUDY}/series?PatientID=P1") == 200
    )
    (span,) = recorder.spans
    assert span.name == f"GET {SERIES}"
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": SERIES,
        "http.response.status_code": 200,
    }
    assert recorder.values(HTTP_DURATION) == {("GET", SERIES, "200"): 1}


async def test_the_clients_trace_goes_on(recorder) -> None:
    await ask(Web(), recorder, "GET", STUDIES, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    (span,) = recorder.spans
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert span.parent.is_remote


async def test_what_has_no_route_or_an_odd_method_is_no_label_of_its_own(recorder) -> None:
    assert await ask(Web(), recorder, "GET", "/secret/Doe^Jane") == 404
    assert await ask(Web(), recorder, "BREW", STUDIES) == 405
    assert recorder.values(HTTP_DURATION) == {
        ("GET", "none", "404"): 1,
        ("other", STUDIES, "405"): 1,
    }
    assert "Doe" not in str([span.to_json() for span in recorder.spans])


async def test_only_our_own_failures_are_failures(recorder) -> None:
    web = Web()
    assert await ask(web, recorder, "GET", STUDIES + "?limit=x") == 400
    web.query.error = Unavailable("the index does not answer")
    assert await ask(web, recorder, "GET", STUDIES) == 503
    assert [span.status.is_ok for span in recorder.spans] == [True, False]


async def test_probes_of_health_are_left_out(recorder) -> None:
    assert await ask(Web(), recorder, "GET", "/livez") == 200
    assert recorder.spans == ()
    assert recorder.values(HTTP_DURATION) == {}
