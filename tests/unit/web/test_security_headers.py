"""Header fields by which browsers keep an answer where it belongs: on every answer of every route,
whoever asks, and whatever becomes of it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from isocenter.web.changes import ROUTE as CHANGES
from isocenter.web.operations import OPERATIONS
from isocenter.web.settings import WebSettings
from support.closed_web import OFTEN, ClosedWeb
from support.web_addresses import address_of, filled
from support.web_fakes import Web

FIXED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
# What is the same for everybody, and what a browser asks about each time before it shows it.
PUBLIC = ("/viewer/", "/static/", "/api/openapi.json")
NEVER = ("access-control-allow-origin", "server", "x-powered-by")


def directives(answer: httpx.Response) -> dict[str, str]:
    parts = (
        one.strip().partition(" ") for one in answer.headers["content-security-policy"].split(";")
    )
    return {name: values for name, _, values in parts}


def check(answer: httpx.Response, where: str) -> None:
    for name, value in FIXED.items():
        assert answer.headers.get_list(name) == [value], (where, name)
    for name in NEVER:
        assert name not in answer.headers, (where, name)
    policy = directives(answer)
    assert len(answer.headers.get_list("content-security-policy")) == 1, where
    assert policy["frame-ancestors"] in ("'none'", "'self'"), where
    assert policy["base-uri"] == "'none'", where
    assert policy["form-action"] in ("'none'", "'self'"), where
    scripts = policy.get("script-src", policy["default-src"])
    assert "unsafe-inline" not in scripts, where
    assert "unsafe-eval" not in scripts.replace("wasm-unsafe-eval", ""), where
    assert not re.search(r"https?:|\*", answer.headers["content-security-policy"]), where
    cache = answer.headers["cache-control"]
    if not where.startswith(PUBLIC):
        assert cache in ("no-store", "private, no-cache"), where
    if "set-cookie" in answer.headers:
        assert cache == "no-store", where


@pytest.fixture
def viewer(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<html><script>one</script><script>two</script></html>")
    (tmp_path / "x.js").write_text("plain")
    return tmp_path


@pytest.mark.parametrize("known", [True, False], ids=["known", "nobody"])
async def test_every_answer_of_every_route_has_them(known: bool, viewer: Path) -> None:
    settings = WebSettings(port=0, viewer=viewer)
    web = filled(Web(settings)) if known else ClosedWeb(settings, limits=OFTEN)
    statuses = set()
    async with web.client() as client:
        for template in OPERATIONS:
            for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"):
                for accept in ("*/*", "text/html"):
                    answer = await client.request(
                        method, address_of(template), headers={"accept": accept}
                    )
                    check(answer, f"{template} {method} {answer.status_code}")
                    statuses.add(answer.status_code)
        for path in ("/nowhere", "/viewer/nowhere.js", "/dicomweb/studies/no-uid", "/audit?%ff"):
            check(await client.get(path), path)
    assert {200, 204, 303, 307, 400, 404, 405, 415} <= statuses if known else statuses >= {401, 303}


async def test_an_error_of_which_nothing_is_known_has_them() -> None:
    web = filled(Web())
    web.query.error = RuntimeError("unexpected")
    answer = await web.get("/dicomweb/studies")
    assert answer.status_code == 500
    check(answer, "500")
    assert "unexpected" not in answer.text


async def test_what_is_no_request_one_too_many_and_a_stream_of_events_have_them() -> None:
    web = filled(Web(settings=WebSettings(port=0, max_connections=1)))
    shown = {"accept": "text/event-stream"}
    async with (
        web.listening() as (role, address),
        httpx.AsyncClient(base_url=address, headers=shown) as client,
        client.stream("GET", f"{CHANGES}?since=now") as events,
    ):
        assert events.headers["content-type"] == "text/event-stream"
        check(events, "events")
        for sent, status in ((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 503), (b"no\r\n\r\n", 400)):
            reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
            writer.write(sent)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            writer.transport.abort()
            line, _, fields = head.decode().partition("\r\n")
            pairs = [one.split(": ", 1) for one in fields.strip().split("\r\n")]
            check(httpx.Response(status, headers=[(a, b) for a, b in pairs]), line)
            assert line.split()[1] == str(status)


@pytest.mark.parametrize(
    ("settings", "headers", "strict"),
    [
        ({}, {}, False),
        ({"public_url": "https://pacs.test"}, {}, True),
        ({"public_url": "http://pacs.test"}, {"x-forwarded-proto": "https"}, False),
        ({"trusted_proxies": ["127.0.0.1"]}, {"x-forwarded-proto": "https"}, True),
        ({"trusted_proxies": ["127.0.0.1"]}, {"forwarded": "proto=https"}, True),
        ({"trusted_proxies": ["10.0.0.1"]}, {"x-forwarded-proto": "https"}, False),
        ({}, {"x-forwarded-proto": "https"}, False),
    ],
)
@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/sign-in"])
async def test_tls_is_insisted_on_where_it_is(
    settings: dict[str, object], headers: dict[str, str], strict: bool, path: str
) -> None:
    web = Web(settings=WebSettings(port=0, **settings))  # type: ignore[arg-type]
    async with web.client() as client:
        answer = await client.get(path, headers=headers)
    expected = ["max-age=31536000; includeSubDomains"] if strict else []
    assert answer.headers.get_list("strict-transport-security") == expected


async def test_the_viewers_page_runs_its_own_scripts_and_no_others(viewer: Path) -> None:
    web = Web(settings=WebSettings(port=0, viewer=viewer))
    page = directives(await web.get("/viewer/"))["script-src"]
    # Of printf one | openssl dgst -sha256 -binary | base64, and of two.
    assert "'sha256-dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0='" in page
    assert "'sha256-P8TM/nRYcOLA2Z9x8w/wZWyN7dQcwdfT03aw2+aF4vM='" in page
    assert "sha256-" not in directives(await web.get("/viewer/x.js"))["script-src"]
    (viewer / "index.html").write_text("<html><script>three</script></html>")
    assert directives(await web.get("/viewer/"))["script-src"].count("sha256-") == 1


async def test_our_own_pages_run_no_script_at_all() -> None:
    policy = directives(await Web().get("/sign-in", accept="text/html"))
    assert (policy["default-src"], policy["form-action"]) == ("'none'", "'self'")
    assert "script-src" not in policy
